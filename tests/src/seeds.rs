//! One seed, one story: a random fleet, its plan, the plan applied while things go wrong and
//! the process is killed, and applied again until nothing is left to do. In some [tales](Tale)
//! people replace nodes, or the fleet goes back when it has arrived.
//!
//! Checked on the way: the verifier agrees with every plan, the judge of the world finds no
//! violation, every run ends, settings are given back, and in the end the plan is empty.

mod tale;

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use refit_engine::{Effect, Engine, Event, Settings};
use refit_model::{
    ActionKind, Bounds, ClusterName, ClusterStatus, Code, ErrorClass, Fleet, GroupOp,
    JournalRecord, Observation, Op, Plan, RecordKind, RunOutcome, Scope, Snapshot, Stop, Timestamp,
};
use refit_planner::Options;
use refit_provider::Look;
use refit_simulator::{Faults, Targets, World, random_fleet};

pub use tale::Tale;

/// What may go wrong in a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Calls fail, machines do not come, operators interfere.
    pub faults: bool,
    /// The process is killed at journal writes.
    pub crashes: bool,
    /// People stop the run.
    pub stops: bool,
}

impl Trouble {
    /// Nothing goes wrong.
    pub const NONE: Self = Self { faults: false, crashes: false, stops: false };

    /// Every kind of trouble has its seeds, and so has every mixture.
    pub fn of(seed: u64) -> Self {
        Self { faults: seed & 1 != 0, crashes: seed & 2 != 0, stops: seed & 4 != 0 }
    }
}

/// What came of a story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// How many actions the first plan had.
    pub actions: usize,
    /// How many runs it took.
    pub runs: u32,
    /// How often the process was killed.
    pub crashes: u32,
    /// How many clusters could not be planned in the end.
    pub blocked: usize,
    /// How many control plane hops and rolls of pools failed.
    pub failed_rolls: usize,
    /// Everything that was journaled and told, for comparing two replays.
    pub trace: Vec<String>,
}

/// So often a process is killed until the fleet is where it shall be.
const CRASHES_MAX: u32 = 4;
/// More runs than this do not converge any more.
const RUNS_MAX: u32 = 12;
/// Faults stop after so many runs: then the fleet has to converge.
const FAULTY_RUNS: u32 = 3;
/// More events than this in one run mean that it spins.
const EVENTS_MAX: u32 = 400_000;

/// Tells the story of a seed.
///
/// # Errors
/// What went wrong, in words.
pub fn tell(seed: u64, tale: Tale, trouble: Trouble, verbose: bool) -> Result<Story, String> {
    let (fleet, world) = random_fleet(seed);
    let mut bench = Bench {
        fleet,
        world,
        options: Options::default(),
        dice: fastrand::Rng::with_seed(seed ^ 0x5eed),
        trouble,
        kills_left: 0,
        meddled: trouble.faults,
        unsure: false,
        lost_records_max: 0,
        verbose,
        story: Story {
            actions: 0,
            runs: 0,
            crashes: 0,
            blocked: 0,
            failed_rolls: 0,
            trace: Vec::new(),
        },
    };
    bench.world.require_lease();
    bench.tell(seed, tale)?;
    Ok(bench.story)
}

struct Bench {
    fleet: Fleet,
    world: World,
    options: Options,
    dice: fastrand::Rng,
    trouble: Trouble,
    /// How often the process may still be killed.
    kills_left: u32,
    /// Whether there are operators who interfere.
    meddled: bool,
    /// Whether an answer was lost that said what desired is.
    unsure: bool,
    /// How many of the last records of a journal may be lost when the process is killed.
    lost_records_max: usize,
    verbose: bool,
    story: Story,
}

/// How a process ended.
enum End {
    Over(RunOutcome),
    Killed,
}

impl Bench {
    /// Brings the fleet to what its files say; the plan that finds nothing to do any more, and what
    /// it was made of.
    /// Where there is a seed of trouble, it begins anew.
    fn converge(&mut self, trouble: Option<u64>) -> Result<(Snapshot, Plan), String> {
        if let Some(seed) = trouble {
            self.trouble.faults = self.meddled;
            self.kills_left = if self.trouble.crashes { CRASHES_MAX } else { 0 };
            if self.trouble.faults {
                self.world.set_faults(&Faults::from_seed(seed));
            }
        }
        let mut settled = false;
        let mut runs = 0;
        loop {
            if runs == FAULTY_RUNS && self.trouble.faults {
                self.world.stop_faults();
                self.trouble.faults = false;
                self.settle();
            }
            let calm = runs >= FAULTY_RUNS || self.trouble == Trouble::NONE;
            let (snapshot, plan) = self.plan()?;
            if runs == 0 {
                self.story.actions += plan.actions.len();
            }
            let unseen = snapshot
                .clusters
                .values()
                .any(|seen| matches!(seen, Observation::Unreachable { .. }));
            if plan.is_empty() && !(unseen && self.trouble.faults) {
                if self.trouble.faults {
                    runs = FAULTY_RUNS;
                    continue;
                }
                if plan.is_blocked() && !settled {
                    // What blocks may only be on its way back.
                    self.settle();
                    settled = true;
                    continue;
                }
                self.check_end(&plan)?;
                return Ok((snapshot, plan));
            }
            if runs >= RUNS_MAX && (foretold(&plan) || cramped(&plan) || full(&snapshot)) {
                self.judged()?;
                return Ok((snapshot, plan));
            }
            if runs >= RUNS_MAX {
                for observation in snapshot.clusters.values() {
                    if let Observation::Fresh(state) = observation {
                        for pod in state.pods.iter().filter(|pod| !pod.ready) {
                            self.say(&format!("not ready: {pod:?}"));
                        }
                    }
                }
                let left: Vec<String> = plan
                    .actions
                    .iter()
                    .map(|a| {
                        format!("{:?} {}", a.cluster.as_ref().map(ClusterName::as_str), a.kind)
                    })
                    .collect();
                return Err(format!("does not converge: still {}", left.join("; ")));
            }
            let outcome = self.run(&plan)?;
            runs += 1;
            self.story.runs += 1;
            if calm && !matches!(outcome, RunOutcome::Done | RunOutcome::Interrupted) {
                self.settle();
            }
        }
    }

    /// Lets time pass, so that what is on its way arrives.
    fn settle(&mut self) {
        let later = self.world.now() + Duration::from_hours(1);
        self.world.advance_to(later);
    }

    fn say(&mut self, text: &str) {
        if self.verbose {
            let line = format!("{} {text}\n", self.world.now());
            // The runner is a tool of developers: its stories go to standard error.
            std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).ok();
        }
        self.story.trace.push(text.to_owned());
    }

    fn snapshot(&mut self) -> Snapshot {
        let mut clusters = BTreeMap::new();
        for cluster in self.fleet.clusters.values() {
            let look = Look { cluster, addons: &self.fleet.addons, scope: &Scope::Everything };
            let seen = match self.world.look(look) {
                Ok(state) => Observation::Fresh(Box::new(state)),
                Err(error) => Observation::Unreachable { reason: error.to_string() },
            };
            clusters.insert(cluster.name.clone(), seen);
        }
        Snapshot {
            format_version: Snapshot::FORMAT.to_owned(),
            fleet: self.fleet.name.clone(),
            taken_at: self.world.now(),
            clusters,
        }
    }

    fn plan(&mut self) -> Result<(Snapshot, Plan), String> {
        let snapshot = self.snapshot();
        let plan = refit_planner::plan(&self.fleet, &snapshot, &self.options);
        let again = refit_planner::plan(&self.fleet, &snapshot, &self.options);
        if plan != again {
            return Err("planning twice gives two plans".to_owned());
        }
        let notes = refit_verifier::verify(&self.fleet, &snapshot, &plan);
        if let Some(note) = notes.first() {
            return Err(format!("the verifier objects: {note} (and {} more)", notes.len() - 1));
        }
        for action in &plan.actions {
            let text = format!(
                "planned {} {}",
                action.cluster.as_ref().map_or("-", ClusterName::as_str),
                action.kind
            );
            self.say(&text);
        }
        for finding in &plan.findings {
            let text = format!("found {finding:?}");
            self.say(&text);
        }
        Ok((snapshot, plan))
    }

    fn check_end(&mut self, plan: &Plan) -> Result<(), String> {
        let later = self.world.now() + Duration::from_mins(30);
        self.world.advance_to(later);
        let mut left = self.world.settings_given_back();
        // Killed between the tag and the raise that it announces, or the answer to that raise lost,
        // while an operator raises desired by just as much: whose raise it was, nothing in the
        // world or the journal can tell.
        if self.meddled && (self.story.crashes > 0 || self.unsure) {
            left.retain(|text| !text.contains("desired of"));
        }
        self.story.blocked =
            plan.clusters.iter().filter(|cluster| cluster.status == ClusterStatus::Blocked).count();
        if let Some(first) = left.first() {
            return Err(format!("not given back: {first} (and {} more)", left.len() - 1));
        }
        self.judged()
    }

    fn judged(&self) -> Result<(), String> {
        match self.world.violations().first() {
            None => Ok(()),
            Some(first) => Err(format!("the judge objects: {first:?}")),
        }
    }

    /// Carries one plan out, through as many processes as it takes.
    fn run(&mut self, plan: &Plan) -> Result<RunOutcome, String> {
        self.world.plan_targets(&Targets::of_plan(plan));
        for action in &plan.actions {
            if let (
                Some(cluster),
                ActionKind::NodePoolRoll { pool, .. } | ActionKind::TidyUp { pool: Some(pool), .. },
                Bounds::Rolling { surge, unavailable, .. },
            ) = (&action.cluster, &action.kind, &action.bounds)
            {
                self.world.allow(cluster, pool, *surge, *unavailable);
            }
        }
        let settings = Settings {
            run: format!("run-{}", self.story.runs).parse().map_err(|e| format!("{e}"))?,
            who: "seed@runner".to_owned(),
            parallelism: 1 + self.dice.u32(0..6),
        };
        let mut journal: Vec<JournalRecord> = Vec::new();
        let mut engine = Engine::new(plan.clone(), settings.clone());
        loop {
            match self.process(&mut engine, &mut journal)? {
                End::Over(RunOutcome::Interrupted) if self.dice.bool() => {
                    self.go_on(&mut journal);
                    engine = Engine::resume(plan.clone(), settings.clone(), &journal);
                }
                End::Over(outcome) => {
                    let recap = engine.recap();
                    self.say(&format!("run ended: {outcome:?} {recap:?}"));
                    let rolls = plan.actions.iter().filter(|action| action.kind.rolls());
                    self.story.failed_rolls +=
                        rolls.filter(|action| recap.failed.contains(&action.id)).count();
                    return Ok(outcome);
                }
                End::Killed => {
                    self.story.crashes += 1;
                    self.kills_left = self.kills_left.saturating_sub(1);
                    self.say("killed");
                    let pause = self.dice.u64(1..600);
                    let later = self.world.now() + Duration::from_secs(pause);
                    self.world.advance_to(later);
                    if self.dice.u8(0..8) == 0 {
                        // The checkout is gone, and the journal with it: another plan goes on.
                        return Ok(RunOutcome::Interrupted);
                    }
                    if self.lost_records_max > 0 {
                        let lost = self.dice.usize(0..=self.lost_records_max);
                        journal.truncate(journal.len().saturating_sub(lost));
                        self.say(&format!("{lost} records are lost, {} are left", journal.len()));
                    }
                    self.go_on(&mut journal);
                    engine = Engine::resume(plan.clone(), settings.clone(), &journal);
                }
            }
        }
    }

    /// What every store writes when another process goes on with a run.
    fn go_on(&self, journal: &mut Vec<JournalRecord>) {
        let kind = RecordKind::RunContinued { who: "seed@runner".to_owned() };
        let seq = journal.len() as u64 + 1;
        journal.push(JournalRecord { seq, epoch: 1, at: self.world.now(), kind });
    }

    /// One process: from its first look to its end.
    fn process(
        &mut self,
        engine: &mut Engine,
        journal: &mut Vec<JournalRecord>,
    ) -> Result<End, String> {
        let kill_at = (self.kills_left > 0).then(|| journal.len() + self.dice.usize(1..120));
        let mut stop_at = (self.trouble.stops && self.dice.bool()).then(|| {
            let stop = [Stop::Finish, Stop::Cancel, Stop::Leave][self.dice.usize(0..3)];
            (self.world.now() + Duration::from_secs(self.dice.u64(1..7200)), stop)
        });
        let mut asked_to_stop = false;
        let mut agenda: Agenda = Agenda::default();
        agenda.add(self.world.now(), Event::Tick);
        let mut events = 0;
        let mut wake: Option<Timestamp> = None;
        loop {
            events += 1;
            if events > EVENTS_MAX {
                return Err("a run spins".to_owned());
            }
            let at = [agenda.next_at(), wake, stop_at.as_ref().map(|(at, _)| *at)];
            let Some(at) = at.into_iter().flatten().min() else {
                return Err("a run waits for nothing".to_owned());
            };
            self.world.advance_to(at);
            let event = if stop_at.as_ref().is_some_and(|(stop, _)| *stop <= at) {
                let Some((_, stop)) = stop_at.take() else { continue };
                asked_to_stop = true;
                Event::Stop(stop)
            } else if agenda.next_at().is_some_and(|next| next <= at) {
                let Some(event) = agenda.pop() else { continue };
                event
            } else {
                wake = None;
                Event::Tick
            };
            for effect in engine.step(self.world.now(), event) {
                if let Some(end) = self.carry_out(effect, journal, kill_at, &mut agenda, &mut wake)
                {
                    self.judged()?;
                    if matches!(end, End::Over(RunOutcome::Interrupted)) && !asked_to_stop {
                        return Err("a run ends early, and nobody asked it to".to_owned());
                    }
                    return Ok(end);
                }
            }
            if events % 64 == 0 {
                self.judged()?;
            }
        }
    }

    fn carry_out(
        &mut self,
        effect: Effect,
        journal: &mut Vec<JournalRecord>,
        kill_at: Option<usize>,
        agenda: &mut Agenda,
        wake: &mut Option<Timestamp>,
    ) -> Option<End> {
        let now = self.world.now();
        match effect {
            Effect::Journal(records) => {
                for kind in records {
                    let seq = journal.len() as u64 + 1;
                    if kill_at == Some(journal.len()) {
                        return Some(End::Killed);
                    }
                    journal.push(JournalRecord { seq, epoch: 1, at: now, kind });
                }
                agenda.add(now, Event::Journaled);
            }
            Effect::Look { look, cluster, scope } => {
                let declared = &self.fleet.clusters[&cluster];
                let seen = self.world.look(Look {
                    cluster: declared,
                    addons: &self.fleet.addons,
                    scope: &scope,
                });
                let later = now + Duration::from_millis(self.dice.u64(5..400));
                agenda.add(later, Event::Looked { look, result: seen.map(Box::new) });
            }
            Effect::Submit { op, cluster, call, token } => {
                let declared = &self.fleet.clusters[&cluster];
                let result = self.world.submit(declared, &self.fleet.addons, &call, &token);
                self.say(&format!("{cluster}: {call:?} -> {result:?}"));
                let moves_desired = matches!(
                    &call,
                    Op::Group {
                        op: GroupOp::RaiseDesired { .. }
                            | GroupOp::Terminate { decrement: true, .. },
                        ..
                    }
                );
                let lost = result.as_ref().is_err_and(|error| error.class == ErrorClass::Unknown);
                self.unsure |= moves_desired && lost;
                let later = now + Duration::from_millis(self.dice.u64(5..900));
                agenda.add(later, Event::Settled { op, result });
            }
            Effect::Emit(event) => {
                let text = format!("{:?}", event.kind);
                self.say(&text);
            }
            Effect::WakeAt(at) => *wake = Some(at),
            Effect::Finish(outcome) => return Some(End::Over(outcome)),
        }
        None
    }
}

/// Whether the plan says itself that it may not get through: a group that spans zones cannot be
/// told to launch where a volume lives.
fn foretold(plan: &Plan) -> bool {
    plan.findings.iter().any(|finding| finding.code == Code::RF029)
}

/// Whether all that is left are rolls that may not surge: pods may then have nowhere to go, and
/// a budget keeps them where they are.
fn cramped(plan: &Plan) -> bool {
    let rolls =
        || plan.actions.iter().filter(|a| matches!(a.kind, ActionKind::NodePoolRoll { .. }));
    rolls().next().is_some()
        && rolls().any(|action| matches!(action.bounds, Bounds::Rolling { surge: 0, .. }))
}

/// Whether some cluster has no room for its pods: nothing that waits for them gets through.
fn full(snapshot: &Snapshot) -> bool {
    snapshot.clusters.values().any(|seen| match seen {
        Observation::Fresh(state) => state.pods.iter().any(|pod| pod.node.is_none()),
        Observation::Unreachable { .. } => false,
    })
}

/// Answers that are on their way, by time and then by order.
#[derive(Default)]
struct Agenda {
    order: BinaryHeap<std::cmp::Reverse<(Timestamp, u64)>>,
    events: BTreeMap<u64, Event>,
    next: u64,
}

impl Agenda {
    fn add(&mut self, at: Timestamp, event: Event) {
        self.order.push(std::cmp::Reverse((at, self.next)));
        self.events.insert(self.next, event);
        self.next += 1;
    }

    fn next_at(&self) -> Option<Timestamp> {
        self.order.peek().map(|std::cmp::Reverse((at, _))| *at)
    }

    fn pop(&mut self) -> Option<Event> {
        let std::cmp::Reverse((_, number)) = self.order.pop()?;
        self.events.remove(&number)
    }
}

/// Runs many seeds on all cores; the failing ones with what went wrong.
pub fn sweep(seeds: std::ops::Range<u64>, tale: Tale) -> (u64, Vec<(u64, String)>) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let failed = std::sync::Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for core in 0..cores {
            let (seeds, failed) = (seeds.clone(), &failed);
            scope.spawn(move || {
                for seed in seeds.filter(|seed| seed % cores == core) {
                    let told =
                        std::panic::catch_unwind(|| tell(seed, tale, Trouble::of(seed), false));
                    let wrong = match told {
                        Ok(Ok(_)) => continue,
                        Ok(Err(text)) => text,
                        Err(_) => "it panics".to_owned(),
                    };
                    if let Ok(mut failed) = failed.lock() {
                        failed.insert((seed, wrong));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_default();
    (seeds.end - seeds.start, failed.into_iter().collect())
}
