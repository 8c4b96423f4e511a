//! `observe` and `plan`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use refit_model::{
    ClusterName, Durations, Fleet, History, Plan, RecordedRelease, ReleaseName, SavedPlan,
    Selection, Snapshot, UpdateStrategy, digest_of, readable,
};
use refit_planner::Options;
use refit_runtime::Observers;
use refit_store::InUse;
use refit_verifier::Note;
use serde::Deserialize;

use super::inspect::plan_of;
use crate::cli::{Format, Observe, Observing, PlanOptions, PlanSource, Planning, Reaching};
use crate::disk::{self, Output};
use crate::exit::{Exit, Failure};
use crate::fleet::{downgraded, load, selected, state_directory};
use crate::output::Printer;
use crate::reach::{Means, observers};

/// `refit observe`
pub(crate) fn observe(
    directory: &Path,
    options: &Observe,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let fleet = load(directory, printer)?;
    let output = match options.output.as_deref() {
        Some(path) if path != Path::new("-") => Some((path, Output::of(path)?)),
        Some(_) | None => None,
    };
    let all: BTreeSet<ClusterName> = fleet.clusters.keys().cloned().collect();
    let snapshot = look(directory, &fleet, &all, &options.reaching, options.parallelism)?;
    let unseen = snapshot.clusters.iter().filter_map(|(name, seen)| match seen {
        refit_model::Observation::Unreachable { reason } => Some((name, reason)),
        refit_model::Observation::Fresh(_) => None,
    });
    let mut failed = false;
    for (name, reason) in unseen {
        failed = true;
        printer.complain(&format!("{name} could not be read: {reason}"));
    }
    match output {
        Some((path, output)) => {
            let mut bytes = serde_json::to_vec_pretty(&snapshot)
                .map_err(|error| Failure::new(Exit::Failed, "cannot write JSON").because(&error))?;
            bytes.push(b'\n');
            output.save(&bytes)?;
            let count = snapshot.clusters.len();
            printer.say(&format!("Saved what was seen of {count} clusters to {}.", path.display()));
        }
        None => printer.json(&snapshot)?,
    }
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

/// The snapshot of the file, or a look at the clusters.
///
/// # Errors
/// When the file is no snapshot of the fleet, or no cluster could be reached whatever its state.
pub(crate) fn gather(
    directory: &Path,
    fleet: &Fleet,
    names: &BTreeSet<ClusterName>,
    observing: &Observing,
) -> Result<Snapshot, Failure> {
    let Observing { snapshot, reaching, parallelism } = observing;
    match snapshot {
        Some(path) => read_snapshot(path, fleet),
        None => look(directory, fleet, names, reaching, *parallelism),
    }
}

/// Looks at these clusters of the fleet.
fn look(
    directory: &Path,
    fleet: &Fleet,
    names: &BTreeSet<ClusterName>,
    reaching: &Reaching,
    at_once: u32,
) -> Result<Snapshot, Failure> {
    let state = state_directory(directory, fleet);
    let kubeconfig = reaching.kubeconfig.as_deref();
    let means = Means { state: &state, kubeconfig, simulation_speed: 1 };
    block_on(async {
        let (observers, now) = observers(fleet, means).await?;
        Ok(take(fleet, names, &observers, now, at_once).await)
    })?
}

/// Looks at these clusters of the fleet, at a time of the caller's.
pub(crate) async fn take(
    fleet: &Fleet,
    names: &BTreeSet<ClusterName>,
    observers: &Observers,
    now: refit_model::Timestamp,
    at_once: u32,
) -> Snapshot {
    let at_once = usize::try_from(at_once).unwrap_or(usize::MAX);
    refit_runtime::observe(fleet, names, observers, now, at_once).await
}

/// Runs the asynchronous part of a command.
///
/// # Errors
/// When the operating system does not give what it takes.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    check_open_files()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, "cannot start").because(&error))?;
    Ok(runtime.block_on(future))
}

/// How many more files have to be open than are, before the runtime is started: it panics when it
/// cannot open what it listens for signals with.
const OPEN_FILES_MIN: usize = 16;

/// # Errors
/// When too few files may be open at once.
pub(crate) fn check_open_files() -> Result<(), Failure> {
    if !cfg!(unix) {
        return Ok(());
    }
    let opened: Result<Vec<File>, _> =
        (0..OPEN_FILES_MIN).map(|_| File::open("/dev/null")).collect();
    match opened {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::new(Exit::Failed, "too few files may be open at once")
                .because(&error)
                .hint("raise the limit in the shell that starts refit: `ulimit -n 1024`"))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Reads a snapshot's file.
fn read_snapshot(path: &Path, fleet: &Fleet) -> Result<Snapshot, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Head {
        format_version: Option<String>,
    }
    let bytes = disk::read(path)?;
    let unusable = |error: &serde_json::Error| {
        let text = format!("{} is not a snapshot of refit", path.display());
        let mut failure = Failure::new(Exit::Failed, text);
        failure.causes.push(if error.is_data() {
            format!("line {} is not what a snapshot has there", error.line().max(1))
        } else {
            format!("it is not JSON, from line {} on", error.line().max(1))
        });
        failure.hint("take one with `refit observe -o FILE`")
    };
    let head: Head = serde_json::from_slice(&bytes).map_err(|error| unusable(&error))?;
    let Some(format_version) = head.format_version else {
        let text = format!("{} is not a snapshot of refit", path.display());
        let mut failure = Failure::new(Exit::Failed, text);
        failure.causes.push("it has no `format-version`".to_owned());
        return Err(failure.hint("take one with `refit observe -o FILE`"));
    };
    if !readable(&format_version, Snapshot::FORMAT) {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "{} has format {}; this refit reads format {} and older minors",
                path.display(),
                format_version,
                Snapshot::FORMAT
            ),
        )
        .hint("take a new snapshot with `refit observe`, or use a newer refit"));
    }
    let snapshot: Snapshot = serde_json::from_slice(&bytes).map_err(|error| unusable(&error))?;
    if snapshot.fleet != fleet.name {
        return Err(Failure::new(
            Exit::Stale,
            format!(
                "{} is of the fleet {}, and the files are of {}",
                path.display(),
                snapshot.fleet,
                fleet.name
            ),
        ));
    }
    Ok(snapshot)
}

/// A plan with what it was made from.
pub(crate) struct Made {
    pub(crate) plan: Plan,
    pub(crate) snapshot: Snapshot,
}

/// Plans and verifies.
///
/// # Errors
/// When the command names pools that are not there, or the verifier refuses the plan.
pub(crate) fn make(
    fleet: &Fleet,
    snapshot: Snapshot,
    planning: &Planning,
    selection: Selection,
    known: FromState,
) -> Result<Made, Failure> {
    check_named(fleet, planning, &selection)?;
    let downgrade = downgraded(fleet, &planning.downgrade, &selection)?;
    let digest = digest_of(&snapshot);
    let FromState { durations, releases } = known;
    let options = Options {
        durations,
        recorded_releases: releases,
        replace: planning.replace.iter().cloned().collect(),
        downgrade,
        selection,
        refresh_images: planning.refresh_images,
        now: planning.now,
        snapshot_digest: Some(digest),
        made_with: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let plan = refit_planner::plan(fleet, &snapshot, &options);
    let notes = refit_verifier::verify_known(fleet, &snapshot, &digest, &plan);
    if notes.is_empty() { Ok(Made { plan, snapshot }) } else { Err(refused(&notes)) }
}

/// How many runs are asked how long their actions took. What a fleet did long ago says little of
/// what it does now, and reading takes time.
const RUNS_MAX: usize = 20;

/// What the state store contributes to a plan.
#[derive(Debug, Default)]
pub(crate) struct FromState {
    /// What earlier runs took.
    pub(crate) durations: Durations,
    /// The releases that were applied.
    pub(crate) releases: BTreeMap<ReleaseName, RecordedRelease>,
}

/// Reads what the state store contributes to a plan; it needs no lock.
pub(crate) fn from_state(state: &Path, snapshot: Option<&Path>, printer: &Printer) -> FromState {
    let durations = measured(state, snapshot);
    if snapshot.is_some() {
        // The plan is the same everywhere.
        return FromState { durations, releases: BTreeMap::new() };
    }
    let releases = refit_store::read_releases(state).unwrap_or_else(|error| {
        let failure = super::store_failure(&error);
        let text = format!(
            "it is not checked whether releases have changed since they were applied: {}",
            failure.message
        );
        printer.warning(&text, &failure.hints);
        BTreeMap::new()
    });
    FromState { durations, releases }
}

/// What the newest runs took; nothing for a plan from a saved snapshot, which is the same
/// everywhere. A store that cannot be read has nothing to say here: whoever needs it says what is
/// wrong with it.
pub(crate) fn measured(state: &Path, snapshot: Option<&Path>) -> Durations {
    let mut history = History::default();
    if snapshot.is_some() {
        return history.durations();
    }
    let runs = refit_store::read_runs(state).map(|list| list.runs).unwrap_or_default();
    for summary in runs.iter().take(RUNS_MAX) {
        let Ok(journal) = refit_store::read_run(state, &summary.run) else { continue };
        if let Some(plan) = plan_of(&journal) {
            history.add(&plan, &journal.records);
        }
    }
    history.durations()
}

/// Refuses names of pools and clusters that are not there.
///
/// # Errors
/// When there is one.
pub(crate) fn check_named(
    fleet: &Fleet,
    planning: &Planning,
    selection: &Selection,
) -> Result<(), Failure> {
    for (cluster, pool) in &planning.replace {
        let known = fleet.clusters.get(cluster).is_some_and(|c| c.pool(pool).is_some());
        if !known {
            return Err(Failure::new(
                Exit::Usage,
                format!("`--replace {cluster}/{pool}`: there is no such pool in the files"),
            ));
        }
        let declared = fleet.clusters.get(cluster);
        let update = declared.and_then(|c| c.pool(pool)).map(|pool| pool.update);
        if update == Some(UpdateStrategy::OnDelete) {
            return Err(Failure::new(
                Exit::Usage,
                format!(
                    "`--replace {cluster}/{pool}`: its nodes are replaced when they are deleted"
                ),
            )
            .hint("delete them, or take `update-strategy = \"on-delete\"` away"));
        }
        check_selected(fleet, cluster, selection, &format!("--replace {cluster}/{pool}"))?;
    }
    downgraded(fleet, &planning.downgrade, selection)?;
    Ok(())
}

/// Refuses an option that names a cluster which the plan is not about.
fn check_selected(
    fleet: &Fleet,
    cluster: &ClusterName,
    selection: &Selection,
    option: &str,
) -> Result<(), Failure> {
    let declared = fleet.clusters.get(cluster);
    if declared.is_some_and(|declared| !selection.takes(cluster, &declared.channel)) {
        let text = format!("`{option}`: {cluster} is not selected");
        return Err(Failure::new(Exit::Usage, text)
            .hint(format!("select it as well: `--cluster {cluster}`")));
    }
    Ok(())
}

/// The verifier found something: a defect of refit, never the user's.
fn refused(notes: &[Note]) -> Failure {
    let mut failure = Failure::new(
        Exit::Failed,
        "the plan does not hold to the rules, so it was thrown away (RF027)",
    );
    failure.causes.extend(notes.iter().take(10).map(ToString::to_string));
    failure.hint("this is a defect of refit: please report it, with the output of `refit observe`")
}

/// Makes the plan that the options of a command ask for.
///
/// # Errors
/// When a name of the selection is unknown, the clusters cannot be seen, or the plan breaks a rule.
pub(crate) fn make_from(
    directory: &Path,
    fleet: &Fleet,
    source: &PlanSource,
    printer: &Printer,
) -> Result<Made, Failure> {
    let PlanSource { planning, observing } = source;
    let selection = selected(fleet, &planning.selecting)?;
    let names = refit_planner::needed(fleet, &selection);
    let snapshot = gather(directory, fleet, &names, observing)?;
    let state = state_directory(directory, fleet);
    let known = from_state(&state, observing.snapshot.as_deref(), printer);
    make(fleet, snapshot, planning, selection, known)
}

/// `refit plan`
pub(crate) fn plan(
    directory: &Path,
    options: &PlanOptions,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let fleet = load(directory, printer)?;
    let output = options.output.as_deref().map(Output::of).transpose()?;
    let Made { plan, snapshot } = make_from(directory, &fleet, &options.source, printer)?;
    let saved = SavedPlan::new(plan);
    if let Some(output) = &output {
        output.save(&saved.to_bytes())?;
    }
    match options.format.format {
        Format::Json => printer.data(&String::from_utf8_lossy(&saved.to_bytes()))?,
        Format::Text => {
            let style = printer.style();
            let mut text = refit_render::plan_text(&saved.plan, Some(&fleet), style);
            if options.diff {
                text.push('\n');
                text.push_str(&refit_render::diff_text(&saved.plan, &fleet, &snapshot, style));
            }
            printer.data(&text)?;
        }
    }
    if let Some(path) = &options.output {
        printer.say(&format!("Saved. `refit apply {}` carries it out.", path.display()));
    }
    if saved.plan.is_blocked() && options.source.observing.snapshot.is_none() {
        hint_at_run(&state_directory(directory, &fleet), printer);
    }
    Ok(exit_of(&saved.plan, options.detailed_exitcode))
}

/// What blocks a plan may be what a run is just doing, such as an instance of a control plane
/// that is being replaced. Whether one is, is only asked to be helpful: an error is no matter.
fn hint_at_run(state: &Path, printer: &Printer) {
    if let Ok(InUse::By(holder)) = refit_store::in_use(state) {
        let who = holder.map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
        printer.hint(&format!(
            "a run is in progress, and what blocks may be its doing: {who}; `refit status` shows \
             how far it is"
        ));
    }
}

/// How a command that made a plan exits.
pub(crate) fn exit_of(plan: &Plan, detailed: bool) -> Exit {
    if plan.is_blocked() {
        Exit::Blocked
    } else if detailed && !plan.is_empty() {
        Exit::Pending
    } else {
        Exit::Done
    }
}
