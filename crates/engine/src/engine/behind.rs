//! A journal that is behind the clusters: a copy of an earlier time that was restored, or one whose
//! last batches are lost.
//!
//! Each tag that a run writes on a group carries the number of the last operation of its batch, and
//! a batch that changes desired begins with a tag. So a tag of this run with a number that the
//! journal does not hold shows that operations are missing. What the journal says of the action is
//! then set aside, and the action goes on from what the groups and nodes carry, as after a loss of
//! the whole state.

use refit_model::{ClusterState, OpId, Progress, RecordKind, RunEventKind, Timestamp};

use super::Engine;
use crate::roll::tag_of;

impl Engine {
    /// Compares what the groups of an action carry with where the journal ends, once for each
    /// action, before it does anything.
    pub(super) fn compare_with_journal(&mut self, now: Timestamp, at: usize, state: &ClusterState) {
        let Some(journaled) = &self.journaled else { return };
        let action = &self.plan.actions[at];
        let (Some(cluster), Some(worker)) = (&action.cluster, self.workers.get(&at)) else {
            return;
        };
        if worker.prechecked {
            return;
        }
        let held = journaled.get(cluster);
        let groups = action.kind.groups().into_iter();
        let tags = groups.filter_map(|name| Some((name, tag_of(state.groups.get(name)?)?)));
        let missing = tags.filter(|(_, tag)| {
            let known =
                tag.op == OpId::default() || held.is_some_and(|held| held.contains(&tag.op));
            tag.run == self.settings.run && !known
        });
        let Some((group, tag)) = missing.max_by_key(|(_, tag)| tag.op) else { return };
        // Later operations have greater numbers than all that the clusters carry.
        self.next_op = self.next_op.max(tag.op.0 + 1);
        if !self.memories.contains_key(&action.id) {
            // The journal says nothing of it that could be wrong.
            return;
        }
        let (action, progress) = (action.id, Progress::JournalBehind { op: tag.op });
        let text = format!(
            "the journal of run {} is behind the clusters: it does not hold operation {}, which \
             group {group} carries. What it says of {cluster}, {}, is set aside; the run goes on \
             from what the groups and nodes carry",
            self.settings.run, tag.op.0, self.plan.actions[at].kind,
        );
        if let Some(worker) = self.workers.get_mut(&at) {
            worker.memory.note(&progress, now);
        }
        self.records.push(RecordKind::Progress { action, progress });
        self.emit(now, RunEventKind::Warning { text });
    }
}

#[cfg(test)]
mod tests {
    use refit_model::{GroupOp, Op, OpId, OpResult, Progress, RecordKind, RollTag, Token};

    use crate::Engine;
    use crate::bench::{carry_out, group, journal, plan, pool, roll, settings};

    /// The journal ends with a surge that was given back, and the group carries a tag of the same
    /// run with another surge.
    fn resumed(op: OpId) -> Vec<RecordKind> {
        resumed_with(op, None)
    }

    /// The same with one more record.
    fn resumed_with(op: OpId, last: Option<Progress>) -> Vec<RecordKind> {
        let action = roll(1, 0);
        let cluster = action.cluster.clone().unwrap();
        let tag = |surge, op| RollTag {
            run: settings().run,
            surge,
            desired: 4,
            suspended: [].into(),
            op,
        };
        let call = Op::Group { group: group(), op: GroupOp::Tag { tag: tag(0, OpId(1)) } };
        let mut records = vec![
            RecordKind::ActionStarted { action: action.id },
            RecordKind::Intent {
                op: OpId(1),
                action: action.id,
                cluster,
                token: Token("t".to_owned()),
                call,
            },
            RecordKind::Settled { op: OpId(1), result: OpResult::Ok },
        ];
        let progress = |progress| RecordKind::Progress { action: action.id, progress };
        records.extend(last.map(progress));
        let records = journal(records);
        let mut state = pool(3, 1);
        let tagged = state.groups.get_mut(&group()).unwrap();
        let text = serde_json::to_string(&tag(1, op)).unwrap();
        tagged.tags.insert(RollTag::KEY.to_owned(), text);
        let mut engine = Engine::resume(plan(vec![action]), settings(), &records);
        carry_out(&mut engine, &state).0
    }

    fn is_set_aside(records: &[RecordKind]) -> bool {
        records.iter().any(|record| {
            let progress = Progress::JournalBehind { op: OpId(9) };
            matches!(record, RecordKind::Progress { progress: found, .. } if *found == progress)
        })
    }

    #[test]
    fn a_group_that_carries_a_later_operation_beats_the_journal() {
        let journaled = resumed(OpId(9));
        assert!(is_set_aside(&journaled), "{journaled:#?}");
        let numbers = journaled.iter().filter_map(|record| match record {
            RecordKind::Intent { op, .. } => Some(op.0),
            _ => None,
        });
        assert!(numbers.min().unwrap() > 9, "{journaled:#?}");
    }

    #[test]
    fn a_journal_that_holds_the_operation_counts() {
        assert!(!is_set_aside(&resumed(OpId(1))));
    }

    /// The process was killed again before it wrote another tag.
    #[test]
    fn a_journal_is_set_aside_once() {
        let told = Progress::JournalBehind { op: OpId(9) };
        assert!(!is_set_aside(&resumed_with(OpId(9), Some(told))));
    }
}
