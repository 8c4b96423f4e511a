//! One run: from the first look to the recap.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{Future, StreamExt};
use refit_engine::{Effect, Engine, Event};
use refit_model::{
    ActionId, CallError, ClusterName, ErrorClass, Fleet, Op, Outcome, Recap, RecordKind, RunId,
    RunOutcome, Scope, Stop, Timestamp, Token,
};
use refit_provider::Look;
use refit_store::StateStore;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use crate::{Actors, CALL_TIMEOUT, Clock, Observers, Reporter};

/// What a run is made of.
pub struct Drive<'a> {
    /// Decides.
    pub engine: Engine,
    /// The run.
    pub run: RunId,
    /// Where it is journaled.
    pub store: &'a mut dyn StateStore,
    /// The number of the last record there.
    pub last_seq: u64,
    /// What is declared.
    pub fleet: Arc<Fleet>,
    /// Who reads.
    pub observers: Observers,
    /// Who changes.
    pub actors: Actors,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where signals come from.
    pub stops: UnboundedReceiver<Stop>,
    /// After [`Stop::Leave`], how long it may take to leave.
    pub grace: Duration,
    /// Who is told.
    pub reporters: Vec<Box<dyn Reporter + 'a>>,
}

/// How a run ended.
#[derive(Debug)]
pub struct Report {
    /// As a whole.
    pub outcome: RunOutcome,
    /// Per action, in groups.
    pub recap: Recap,
    /// Per action that has ended.
    pub outcomes: BTreeMap<ActionId, Outcome>,
    /// Why the journal could not be written, if it could not.
    pub journal_failure: Option<String>,
}

/// A run that cannot be driven.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The plan names a cluster that nothing can reach.
    #[error("no provider changes cluster `{0}`")]
    NoActor(ClusterName),
}

type Task = Pin<Box<dyn Future<Output = Event> + Send>>;

impl Drive<'_> {
    /// Carries the run out, until it is over or was asked to stop.
    ///
    /// # Errors
    /// When the plan names a cluster that nothing can reach; nothing was done then.
    pub async fn run(mut self) -> Result<Report, DriveError> {
        for action in &self.engine.plan().actions {
            if let Some(cluster) = &action.cluster
                && !(self.actors.contains_key(cluster)
                    && self.observers.contains_key(cluster)
                    && self.fleet.clusters.contains_key(cluster))
            {
                return Err(DriveError::NoActor(cluster.clone()));
            }
        }
        let mut events: VecDeque<Event> = VecDeque::from([Event::Tick]);
        let mut tasks: FuturesUnordered<Task> = FuturesUnordered::new();
        let mut wake: Option<Timestamp> = None;
        let mut leave_by: Option<Instant> = None;
        let mut stops_open = true;
        let mut journal_failure = None;
        loop {
            while let Some(event) = events.pop_front() {
                if let Event::Stop(Stop::Leave) = &event {
                    leave_by.get_or_insert_with(|| Instant::now() + self.grace);
                }
                let now = self.clock.now();
                for effect in self.engine.step(now, event) {
                    match effect {
                        Effect::Journal(records) => match self.journal(now, &records) {
                            Ok(()) => events.push_back(Event::Journaled),
                            Err(reason) => {
                                journal_failure = Some(reason.clone());
                                events.push_back(Event::JournalFailed { reason });
                            }
                        },
                        Effect::Look { look, cluster, scope } => {
                            let asked = self.look(cluster, scope);
                            tasks.push(Box::pin(async move {
                                Event::Looked { look, result: asked.await }
                            }));
                        }
                        Effect::Submit { op, cluster, call, token } => {
                            let sent = self.submit(cluster, call, token);
                            tasks.push(Box::pin(async move {
                                Event::Settled { op, result: sent.await }
                            }));
                        }
                        Effect::Emit(event) => {
                            for reporter in &mut self.reporters {
                                reporter.event(&event);
                            }
                        }
                        Effect::WakeAt(at) => wake = Some(at),
                        Effect::Finish(outcome) => {
                            return Ok(self.report(outcome, journal_failure));
                        }
                    }
                }
            }
            let sleep = wake.map(|at| self.clock.sleep_until(at));
            let leave = leave_by.map(tokio::time::sleep_until);
            let event = tokio::select! {
                Some(event) = tasks.next(), if !tasks.is_empty() => event,
                () = maybe(sleep), if wake.is_some() => {
                    wake = None;
                    Event::Tick
                }
                stop = self.stops.recv(), if stops_open => {
                    let Some(stop) = stop else {
                        stops_open = false;
                        continue;
                    };
                    Event::Stop(stop)
                }
                () = maybe(leave), if leave_by.is_some() => {
                    return Ok(self.report(RunOutcome::Interrupted, journal_failure));
                }
            };
            events.push_back(event);
        }
    }

    fn report(self, outcome: RunOutcome, journal_failure: Option<String>) -> Report {
        let outcomes = self
            .engine
            .plan()
            .actions
            .iter()
            .filter_map(|action| Some((action.id, self.engine.outcome(&action.id)?.clone())))
            .collect();
        Report { outcome, recap: self.engine.recap(), outcomes, journal_failure }
    }

    fn journal(&mut self, at: Timestamp, records: &[RecordKind]) -> Result<(), String> {
        match self.store.append(&self.run, self.last_seq, at, records) {
            Ok(seq) => {
                self.last_seq = seq;
                Ok(())
            }
            Err(error) => Err(chain(&error)),
        }
    }

    fn look(
        &self,
        cluster: ClusterName,
        scope: Scope,
    ) -> impl Future<Output = Result<Box<refit_model::ClusterState>, CallError>> + Send + 'static
    {
        let fleet = Arc::clone(&self.fleet);
        let observer = self.observers.get(&cluster).cloned();
        async move {
            let (Some(observer), Some(declared)) = (observer, fleet.clusters.get(&cluster)) else {
                return Err(CallError::new(ErrorClass::Permanent, "the cluster is not declared"));
            };
            let look = Look { cluster: declared, addons: &fleet.addons, scope: &scope };
            match tokio::time::timeout(CALL_TIMEOUT, observer.look(look)).await {
                Ok(result) => result.map(Box::new),
                Err(_) => Err(CallError::new(ErrorClass::Transient, "no answer in time")),
            }
        }
    }

    fn submit(
        &self,
        cluster: ClusterName,
        call: Op,
        token: Token,
    ) -> impl Future<Output = Result<(), CallError>> + Send + 'static {
        let fleet = Arc::clone(&self.fleet);
        let actor = self.actors.get(&cluster).cloned();
        async move {
            let (Some(actor), Some(declared)) = (actor, fleet.clusters.get(&cluster)) else {
                return Err(CallError::new(ErrorClass::Permanent, "the cluster is not declared"));
            };
            let sent = actor.submit(declared, &fleet.addons, &call, &token);
            match tokio::time::timeout(CALL_TIMEOUT, sent).await {
                Ok(result) => result,
                Err(_) => Err(CallError::new(ErrorClass::Unknown, "no answer in time")),
            }
        }
    }
}

/// Waits for what may not be there.
async fn maybe<F: Future<Output = ()>>(future: Option<F>) {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// An error and its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
