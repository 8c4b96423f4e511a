//! What an action remembers of itself: read from the journal after a crash, kept up to date
//! while it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use refit_model::{
    AddonOp, GivingUp, GroupName, GroupOp, InstanceId, NodeName, NodeOp, ObjectKey, Op, Progress,
    Purpose, Timestamp, WorkloadRef,
};

/// The memory of one action.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// When it began.
    pub(crate) started_at: Option<Timestamp>,
    /// How many members of etcd were Ready then.
    pub(crate) etcd_baseline: Option<u32>,
    /// The instance that is being replaced.
    pub(crate) current: Option<Current>,
    /// The instances that are gone, and whose workloads are back.
    pub(crate) done: BTreeSet<InstanceId>,
    /// When the last of them was.
    pub(crate) last_done_at: Option<Timestamp>,
    /// Why it gives up, and since when.
    pub(crate) healing: Option<(GivingUp, Timestamp)>,
    /// What healing could not put back.
    pub(crate) left: Vec<String>,
    /// Whether the add-on's objects were applied.
    pub(crate) applied: bool,
    /// Whether a foreign copy's fields were taken.
    pub(crate) adopted: bool,
    /// The objects that were written back, by definition.
    pub(crate) written: BTreeMap<String, BTreeSet<ObjectKey>>,
    /// Those that have to be; none: they were not listed yet. Not journaled, a new process lists
    /// them again.
    pub(crate) unwritten: Option<BTreeMap<String, BTreeSet<ObjectKey>>>,
    /// The surge that stands on each group's tag: as an answered call wrote it, or else as it was
    /// seen; unknown after a lost answer, until the next look.
    pub(crate) tagged: BTreeMap<GroupName, u32>,
    /// The surge that is surely there: known from answered calls, unknown after a lost answer.
    pub(crate) surge: BTreeMap<GroupName, u32>,
    /// The instance with which each group's desired was to fall, until that is known to have
    /// happened or not.
    pub(crate) ending: BTreeMap<GroupName, InstanceId>,
    /// By how much the zones of each group differed when a node of it was last moved to even
    /// them. Not journaled, a new process tries once more.
    pub(crate) moved: BTreeMap<GroupName, u32>,
    /// Since when something is waited for, by what: not journaled, a new process counts anew.
    pub(crate) waits: BTreeMap<String, Timestamp>,
}

/// An instance that has to go.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    pub(crate) instance: InstanceId,
    pub(crate) node: Option<NodeName>,
    pub(crate) purpose: Purpose,
    pub(crate) baseline: BTreeMap<WorkloadRef, u32>,
    pub(crate) since: Timestamp,
    /// Whether something was evicted from it.
    pub(crate) evicted: bool,
    /// Whether another process has begun with it.
    pub(crate) is_resumed: bool,
}

/// When a drain last saw a pod that it waits for to complete, among the times of waits.
const COMPLETING: &str = "completing";

impl Memory {
    /// The memory of another attempt: what is surely there stays known, everything else begins
    /// anew.
    pub(crate) fn begin_anew(&mut self) {
        let Self { written, tagged, surge, ending, .. } = std::mem::take(self);
        *self = Self { written, tagged, surge, ending, ..Self::default() };
    }

    /// Forgets what the journal said of the clusters. What was reached once stays reached.
    fn set_aside(&mut self) {
        let Self { started_at, etcd_baseline, done, last_done_at, .. } = std::mem::take(self);
        *self = Self { started_at, etcd_baseline, done, last_done_at, ..Self::default() };
    }

    /// Takes in that nobody was at it for so long: that time is not the action's.
    pub(crate) fn paused(&mut self, time: Duration) {
        let later = |at: &mut Timestamp| *at = at.saturating_add(time).unwrap_or(*at);
        self.started_at.iter_mut().for_each(later);
        if let Some(current) = &mut self.current {
            later(&mut current.since);
            current.is_resumed = true;
        }
        self.healing.iter_mut().for_each(|(_, since)| later(since));
    }

    /// Takes in that a drain waits for a pod to complete.
    pub(crate) fn saw_completing(&mut self, now: Timestamp) {
        self.waits.insert(COMPLETING.to_owned(), now);
    }

    /// Returns when a drain of the current node last waited for a pod to complete.
    pub(crate) fn completing_seen_at(&self) -> Option<Timestamp> {
        self.waits.get(COMPLETING).copied()
    }

    /// Nothing is known of the group's surge any more.
    pub(crate) fn forget_surge(&mut self, group: &GroupName) {
        self.tagged.remove(group);
        self.surge.remove(group);
        self.ending.remove(group);
    }

    /// Takes in which instances of a group are there to stay. That one is not which was to be
    /// ended, by a call whose answer was lost, shows that the call went well: what desired is does
    /// not, for somebody may have raised it meanwhile.
    pub(crate) fn see_instances(&mut self, group: &GroupName, stays: impl Fn(&InstanceId) -> bool) {
        if let Some(instance) = self.ending.remove(group) {
            self.know(group, u32::from(!stays(&instance)));
        }
    }

    /// Takes in a tag that was seen. What a call is known to have written is not forgotten for it.
    pub(crate) fn see_tag(&mut self, group: &GroupName, surge: u32) {
        self.tagged.entry(group.clone()).or_insert(surge);
    }

    /// Takes in what the action has chosen or reached.
    pub(crate) fn note(&mut self, progress: &Progress, at: Timestamp) {
        match progress {
            Progress::EtcdBaseline { ready } => self.etcd_baseline = Some(*ready),
            Progress::NodeChosen { instance, node, purpose, baseline } => {
                self.waits.clear();
                if *purpose == Purpose::Replace {
                    // The zones change with it: what was tried to even them says nothing any more.
                    self.moved.clear();
                }
                self.current = Some(Current {
                    instance: instance.clone(),
                    node: node.clone(),
                    purpose: *purpose,
                    baseline: baseline.clone(),
                    since: at,
                    evicted: false,
                    is_resumed: false,
                });
            }
            Progress::NodeDone { instance } => {
                self.waits.clear();
                // A node that is taken away, or moved, is not one of those that are replaced.
                let replaced = self.current.take().is_none_or(|current| match current.purpose {
                    Purpose::Replace => true,
                    Purpose::Surplus | Purpose::Move => false,
                });
                if replaced {
                    self.done.insert(instance.clone());
                }
                self.last_done_at = Some(at);
            }
            Progress::JournalBehind { .. } => self.set_aside(),
            Progress::Waiting { .. } => {}
            Progress::Healing { why } => {
                self.waits.clear();
                // A move that is broken off says nothing of where the group can launch.
                self.moved.clear();
                self.healing = Some((why.clone(), at));
            }
        }
    }

    /// Takes in an operation that is about to be sent.
    pub(crate) fn intend(&mut self, op: &Op) {
        if let (Op::Node { op: NodeOp::Evict { .. }, .. }, Some(current)) = (op, &mut self.current)
        {
            current.evicted = true;
        }
        match op {
            Op::Group { group, op: GroupOp::Tag { .. } | GroupOp::Untag } => {
                self.tagged.remove(group);
                // What the tag says is counted with what was known of that.
                self.ending.remove(group);
            }
            Op::Group { group, op: GroupOp::Terminate { instance, decrement: true } } => {
                self.ending.insert(group.clone(), instance.clone());
                self.surge.remove(group);
            }
            Op::Group { group, op: GroupOp::RaiseDesired { .. } } => {
                self.surge.remove(group);
            }
            _ => {}
        }
    }

    /// Takes in an operation that has taken effect.
    pub(crate) fn settle(&mut self, op: &Op) {
        match op {
            Op::Addon { op: AddonOp::Apply { .. }, .. } => self.applied = true,
            Op::Addon { op: AddonOp::Adopt { .. }, .. } => self.adopted = true,
            Op::Addon { op: AddonOp::WriteBack { crd, objects }, .. } => {
                let unwritten = self.unwritten.as_mut().and_then(|all| all.get_mut(crd));
                if let Some(unwritten) = unwritten {
                    for object in objects {
                        unwritten.remove(object);
                    }
                }
                self.written.entry(crd.clone()).or_default().extend(objects.iter().cloned());
            }
            Op::Group { group, op: GroupOp::Tag { tag } } => {
                self.tagged.insert(group.clone(), tag.surge);
                // What is above the minimum of the group by now is not the surge of before.
                if let Some(surge) = self.surge.get_mut(group) {
                    *surge = (*surge).min(tag.surge);
                }
            }
            Op::Group { group, op: GroupOp::RaiseDesired { .. } } => self.know(group, 0),
            Op::Group { group, op: GroupOp::Terminate { decrement: true, .. } } => {
                self.ending.remove(group);
                self.know(group, 1);
            }
            _ => {}
        }
    }

    /// Takes in an operation that surely has not taken effect.
    pub(crate) fn refused(&mut self, op: &Op) {
        let Op::Group { group, op } = op else { return };
        match op {
            GroupOp::RaiseDesired { from, to } => {
                self.moved.remove(group);
                self.know(group, to.saturating_sub(*from));
            }
            GroupOp::Terminate { decrement: true, .. } => {
                self.ending.remove(group);
                self.know(group, 0);
            }
            _ => {}
        }
    }

    /// Takes in an operation that was not sent, because the one before it failed.
    pub(crate) fn unsent(&mut self, op: &Op, failed: &Op) {
        match (op, failed) {
            // Whether the tag says so or not: the surge is what it was before both.
            (
                Op::Group { group, op: GroupOp::RaiseDesired { from, to } },
                Op::Group { group: tagged, op: GroupOp::Tag { tag } },
            ) if group == tagged => {
                self.moved.remove(group);
                let before = tag.surge.saturating_sub(to.saturating_sub(*from));
                self.surge.insert(group.clone(), before);
            }
            _ => self.refused(op),
        }
    }

    /// The surge is known to be so much less than the tag says, if what the tag says is known.
    fn know(&mut self, group: &GroupName, less: u32) {
        match self.tagged.get(group) {
            Some(tagged) => self.surge.insert(group.clone(), tagged.saturating_sub(less)),
            None => self.surge.remove(group),
        };
    }

    /// Takes in an operation of which nobody knows whether it has taken effect.
    pub(crate) fn lost(&mut self, op: &Op) {
        if let Op::Group { group, op: GroupOp::RaiseDesired { .. } | GroupOp::Terminate { .. } } =
            op
        {
            self.surge.remove(group);
            self.moved.remove(group);
        }
    }

    /// How many objects were written back, of how many.
    pub(crate) fn written_back(&self) -> (u32, u32) {
        let count = |all: &BTreeMap<String, BTreeSet<ObjectKey>>| {
            u32::try_from(all.values().map(BTreeSet::len).sum::<usize>()).unwrap_or(u32::MAX)
        };
        let written = count(&self.written);
        (written, written.saturating_add(self.unwritten.as_ref().map_or(0, count)))
    }

    /// Since when `what` is waited for: since now, if it is new.
    pub(crate) fn waiting_since(&mut self, what: &str, now: Timestamp) -> Timestamp {
        *self.waits.entry(what.to_owned()).or_insert(now)
    }

    /// `what` is not waited for any more.
    pub(crate) fn stop_waiting(&mut self, what: &str) {
        self.waits.remove(what);
    }
}
