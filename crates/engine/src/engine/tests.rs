//! Runs that go on from a journal, and how a run ends.

use refit_model::{GivingUp, GroupOp, Op, Progress, RecordKind, RunOutcome};

use crate::bench::{at, carry_out, journal, plan, pool, roll, settings};
use crate::schedule::Standing;
use crate::{Effect, Engine, Event};

/// Killed while it put back what was half done, because somebody had cancelled it: whoever runs
/// the same command again wants it to go on.
#[test]
fn a_cancelled_run_goes_on_when_it_is_resumed() {
    let action = roll(1, 0);
    let records = journal(vec![
        RecordKind::ActionStarted { action: action.id.clone() },
        RecordKind::Progress {
            action: action.id.clone(),
            progress: Progress::Healing { why: GivingUp::Cancelled },
        },
    ]);
    let mut engine = Engine::resume(plan(vec![action]), settings(), &records);
    let (journaled, _) = carry_out(&mut engine, &pool(3, 0));
    let tags = |record: &RecordKind| {
        matches!(record, RecordKind::Intent { call: Op::Group { op: GroupOp::Tag { .. }, .. }, .. })
    };
    assert!(journaled.iter().any(tags), "{journaled:#?}");
}

/// Whatever an action waits for, a run of which nothing is under way ends, and says that it is
/// not done.
#[test]
fn a_run_that_nothing_is_left_of_ends() {
    let mut engine = Engine::new(plan(vec![roll(1, 0)]), settings());
    engine.schedule.standing[0] = Standing::Running;
    let effects = engine.step(at(0), Event::Tick);
    let ended = effects.iter().any(|e| matches!(e, Effect::Finish(RunOutcome::Interrupted)));
    assert!(ended, "{effects:#?}");
}
