//! `apply`: plan or take a plan, ask, carry it out, and look again.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;

use refit_engine::{Engine, Settings};
use refit_model::{
    ActionKind, ClusterName, ClusterStatus, Durations, Fleet, GroupState, JournalRecord,
    Observation, Plan, PlanId, Precheck, RecordKind, RecordedRelease, ReleaseName, RollTag, RunId,
    RunOutcome, SavedPlan, Selection, Snapshot, whole_seconds,
};
use refit_runtime::{Actors, Clock, Drive, Observers, Report};
use refit_store::{
    Keep, NewRun, OpenOptions, RUNS_KEPT, RunState, RunSummary, SetAside, SledStore, StateStore,
};
use refit_verifier::Note;

use crate::cli::{Apply, Planning};
use crate::commands::{self, FromState, Made, plan_failure, store_failure};
use crate::exit::{Exit, Failure};
use crate::fleet::{self, load, selected, state_directory};
use crate::output::Printer;
use crate::reach::{Live, Means};
use crate::signals::Signals;
use crate::{disk, progress};

/// `refit apply`
pub(crate) fn apply(directory: &Path, options: &Apply, printer: &Printer) -> Result<Exit, Failure> {
    let signals = Signals::listen(printer)?;
    let fleet = load(directory, printer)?;
    let state = state_directory(directory, &fleet);
    let saved = match &options.file {
        Some(path) => Some(read_plan(path, &fleet)?),
        None => None,
    };
    if saved.is_none() && !options.auto_approve && !Printer::is_interactive() {
        return Err(Failure::new(Exit::Usage, "nobody is there to approve a plan")
            .hint("give a saved plan: `refit plan -o next.plan`, then `refit apply next.plan`")
            .hint("or approve in advance: `refit apply --auto-approve`"));
    }
    let selection = selected(&fleet, &options.planning.selecting)?;
    let selection = match &saved {
        Some(_) if !selection.is_everything() || !options.planning.downgrade.is_empty() => {
            return Err(Failure::new(Exit::Usage, "a saved plan knows what it is about").hint(
                "leave out `--cluster`, `--channel`, `--label`, `--wave`, `--exclude`, `--only` and \
                 `--downgrade`, or plan again with them",
            ));
        }
        Some(saved) => saved.plan.selection.clone(),
        None => selection,
    };
    commands::check_named(&fleet, &options.planning, &selection)?;
    let downgrade = match &saved {
        Some(saved) => saved.plan.downgrade.clone(),
        None => fleet::downgraded(&fleet, &options.planning.downgrade, &selection)?,
    };
    let events = options.events.as_deref().map(progress::events_file).transpose()?;
    let who = who();
    let mut store = open_store(&state, options, &who, printer)?;
    commands::block_on(async {
        let means = Means {
            state: &state,
            kubeconfig: options.reaching.kubeconfig.as_deref(),
            simulation_speed: options.simulation_speed,
        };
        let live = Live::open(&fleet, means).await?;
        let session = Session {
            fleet: Arc::new(fleet),
            directory,
            options,
            selection,
            downgrade,
            printer,
            who,
            clock: Arc::clone(&live.clock),
            observers: live.observers.clone(),
            actors: live.actors.clone(),
            events,
        };
        let result = session.go(&mut store, saved, signals).await;
        live.close(matches!(result, Ok(Exit::Blocked)))?;
        result
    })?
}

/// Reads a saved plan, and refuses one that was made from other files.
fn read_plan(path: &Path, fleet: &Fleet) -> Result<SavedPlan, Failure> {
    let saved =
        SavedPlan::from_bytes(&disk::read(path)?).map_err(|error| plan_failure(path, &error))?;
    if saved.plan.fleet != fleet.name {
        return Err(Failure::new(
            Exit::Stale,
            format!(
                "{} is a plan for the fleet {}, not for {}",
                path.display(),
                saved.plan.fleet,
                fleet.name
            ),
        ));
    }
    if saved.plan.config_digest != fleet.digest {
        return Err(Failure::new(
            Exit::Stale,
            format!("{} was made from other files than these; nothing was done", path.display()),
        )
        .hint(format!("plan again: `refit plan -o {}`", path.display())));
    }
    Ok(saved)
}

fn open_store(
    state: &Path,
    options: &Apply,
    who: &str,
    printer: &Printer,
) -> Result<SledStore, Failure> {
    let loud = printer.clone();
    let open = OpenOptions {
        who: who.to_owned(),
        command: "refit apply".to_owned(),
        lock_timeout: options.lock_timeout(),
        probe: Some(commands::probe()),
        waiting: Some(Box::new(move |holder| {
            let who = holder.map_or_else(|| "another process".to_owned(), ToString::to_string);
            loud.say(&format!("Waiting for the lock that {who} holds ..."));
        })),
    };
    let store = SledStore::open(state, open).map_err(|error| {
        let failure = store_failure(&error);
        if failure.exit == Exit::Locked {
            failure.hint("wait for it with `--lock-timeout 10m`")
        } else {
            failure
        }
    })?;
    for (warning, hints) in commands::recovery_warnings(store.recovery()) {
        printer.warning(&warning, &hints);
    }
    Ok(store)
}

/// Who runs this: `user@host`.
pub(crate) fn who() -> String {
    let user = ["USER", "LOGNAME", "USERNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
        .unwrap_or_else(|| "unknown".to_owned());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map_or_else(|| "unknown".to_owned(), |host| host.trim().to_owned());
    format!("{user}@{host}")
}

/// One command, from the open store to the exit code.
struct Session<'a> {
    fleet: Arc<Fleet>,
    directory: &'a Path,
    options: &'a Apply,
    /// Of the saved plan, or else of the command.
    selection: Selection,
    /// The clusters that may go back: those of the saved plan, or else of the command.
    downgrade: BTreeSet<ClusterName>,
    printer: &'a Printer,
    who: String,
    clock: Arc<dyn Clock>,
    observers: Observers,
    actors: Actors,
    events: Option<File>,
}

/// A run that is about to be driven.
struct Begun {
    run: RunId,
    plan: Plan,
    last_seq: u64,
    engine: Engine,
}

impl Session<'_> {
    async fn go(
        self,
        store: &mut SledStore,
        saved: Option<SavedPlan>,
        signals: Signals,
    ) -> Result<Exit, Failure> {
        self.set_damaged_aside(store)?;
        let begun = if let Some(begun) = self.open_run(store, saved.as_ref())? {
            begun
        } else {
            let approved = match saved {
                Some(saved) => match self.carried_out(store, &saved).await? {
                    Some(exit) => return Ok(exit),
                    None => saved,
                },
                None => match self.plan_and_ask().await? {
                    Ok(saved) => saved,
                    Err(exit) => return Ok(exit),
                },
            };
            if approved.plan.is_empty() {
                self.printer.say("Nothing to do.");
                return Ok(commands::exit_of(&approved.plan, false));
            }
            self.check_permissions(&approved.plan).await?;
            self.new_run(store, approved)?
        };
        let plan = begun.plan.clone();
        self.record_releases(store, &plan);
        let report = self.drive(store, begun, signals).await?;
        self.finish(&plan, &report).await
    }

    /// What earlier runs took.
    fn measured(&self) -> Durations {
        commands::measured(&state_directory(self.directory, &self.fleet), None)
    }

    async fn look(&self) -> Snapshot {
        let now = self.clock.now();
        let names = refit_planner::needed(&self.fleet, &self.selection);
        commands::take(&self.fleet, &names, &self.observers, now, self.options.parallelism).await
    }

    async fn make(&self, planning: &Planning, known: FromState) -> Result<Made, Failure> {
        let selection = self.selection.clone();
        commands::make(&self.fleet, self.look().await, planning, selection, known)
    }

    /// Plans, shows the plan and asks. `Err` is how to exit without a run.
    async fn plan_and_ask(&self) -> Result<Result<SavedPlan, Exit>, Failure> {
        let state = state_directory(self.directory, &self.fleet);
        let known = commands::from_state(&state, None, self.printer);
        let Made { plan, snapshot: _ } = self.make(&self.options.planning, known).await?;
        let text = refit_render::plan_text(&plan, Some(&self.fleet), self.printer.style());
        self.printer.data(&text)?;
        if plan.is_empty() {
            return Ok(Err(commands::exit_of(&plan, false)));
        }
        if !self.options.auto_approve && !ask() {
            self.printer.complain("Not approved; nothing was done.");
            return Ok(Err(Exit::Failed));
        }
        Ok(Ok(SavedPlan::new(plan)))
    }

    /// Nothing is begun that a missing permission would stop half way.
    async fn check_permissions(&self, plan: &Plan) -> Result<(), Failure> {
        let at_once = usize::try_from(self.options.parallelism).unwrap_or(usize::MAX);
        let missing =
            refit_runtime::missing_permissions(&self.fleet, plan, &self.actors, at_once).await;
        if missing.is_empty() {
            return Ok(());
        }
        let text = "refit lacks permissions that this plan takes; nothing was done";
        let mut failure = Failure::new(Exit::Failed, text);
        for (cluster, missing) in missing {
            failure.causes.extend(missing.iter().map(|text| format!("{cluster}: may not {text}")));
        }
        Err(failure.hint("`refit permissions kubernetes` prints the roles that suffice"))
    }

    /// Holds a saved plan against what is there now. Returns how to exit if it was carried out
    /// already.
    async fn carried_out(
        &self,
        store: &SledStore,
        saved: &SavedPlan,
    ) -> Result<Option<Exit>, Failure> {
        let SavedPlan { plan, id, .. } = saved;
        let done = RunState::Closed { outcome: RunOutcome::Done };
        let runs = store.runs().map_err(|error| store_failure(&error))?;
        let run = runs.runs.iter().find(|run| run.plan == *id && run.state == done);
        let snapshot = self.look().await;
        if run.is_none() && (plan.is_empty() || !is_satisfied(plan, &snapshot)) {
            let notes = refit_verifier::verify_again(&self.fleet, &snapshot, plan);
            return if notes.is_empty() { Ok(None) } else { Err(stale(id, &notes)) };
        }
        self.printer.say(&match run {
            Some(run) => format!("Run {} of this plan is done; nothing is left to do.", run.run),
            None => "This plan is done: every cluster is as it would leave it.".to_owned(),
        });
        let planning = Planning { downgrade: self.named_downgrade(), ..Planning::default() };
        let known = FromState { durations: self.measured(), ..FromState::default() };
        let selection = self.selection.clone();
        let now = commands::make(&self.fleet, snapshot, &planning, selection, known)?.plan;
        self.say_drift(&now);
        Ok(Some(commands::exit_of(plan, false)))
    }

    /// Says what has changed in the clusters since a plan was carried out. It is not part of that
    /// plan, and nothing is done about it.
    fn say_drift(&self, now: &Plan) {
        let drifted: Vec<&refit_model::Action> =
            now.actions.iter().map(AsRef::as_ref).filter(|a| a.cluster.is_some()).collect();
        if drifted.is_empty() {
            return;
        }
        self.printer
            .say("The clusters have changed since the run ended. A plan made now would do:");
        for action in drifted.iter().take(SHOWN_MAX) {
            let cluster = action.cluster.as_ref().map_or("", ClusterName::as_str);
            self.printer.say(&format!("  {cluster}: {}", action.kind));
        }
        if drifted.len() > SHOWN_MAX {
            self.printer.say(&format!("  and {} more", drifted.len() - SHOWN_MAX));
        }
        self.printer.hint("`refit plan` shows all of it; this command did nothing");
    }

    /// Refuses to pass over a journal that cannot be read and whose run may not have ended; or sets
    /// it aside, if the command says so.
    fn set_damaged_aside(&self, store: &SledStore) -> Result<(), Failure> {
        let runs = store.runs().map_err(|error| store_failure(&error))?;
        for unreadable in &runs.unreadable {
            let failure = commands::unreadable_failure(unreadable);
            if !unreadable.may_be_open() {
                self.printer.warning(&failure.message, &failure.hints);
                continue;
            }
            if !self.options.set_aside_damaged {
                let Failure { exit, message, causes, mut hints } = failure;
                hints.push(
                    "`--set-aside-damaged` goes on without it: the clusters are looked at, and what \
                     the run left half done is part of the new plan"
                        .to_owned(),
                );
                let message = format!("{message}; nothing was done");
                return Err(Failure { exit, message, causes, hints });
            }
            let aside =
                refit_store::set_aside(unreadable).map_err(|error| store_failure(&error))?;
            let Some(SetAside { from, to }) = aside else { return Err(failure) };
            let text = format!("{} is damaged and was set aside", from.display());
            self.printer.warning(&text, &[format!("it is kept as {}", to.display())]);
        }
        Ok(())
    }

    /// An earlier run that did not end, if this command is to go on with it. Another one is
    /// closed: what it left half done is part of every plan.
    fn open_run(
        &self,
        store: &mut SledStore,
        saved: Option<&SavedPlan>,
    ) -> Result<Option<Begun>, Failure> {
        let runs = store.runs().map_err(|error| store_failure(&error))?;
        let is_open = |run: &&RunSummary| run.state == RunState::Open;
        let Some(open) = runs.runs.iter().find(is_open) else { return Ok(None) };
        let run = open.run.clone();
        let now = self.clock.now();
        let continued =
            store.continue_run(&run, &self.who, now).map_err(|error| store_failure(&error))?;
        if let Some(torn) = &continued.dropped {
            let text = format!(
                "the last {} bytes of the journal of run {run} were not complete and were dropped",
                torn.bytes
            );
            self.printer.warning(&text, &[]);
        }
        if continued.lost > 0 {
            let text = format!(
                "{} records are missing at the end of the journal of run {run}; the clusters are \
                 looked at again",
                continued.lost
            );
            self.printer.warning(&text, &[]);
        }
        let plan = SavedPlan::from_bytes(&continued.plan).ok();
        let same = plan.as_ref().is_some_and(|plan| match saved {
            Some(saved) => saved.id == plan.id,
            None => {
                plan.plan.config_digest == self.fleet.digest
                    && plan.plan.selection == self.selection
                    && plan.plan.downgrade == self.downgrade
            }
        });
        match plan {
            Some(plan) if same => {
                self.printer.say(&format!("Continuing run {run} of plan {}.", plan.id));
                Ok(Some(self.resumed(run, plan.plan, continued.last_seq, &continued.records)))
            }
            plan => {
                let closed = [RecordKind::RunClosed { outcome: RunOutcome::Partly }];
                store.append(&run, continued.last_seq, now, &closed).map_err(|error| {
                    Failure::new(Exit::Failed, format!("cannot close run {run}")).because(&error)
                })?;
                self.printer.say(&format!(
                    "Run {run} was interrupted, and the files, the plan or the selection have changed \
                     since: it is closed."
                ));
                self.warn_of_left_behind(plan.as_ref());
                Ok(None)
            }
        }
    }

    /// What a closed run left half done is part of every plan of its clusters, but not of one
    /// that leaves them out.
    fn warn_of_left_behind(&self, closed: Option<&SavedPlan>) {
        let begun = closed.into_iter().flat_map(|saved| &saved.plan.waves);
        let names = begun.flat_map(|wave| &wave.clusters).filter(|name| {
            let declared = self.fleet.clusters.get(*name);
            declared.is_some_and(|cluster| !self.selection.takes(name, &cluster.channel))
        });
        let names: Vec<&str> = names.map(ClusterName::as_str).collect();
        if !names.is_empty() {
            let text = format!("what it left half done in {} stays so", names.join(", "));
            let hint = "a plan that selects these clusters puts it back".to_owned();
            self.printer.warning(&text, &[hint]);
        }
    }

    fn settings(&self, run: &RunId) -> Settings {
        Settings { run: run.clone(), who: self.who.clone(), parallelism: self.options.parallelism }
    }

    fn resumed(&self, run: RunId, plan: Plan, last_seq: u64, records: &[JournalRecord]) -> Begun {
        let engine = Engine::resume(plan.clone(), self.settings(&run), records);
        Begun { run, plan, last_seq, engine }
    }

    fn new_run(&self, store: &mut SledStore, saved: SavedPlan) -> Result<Begun, Failure> {
        let now = self.clock.now();
        let run = new_run_id(now);
        let handle = store
            .open_run(NewRun {
                run: run.clone(),
                fleet: self.fleet.name.clone(),
                plan: saved.id.clone(),
                plan_bytes: saved.to_bytes(),
                who: self.who.clone(),
                at: now,
            })
            .map_err(|error| store_failure(&error))?;
        // A run that cannot remove what is old is none the worse for it.
        match store.prune(Keep::Newest(RUNS_KEPT)) {
            Ok(pruned) if pruned.is_empty() => {}
            Ok(pruned) => self.printer.say(&commands::pruned_text(&pruned)),
            Err(error) => {
                let text = format!("old runs were not removed: {error}");
                self.printer.warning(&text, &[]);
            }
        }
        let engine = Engine::new(saved.plan.clone(), self.settings(&run));
        Ok(Begun { run, plan: saved.plan, last_seq: handle.last_seq, engine })
    }

    /// Records what the releases contain that the clusters of a plan run, or will run. A change to one
    /// of them is a finding from then on.
    fn record_releases(&self, store: &mut SledStore, plan: &Plan) {
        // People read it: a fraction of a second tells them nothing.
        let at = whole_seconds(self.clock.now());
        let applied = plan.clusters.iter().filter(|cluster| match cluster.status {
            ClusterStatus::Planned | ClusterStatus::UpToDate => true,
            ClusterStatus::Frozen | ClusterStatus::Blocked => false,
        });
        let names: BTreeSet<&ReleaseName> = applied.map(|cluster| &cluster.release).collect();
        let releases = names.into_iter().filter_map(|name| {
            let release = self.fleet.releases.get(name)?;
            let recorded = RecordedRelease { digest: release.content_digest(), at };
            Some((name.clone(), recorded))
        });
        if let Err(error) = store.record_releases(releases.collect()) {
            let failure = store_failure(&error);
            let text = format!("the releases of this run are not recorded: {}", failure.message);
            self.printer.warning(&text, &failure.hints);
        }
    }

    async fn drive(
        &self,
        store: &mut SledStore,
        begun: Begun,
        signals: Signals,
    ) -> Result<Report, Failure> {
        let Begun { run, plan, last_seq, engine } = begun;
        self.printer.say(&format!(
            "Run {run}. If it is stopped, this goes on with it:\n  {}\n",
            self.continue_command()
        ));
        let drive = Drive {
            engine,
            run,
            store,
            last_seq,
            fleet: Arc::clone(&self.fleet),
            observers: self.observers.clone(),
            actors: self.actors.clone(),
            clock: Arc::clone(&self.clock),
            stops: signals.of_run(),
            grace: self.options.grace.as_duration(),
            reporters: progress::reporters(&plan, self.events.as_ref(), self.printer)?,
        };
        drive.run().await.map_err(|error| {
            Failure::new(Exit::Failed, "cannot carry out the plan").because(&error)
        })
    }

    fn continue_command(&self) -> String {
        let mut command = "refit".to_owned();
        if self.directory != Path::new(".") {
            command.push_str(&format!(" --chdir {}", self.directory.display()));
        }
        command.push_str(" apply");
        if let Some(file) = &self.options.file {
            command.push_str(&format!(" {}", file.display()));
        } else {
            if self.options.auto_approve {
                command.push_str(" --auto-approve");
            }
            command.push_str(&fleet::as_options(&self.selection));
            for cluster in &self.downgrade {
                command.push_str(&format!(" --downgrade {cluster}"));
            }
            let Planning { selecting: _, replace, downgrade: _, refresh_images, now } =
                &self.options.planning;
            for (cluster, pool) in replace {
                command.push_str(&format!(" --replace {cluster}/{pool}"));
            }
            if *refresh_images {
                command.push_str(" --refresh-images");
            }
            if let Some(now) = now {
                command.push_str(&format!(" --now {now}"));
            }
        }
        command
    }

    /// The clusters that may go back, as the option has them.
    fn named_downgrade(&self) -> Vec<String> {
        self.downgrade.iter().map(ToString::to_string).collect()
    }

    /// The recap, and the second plan, which should be empty.
    async fn finish(&self, plan: &Plan, report: &Report) -> Result<Exit, Failure> {
        let outcomes = |id: &refit_model::ActionId| report.outcomes.get(id).cloned();
        let style = self.printer.style();
        let command = self.continue_command();
        let recap = refit_render::recap_text(plan, &report.recap, &outcomes, &command, style);
        self.printer.data(&recap)?;
        if let Some(reason) = &report.journal_failure {
            return Err(Failure::new(
                Exit::Failed,
                "the journal could not be written, so nothing more was done",
            )
            .hint(format!("make room or give permission, then run `{command}` again: {reason}")));
        }
        if report.outcome != RunOutcome::Interrupted {
            self.second_plan(report.outcome == RunOutcome::Done).await?;
        }
        Ok(match report.outcome {
            RunOutcome::Done if plan.is_blocked() => Exit::Blocked,
            RunOutcome::Done => Exit::Done,
            RunOutcome::Failed => Exit::Failed,
            RunOutcome::Partly => Exit::Partly,
            RunOutcome::Stale => Exit::Stale,
            RunOutcome::Interrupted => Exit::Interrupted,
        })
    }

    /// Plans once more, without what was asked for this once: an empty plan is only the end of it
    /// if the run was `done`.
    async fn second_plan(&self, done: bool) -> Result<(), Failure> {
        let planning = Planning { downgrade: self.named_downgrade(), ..Planning::default() };
        let known = FromState { durations: self.measured(), ..FromState::default() };
        let Made { plan, snapshot: _ } = self.make(&planning, known).await?;
        let once: Vec<&str> = [
            (!self.options.planning.replace.is_empty()).then_some("`--replace`"),
            self.options.planning.refresh_images.then_some("`--refresh-images`"),
        ]
        .into_iter()
        .flatten()
        .collect();
        let text = if plan.is_empty() && !once.is_empty() && !done {
            let mut text = format!("Without {} nothing is left to do.", once.join(" and "));
            if !self.options.planning.replace.is_empty() {
                text.push_str(
                    " The command above makes a new plan, which replaces all nodes of the pool again, \
                     also those that this run has replaced.",
                );
            }
            text
        } else if plan.is_empty() {
            match self.selection.only {
                None => "The second plan is empty: nothing is left to do.".to_owned(),
                Some(only) => format!("The second plan with `--only {only}` is empty."),
            }
        } else {
            let count = plan.actions.len();
            let actions =
                if count == 1 { "1 action".to_owned() } else { format!("{count} actions") };
            format!("The second plan has {actions}; `refit plan` shows what is left to do.")
        };
        self.printer.say(&text);
        Ok(())
    }
}

/// How many actions or notes are named in a message.
const SHOWN_MAX: usize = 10;

/// Whether every action of a plan finds its cluster as it would leave it, and no run has left
/// anything there that is still to be given back.
fn is_satisfied(plan: &Plan, snapshot: &Snapshot) -> bool {
    plan.actions.iter().all(|action| {
        let Some(cluster) = &action.cluster else { return true };
        let listed = plan.cluster(cluster).and_then(|listed| listed.identity.as_ref());
        match snapshot.clusters.get(cluster) {
            Some(Observation::Fresh(state)) => {
                let tagged = |group: &GroupState| group.tags.contains_key(RollTag::KEY);
                listed == Some(&state.identity)
                    && !matches!(action.kind, ActionKind::TidyUp { .. })
                    && action.precheck(state) == Precheck::AlreadySatisfied
                    && !state.groups.values().any(tagged)
            }
            Some(Observation::Unreachable { .. }) | None => false,
        }
    })
}

/// A saved plan that does not hold any more, or that somebody edited.
fn stale(id: &PlanId, notes: &[Note]) -> Failure {
    let text = format!(
        "plan {id} cannot be carried out: the clusters have changed since it was made, or somebody \
         edited it; nothing was done"
    );
    let mut failure = Failure::new(Exit::Stale, text);
    failure.causes.extend(notes.iter().take(SHOWN_MAX).map(ToString::to_string));
    if notes.len() > SHOWN_MAX {
        failure.causes.push(format!("{} more", notes.len() - SHOWN_MAX));
    }
    failure.hint("plan again with `refit plan -o FILE`")
}

/// Asks whether the plan that was shown is to be carried out.
fn ask() -> bool {
    let mut question = std::io::stderr();
    write!(question, "\nCarry out this plan? Only `yes` is taken for yes: ").ok();
    question.flush().ok();
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).ok();
    answer.trim() == "yes"
}

/// When it began, and something that no other run has.
fn new_run_id(now: refit_model::Timestamp) -> RunId {
    let time = now.to_string();
    let digits: String = time.chars().filter(char::is_ascii_alphanumeric).take(15).collect();
    let chance = fastrand::u32(..);
    format!("{digits}-{chance:08x}").parse().expect("letters, digits and a dash are a valid id")
}
