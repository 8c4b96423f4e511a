//! What makes a call the same call when it is sent again: its token's number.

use refit_model::{ClusterName, Op};

/// The calls on one target. A call whose answer was lost is sent again as the same call, with
/// the same token, but only when no other call on the target came in between: a provider that
/// remembers tokens would otherwise leave it undone.
#[derive(Debug, Default)]
pub(super) struct Calls {
    number: u64,
    last: Option<Op>,
    answered: bool,
}

impl Calls {
    /// The number of a call that is about to be sent.
    pub(super) fn next(&mut self, call: &Op) -> u64 {
        if self.answered || self.last.as_ref() != Some(call) {
            self.number += 1;
            self.last = Some(call.clone());
            self.answered = false;
        }
        self.number
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
