//! What people are told of a running action.

use refit_model::{Period, Progress, RecordKind, RunEventKind, Timestamp};

use super::Engine;
use crate::decision::after;
use crate::worker::{self, News};

/// What is waited for is told anew at most so often while the same wait goes on.
const TELL_AGAIN: Period = Period::seconds(10);

impl Engine {
    /// Tells people where an action stands, if that is new.
    pub(super) fn tell(&mut self, now: Timestamp, at: usize) {
        let action = &self.plan.actions[at];
        let Some(worker) = self.workers.get_mut(&at) else { return };
        let (done, total) = worker::extent(action, &worker.memory);
        let waiting = worker.waiting.as_ref();
        let news = News {
            step: worker.step.clone(),
            done,
            what: waiting.map(|waiting| waiting.what.clone()),
            wait: waiting.map(|waiting| (waiting.since, waiting.told_by(now))),
            at: now,
        };
        if let Some(told) = &worker.told {
            let same = (&told.step, told.done, told.wait) == (&news.step, news.done, news.wait);
            if same && (told.what == news.what || now < after(told.at, TELL_AGAIN)) {
                return;
            }
        }
        if worker.told.as_ref().is_some_and(|told| told.done != news.done) {
            worker.waits.clear();
        }
        if let (Some(on), Some((since, times))) = (&worker.waiting, news.wait)
            && times > worker.waits.insert(since, times).unwrap_or(0)
        {
            // For those who ask while the run goes on.
            let progress = Progress::Waiting { on: on.clone() };
            self.records.push(RecordKind::Progress { action: action.id, progress });
        }
        worker.told = Some(news);
        let kind = RunEventKind::ActionProgress {
            action: action.id,
            done,
            total,
            step: worker.step.clone(),
            waiting: worker.waiting.clone(),
        };
        self.emit(now, kind);
    }
}

#[cfg(test)]
mod tests {
    use refit_model::{
        CallError, ClusterState, ErrorClass, GroupOp, NodeOp, Op, PodOwner, PodState,
        RestartPolicy, RollTag, Timestamp, WaitingOn,
    };

    use super::*;
    use crate::bench::{World, at, carry_out_in, group, node, plan, pool, roll, settings};

    /// A pool whose first node is being drained: looks fail for a time, and evictions are refused
    /// by a budget.
    struct Troubled {
        state: ClusterState,
        looks_fail: std::ops::Range<i64>,
        /// Whether terminations fail.
        terminate_fails: bool,
    }

    impl Troubled {
        fn new(looks_fail: std::ops::Range<i64>) -> Self {
            let mut state = pool(3, 1);
            let tag = RollTag {
                run: settings().run,
                surge: 1,
                desired: 4,
                suspended: [].into(),
                op: refit_model::OpId::default(),
            };
            let tagged = state.groups.get_mut(&group()).unwrap();
            let text = serde_json::to_string(&tag).unwrap();
            tagged.tags.insert(RollTag::KEY.to_owned(), text);
            tagged.instances.iter_mut().for_each(|instance| instance.protected = true);
            for node in state.nodes.values_mut() {
                node.annotations.insert(NodeOp::SCALE_DOWN_DISABLED.to_owned(), "true".to_owned());
            }
            state.nodes.get_mut(&node(1)).unwrap().unschedulable = true;
            for number in [1, 2] {
                state.pods.push(PodState {
                    namespace: "shop".to_owned(),
                    name: format!("cart-{number}"),
                    uid: number.to_string(),
                    node: Some(node(1)),
                    ready: true,
                    terminating: false,
                    owner: PodOwner::Workload("Deployment/shop/cart".parse().unwrap()),
                    budgets: ["cart".to_owned()].into(),
                    volume: None,
                    critical: false,
                    restart_policy: RestartPolicy::Always,
                    do_not_evict: None,
                });
            }
            Self { state, looks_fail, terminate_fails: false }
        }

        /// Carries out a roll, and returns what the journal says of its waits.
        fn waits(self, seconds: i64) -> Vec<WaitingOn> {
            self.carried_out(seconds).0
        }

        /// The same, and whether it gave up.
        fn carried_out(mut self, seconds: i64) -> (Vec<WaitingOn>, bool) {
            let mut engine = Engine::new(plan(vec![roll(1, 0)]), settings());
            let (journaled, _) = carry_out_in(&mut engine, &mut self, at(seconds));
            let gives_up = journaled.iter().any(|record| {
                matches!(record, RecordKind::Progress { progress: Progress::Healing { .. }, .. })
            });
            let waits = journaled.into_iter().filter_map(|record| match record {
                RecordKind::Progress { progress: Progress::Waiting { on }, .. } => Some(on),
                _ => None,
            });
            (waits.collect(), gives_up)
        }
    }

    impl World for Troubled {
        fn look(&mut self, now: Timestamp) -> Result<ClusterState, CallError> {
            if self.looks_fail.contains(&(now.as_second() - at(0).as_second())) {
                return Err(CallError::new(ErrorClass::Transient, "connection refused"));
            }
            Ok(self.state.clone())
        }

        fn submit(&mut self, _now: Timestamp, call: &Op) -> Result<(), CallError> {
            match call {
                Op::Node { op: NodeOp::Evict { pod }, .. } => {
                    Err(CallError::new(ErrorClass::Budget, format!("cannot evict {pod}")))
                }
                Op::Group { op: GroupOp::Terminate { .. }, .. } if self.terminate_fails => {
                    Err(CallError::new(ErrorClass::Transient, "503 Service Unavailable"))
                }
                _ => Ok(()),
            }
        }
    }

    /// An outage of four minutes is one wait, told after 30 seconds and after two minutes.
    #[test]
    fn an_outage_is_one_wait_whatever_the_attempts() {
        let waits = Troubled::new(0..240).waits(240);
        assert_eq!(waits.len(), 2, "{waits:#?}");
        assert!(waits.iter().all(|wait| wait.since == at(0)), "{waits:#?}");
        assert!(waits[0].what.contains("connection refused"), "{waits:#?}");
    }

    /// Two pods of one budget that are refused in turn for ten minutes: told by the schedule, and
    /// by the budget's name.
    #[test]
    fn a_budget_that_refuses_several_pods_is_one_wait() {
        let waits = Troubled::new(0..0).waits(590);
        assert_eq!(waits.len(), 3, "{waits:#?}");
        let named = |wait: &WaitingOn| wait.what.starts_with("PodDisruptionBudget shop/cart: ");
        assert!(waits.iter().all(named), "{waits:#?}");
        assert!(waits.iter().all(|wait| wait.since == waits[0].since), "{waits:#?}");
    }

    /// One look that fails long after an outage is over is no reason to give up.
    #[test]
    fn outages_do_not_add_up() {
        let mut engine = Engine::new(plan(vec![roll(1, 0)]), settings());
        let mut world = Troubled::new(0..240);
        carry_out_in(&mut engine, &mut world, at(620));
        world.looks_fail = 620..640;
        let (journaled, ended) = carry_out_in(&mut engine, &mut world, at(660));
        assert_eq!(ended, None, "{journaled:#?}");
    }

    /// The tag that is written before each termination goes well every time: that does not hide
    /// that the termination fails. It is told, and given up after ten minutes.
    #[test]
    fn a_call_that_fails_at_the_end_of_its_batch_is_told_and_given_up() {
        let troubled = || {
            let mut troubled = Troubled::new(0..0);
            troubled.state.pods.clear();
            troubled.terminate_fails = true;
            troubled
        };
        let (waits, gives_up) = troubled().carried_out(590);
        assert_eq!((waits.len(), gives_up), (3, false), "{waits:#?}");
        assert!(waits[0].what.contains("503 Service Unavailable"), "{waits:#?}");
        assert!(troubled().carried_out(700).1);
    }
}
