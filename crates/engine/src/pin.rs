//! How groups are pointed at an image without replacing anything.

use refit_model::{Action, ActionKind, ClusterState, ImagePin, Outcome, Timestamp};

use crate::decision::{Decision, Mode, Wait, after};
use crate::memory::Memory;
use crate::roll::point_at;

/// Decides what comes next for an action that pins groups.
pub(crate) fn decide(
    action: &Action,
    state: &ClusterState,
    memory: &Memory,
    mode: Mode,
    now: Timestamp,
) -> Decision {
    let ActionKind::PinGroups { images } = &action.kind else {
        return Decision::fail("this action pins no groups", Vec::new());
    };
    if action.ensure.holds(state) {
        return Decision::end(Outcome::Done);
    }
    if mode >= Mode::Cancel {
        return Decision::end(Outcome::Stopped);
    }
    let mut ops = Vec::new();
    for (name, image) in images {
        let Some(group) = state.groups.get(name) else {
            return Decision::fail(
                format!("Auto Scaling group `{name}` does not exist"),
                Vec::new(),
            );
        };
        let pin = ImagePin { id: image.clone(), name: String::new() };
        ops.extend(point_at(name, group, &pin));
    }
    let since = memory.started_at.unwrap_or(now);
    let until = after(since, action.timeout);
    if now >= until {
        return Decision::fail("the groups do not launch the image", Vec::new());
    }
    if ops.is_empty() {
        let what = "the groups to launch the image".to_owned();
        return Decision::wait("pin", Wait { what, since, until });
    }
    Decision::act("point the groups at their image", ops)
}
