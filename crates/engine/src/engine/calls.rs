//! What makes a call the same call when it is sent again: the operation of its token.

use refit_model::{ClusterName, Op, OpId};

/// The calls on one target. A call whose answer was lost is sent again as the same call, with
/// the same token, but only when no other call on the target came in between: a provider that
/// remembers tokens would otherwise leave it undone.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// The operation under which the last call was sent first.
    first: OpId,
    last: Option<Op>,
    answered: bool,
}

impl Calls {
    /// Returns the operation that a call is sent as: `op`, or the one before if it is sent again.
    /// Where the journal is behind, operations are numbered beyond what the groups of the action
    /// carry, so that a call which the journal lacks does not have the same token.
    pub(super) fn next(&mut self, call: &Op, op: OpId) -> OpId {
        if self.answered || self.last.as_ref() != Some(call) {
            self.first = op;
            self.last = Some(call.clone());
            self.answered = false;
        }
        self.first
    }

    /// The last call was answered for sure.
    pub(super) fn answered(&mut self) {
        self.answered = true;
    }
}

/// What a call changes.
pub(super) fn target(cluster: &ClusterName, op: &Op) -> String {
    match op {
        Op::Group { group, .. } => format!("{cluster} group {group}"),
        Op::Node { node, .. } => format!("{cluster} node {node}"),
        Op::Addon { addon, .. } => format!("{cluster} add-on {addon}"),
        Op::HoldLease { .. } | Op::ReleaseLease { .. } => format!("{cluster} lease"),
    }
}
