//! How an add-on is applied, adopted and removed.
//!
//! Apply and wait until its workloads are rolled out, then prune and write the digest on the
//! ApplySet parent: from then on the add-on is at its version. Each step can be taken again.

use std::collections::BTreeSet;

use refit_model::{
    Action, ActionKind, AddonMark, AddonName, AddonOp, AddonVersion, ClusterState, Digest,
    ObjectRef, Op, Outcome, Timestamp,
};

use crate::decision::{Decision, Mode, POLL, Wait, after};
use crate::memory::Memory;

/// Decides what comes next for an action on an add-on.
pub(crate) fn decide(
    action: &Action,
    state: &ClusterState,
    memory: &mut Memory,
    mode: Mode,
    now: Timestamp,
) -> Decision {
    if action.ensure.holds(state) {
        return Decision::end(Outcome::Done);
    }
    let since = memory.started_at.unwrap_or(now);
    let until = after(since, action.timeout);
    if mode >= Mode::Cancel {
        // An add-on is applied in seconds and has no half that could be put back: the next run
        // applies it again.
        return Decision::end(Outcome::Stopped);
    }
    match &action.kind {
        ActionKind::AddonRemove { addon, objects, .. } => {
            let op = AddonOp::Remove { objects: objects.clone() };
            if now >= until {
                return Decision::fail(format!("{addon} is still there"), Vec::new());
            }
            Decision::act(format!("remove {addon}"), vec![on(addon, op)])
        }
        ActionKind::AddonAdopt { addon, to, digest, managers, .. } if !memory.adopted => {
            let _ = digest;
            let op = AddonOp::Adopt { version: to.clone(), managers: managers.clone() };
            Decision::act(format!("adopt {addon}"), vec![on(addon, op)])
        }
        ActionKind::AddonAdopt { addon, to, digest, .. } => {
            let apply = Apply { addon, to, digest, deletes: &BTreeSet::new() };
            apply.decide(state, memory, now, (since, until))
        }
        ActionKind::AddonApply { addon, to, digest, deletes, .. } => {
            let apply = Apply { addon, to, digest, deletes };
            apply.decide(state, memory, now, (since, until))
        }
        _ => Decision::fail("this is no action on an add-on", Vec::new()),
    }
}

fn on(addon: &AddonName, op: AddonOp) -> Op {
    Op::Addon { addon: addon.clone(), op }
}

struct Apply<'a> {
    addon: &'a AddonName,
    to: &'a AddonVersion,
    digest: &'a Digest,
    deletes: &'a BTreeSet<ObjectRef>,
}

impl Apply<'_> {
    fn decide(
        &self,
        state: &ClusterState,
        memory: &mut Memory,
        now: Timestamp,
        (since, until): (Timestamp, Timestamp),
    ) -> Decision {
        let (addon, to) = (self.addon, self.to);
        if !memory.applied {
            let op = AddonOp::Apply { version: to.clone(), digest: *self.digest };
            return Decision::act(format!("apply {addon} {to}"), vec![on(addon, op)]);
        }
        let live = state.addons.get(addon);
        let step = format!("roll out {addon} {to}");
        if let Some(reason) = live.and_then(|live| live.not_ready.as_ref()) {
            memory.stop_waiting("calm");
            if now >= until {
                return Decision::fail(
                    format!("{addon} {to} was applied and is not ready: {reason}"),
                    vec![format!("{addon} is not sealed at {to}; the next run applies it again")],
                );
            }
            return Decision::wait(step, Wait { what: reason.clone(), since, until });
        }
        // A rollout that has just been asked for may not show yet: two looks have to agree.
        let calm = memory.waiting_since("calm", now);
        if now < after(calm, POLL) {
            let what = format!("{addon} to stay ready");
            return Decision::wait(step, Wait { what, since: calm, until });
        }
        if let AddonMark::Drifted { version, digest } = AddonMark::of(state, addon)
            && version == *to
            && digest == *self.digest
        {
            return Decision::fail(
                format!("somebody changes {addon} while it is applied"),
                vec![format!("{addon} {to} has fields that were changed by hand")],
            );
        }
        let op = AddonOp::Prune {
            version: to.clone(),
            digest: *self.digest,
            objects: self.deletes.clone(),
        };
        Decision::act(format!("prune {addon}"), vec![on(addon, op)])
    }
}
