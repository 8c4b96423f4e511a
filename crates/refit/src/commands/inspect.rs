//! What one asks about the past and the store: `show`, `status`, `history`, `state`.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use refit_model::{
    PastRun, Plan, PlanFileError, RunId, RunRecords, RunStatus, SavedPlan, StateContents,
    StoredBlob, StoredRun,
};
use refit_render::{RunLine, StatusInput, WorkedOn};
use refit_store::{
    BlobListing, InUse, Keep, Lost, OpenOptions, Probe, ProbeResult, Pruned, RUNS_KEPT, Recovery,
    RunJournal, RunState, RunSummary, Shown, SledStore, StateListing, StoreError, UnlockOutcome,
    UnreadableRun,
};

use crate::cli::{Format, FormatOption, History, Prune, Show, State, StateCommand, Status};
use crate::disk;
use crate::exit::{Exit, Failure};
use crate::fleet::{load, state_directory};
use crate::output::Printer;

/// What the store says, for the user.
pub(crate) fn store_failure(error: &StoreError) -> Failure {
    let exit = if matches!(error, StoreError::Locked { .. }) { Exit::Locked } else { Exit::Failed };
    let mut failure = Failure::new(exit, error);
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        failure.causes.push(next.to_string());
        cause = next.source();
    }
    failure.hints.extend(error.hint());
    failure
}

/// A journal that cannot be read, for the user.
pub(crate) fn unreadable_failure(unreadable: &UnreadableRun) -> Failure {
    let mut failure = store_failure(&unreadable.error);
    let run = unreadable.path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    failure.message = match (run, unreadable.state) {
        (Some(run), Some(RunState::Closed { .. })) => {
            format!(
                "the journal of run {run}, which has ended, cannot be read: {}",
                failure.message
            )
        }
        (Some(run), Some(RunState::Open) | None) => {
            format!(
                "the journal of run {run}, which may not have ended, cannot be read: {}",
                failure.message
            )
        }
        (None, _) => failure.message,
    };
    failure
}

/// How many blobs that are lost are named. The rest is a number: nobody reads a thousand digests.
const LOST_NAMED_MAX: usize = 5;

/// What had to be put right in the store, for the user: warnings with their hints.
pub(crate) fn recovery_warnings(recovery: &Recovery) -> Vec<(String, Vec<String>)> {
    let Recovery { problem, quarantined, lost, epoch_damaged } = recovery;
    let mut warnings = Vec::new();
    if *epoch_damaged {
        let text = "the file `epoch` of the state directory was damaged: it had no number in it, and \
                    was made again from the journals";
        warnings.push((text.to_owned(), Vec::new()));
    }
    if let Some(problem) = problem {
        let mut hints = Vec::new();
        if let Some(aside) = quarantined {
            hints.push(format!(
                "the damaged index is kept as {}; delete it when nobody wants to look into it",
                aside.display()
            ));
        }
        let text = "the index of the state store was damaged and was made again from the journals";
        warnings.push((format!("{text}: {problem}"), hints));
    }
    let (known, more) = match lost {
        Lost::Known(known) => (known, false),
        Lost::AtLeast(known) => (known, true),
    };
    let hints = || {
        vec![
            "runs and their plans are not affected; take lost snapshots again with `refit observe`"
                .to_owned(),
        ]
    };
    if !known.is_empty() {
        let named: Vec<String> = known
            .iter()
            .take(LOST_NAMED_MAX)
            .map(|blob| format!("{} ({} bytes)", blob.digest.short(), blob.bytes))
            .collect();
        let rest = known.len() - named.len();
        let and_more = if rest > 0 { format!(", and {rest} more") } else { String::new() };
        let count = refit_render::count(known.len(), "snapshot, plan or report");
        let text = format!(
            "{} that no journal holds {} lost: {}{and_more}",
            count.replace("snapshot, plan or reports", "snapshots, plans or reports"),
            if known.len() == 1 { "is" } else { "are" },
            named.join(", ")
        );
        warnings.push((text, hints()));
    }
    if more {
        let text = "snapshots, reports, and plans without a run that were in the index are lost; \
                    how many is not known, because the list of them is damaged or missing, too";
        warnings.push((text.to_owned(), if known.is_empty() { hints() } else { Vec::new() }));
    }
    warnings
}

/// Why a saved plan cannot be used, for the user.
pub(crate) fn plan_failure(path: &Path, error: &PlanFileError) -> Failure {
    let hint = match error {
        PlanFileError::NotAPlan(_) => "make one with `refit plan -o FILE`",
        PlanFileError::Format { .. } => "use the refit that made it, or plan again",
        PlanFileError::Damaged { .. } => "plan again with `refit plan -o FILE`",
    };
    // What the parser says is about its types, and helps nobody; the line does.
    let cause = match error {
        PlanFileError::NotAPlan(source) if source.line() > 0 => {
            format!("{error} (line {})", source.line())
        }
        PlanFileError::NotAPlan(_)
        | PlanFileError::Format { .. }
        | PlanFileError::Damaged { .. } => error.to_string(),
    };
    let mut failure = Failure::new(Exit::Failed, format!("cannot use {}", path.display()));
    failure.causes.push(cause);
    failure.hint(hint)
}

/// `refit show`
pub(crate) fn show(directory: &Path, options: &Show, printer: &Printer) -> Result<Exit, Failure> {
    let path = Path::new(&options.what);
    if path.is_file() {
        let saved = SavedPlan::from_bytes(&disk::read(path)?)
            .map_err(|error| plan_failure(path, &error))?;
        match options.format.format {
            Format::Json => printer.data(&String::from_utf8_lossy(&saved.to_bytes()))?,
            Format::Text => {
                printer.data(&refit_render::plan_text(&saved.plan, None, printer.style()))?;
            }
        }
        return Ok(Exit::Done);
    }
    let unknown = || {
        Failure::new(Exit::Usage, format!("`{}` is neither a file nor a run", options.what))
            .hint("`refit history` lists runs")
    };
    let run: RunId = options.what.parse().map_err(|_| unknown())?;
    let fleet = load(directory, printer)?;
    let state = state_directory(directory, &fleet);
    let journal = match refit_store::read_run(&state, &run) {
        Ok(journal) => journal,
        Err(StoreError::NoSuchRun { .. }) => return Err(unknown()),
        Err(error) => return Err(store_failure(&error)),
    };
    show_run(&journal, options.format.format, printer)
}

fn show_run(journal: &RunJournal, format: Format, printer: &Printer) -> Result<Exit, Failure> {
    match format {
        Format::Json => {
            printer.json(&RunRecords { run: &journal.run, records: &journal.records })?;
        }
        Format::Text => {
            let plan = plan_of(journal);
            let input = StatusInput {
                run: &journal.run,
                plan: plan.as_ref(),
                records: &journal.records,
                now: None,
                worked_on: WorkedOn::Unknown,
            };
            printer.data(&refit_render::run_text(&input, printer.style()))?;
        }
    }
    Ok(Exit::Done)
}

/// The plan that stands in a run's journal.
pub(crate) fn plan_of(journal: &RunJournal) -> Option<Plan> {
    SavedPlan::from_bytes(&journal.plan).ok().map(|saved| saved.plan)
}

/// `refit status`
pub(crate) fn status(
    directory: &Path,
    options: &Status,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let fleet = load(directory, printer)?;
    let state = state_directory(directory, &fleet);
    let runs = refit_store::read_runs(&state).map_err(|error| store_failure(&error))?;
    for unreadable in &runs.unreadable {
        printer.failure(&unreadable_failure(unreadable));
    }
    let exit = if runs.unreadable.is_empty() { Exit::Done } else { Exit::Failed };
    let Some(last) = runs.runs.first() else {
        if options.format.format == Format::Json {
            printer.json(&no_run())?;
        } else if runs.unreadable.is_empty() {
            printer.say("No run yet.");
        }
        return Ok(exit);
    };
    let journal =
        refit_store::read_run(&state, &last.run).map_err(|error| store_failure(&error))?;
    let plan = plan_of(&journal);
    // A world that cannot be read is another command's to report.
    let last = journal.records.last().map(|record| record.at);
    let now = crate::reach::now(&fleet, &state).ok().max(last);
    let in_use = refit_store::in_use(&state).map_err(|error| store_failure(&error))?;
    let holder;
    let worked_on = match &in_use {
        InUse::No => WorkedOn::ByNobody,
        InUse::By(Some(found)) if found.run.as_ref() == Some(&journal.run) => {
            holder = found.to_string();
            WorkedOn::By(&holder)
        }
        // A process that has not said yet what it does.
        InUse::By(_) => WorkedOn::Unknown,
    };
    let (run, records) = (&journal.run, &journal.records);
    let input = StatusInput { run, plan: plan.as_ref(), records, now, worked_on };
    match options.format.format {
        Format::Json => printer.json(&refit_render::status_of(&input))?,
        Format::Text => printer.data(&refit_render::status_text(&input, printer.style()))?,
    }
    Ok(exit)
}

/// The status of a fleet to which nothing was applied yet.
fn no_run() -> RunStatus {
    RunStatus {
        format_version: RunStatus::FORMAT.to_owned(),
        run: None,
        plan: None,
        who: None,
        opened_at: None,
        last_at: None,
        outcome: None,
        under_way: None,
        clusters: Vec::new(),
    }
}

fn past(summary: &RunSummary) -> PastRun {
    let (state, ended_at) = match &summary.state {
        RunState::Open => ("open".to_owned(), None),
        RunState::Closed { outcome } => {
            let outcome = serde_json::to_value(outcome).ok();
            let name = outcome.as_ref().and_then(|value| value.as_str()).unwrap_or("closed");
            (name.to_owned(), Some(summary.last_at))
        }
    };
    PastRun {
        run: summary.run.clone(),
        plan: summary.plan.clone(),
        who: summary.who.clone(),
        opened_at: summary.opened_at,
        ended_at,
        state,
    }
}

/// `refit history`
pub(crate) fn history(
    directory: &Path,
    options: &History,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let fleet = load(directory, printer)?;
    let state = state_directory(directory, &fleet);
    let list = refit_store::read_runs(&state).map_err(|error| store_failure(&error))?;
    for unreadable in &list.unreadable {
        printer.failure(&unreadable_failure(unreadable));
    }
    let runs: Vec<PastRun> = list.runs.iter().map(past).collect();
    match options.format.format {
        Format::Json => printer.json(&runs)?,
        Format::Text if runs.is_empty() && list.unreadable.is_empty() => {
            printer.say("No run yet.");
        }
        Format::Text => {
            let lines: Vec<RunLine> = runs
                .into_iter()
                .map(|PastRun { run, plan, who, opened_at, ended_at, state }| RunLine {
                    run,
                    plan,
                    who,
                    opened_at,
                    ended_at,
                    state,
                })
                .collect();
            printer.data(&refit_render::history_text(&lines, printer.style()))?;
        }
    }
    Ok(if list.unreadable.is_empty() { Exit::Done } else { Exit::Failed })
}

/// `refit state`
pub(crate) fn state(directory: &Path, options: &State, printer: &Printer) -> Result<Exit, Failure> {
    let fleet = load(directory, printer)?;
    let state = state_directory(directory, &fleet);
    match &options.command {
        StateCommand::List(format) => list(&state, format, printer),
        StateCommand::Show { name } => {
            let probe = probe();
            let shown = refit_store::show(&state, name, Some(&probe))
                .map_err(|error| store_failure(&error))?;
            match shown {
                Some(Shown::Run(journal)) => show_run(&journal, Format::Json, printer),
                Some(Shown::Blob { digest: _, bytes }) => {
                    printer.data(&String::from_utf8_lossy(&bytes))?;
                    Ok(Exit::Done)
                }
                Some(Shown::Ambiguous(digests)) => {
                    let mut failure =
                        Failure::new(Exit::Usage, format!("`{name}` names more than one blob"));
                    failure.causes.extend(digests.iter().map(ToString::to_string));
                    Err(failure)
                }
                None => Err(Failure::new(
                    Exit::Usage,
                    format!("the store has neither a run nor a blob `{name}`"),
                )
                .hint("`refit state list` lists both")),
            }
        }
        StateCommand::Prune(Prune { keep, keep_runs }) => {
            let keep = match (keep, keep_runs) {
                (Some(period), _) => {
                    let now = crate::reach::now(&fleet, &state)?;
                    Keep::Within { period: *period, now }
                }
                (None, count) => {
                    let count =
                        count.map_or(RUNS_KEPT, |n| usize::try_from(n).unwrap_or(usize::MAX));
                    Keep::Newest(count)
                }
            };
            prune(&state, keep, printer)
        }
        StateCommand::Unlock => {
            match refit_store::unlock(&state).map_err(|error| store_failure(&error))? {
                UnlockOutcome::NotLocked => printer.say("Nothing is locked."),
                UnlockOutcome::Removed(Some(holder)) => {
                    printer.say(&format!("Removed what was left of the lock of {holder}."));
                }
                UnlockOutcome::Removed(None) => printer.say("Removed what was left of a lock."),
                UnlockOutcome::Held(holder) => {
                    let who = holder.map_or_else(|| "a process".to_owned(), |h| h.to_string());
                    return Err(Failure::new(
                        Exit::Locked,
                        format!("{who} holds the lock, and lives"),
                    )
                    .hint("wait for it, or stop that process"));
                }
            }
            Ok(Exit::Done)
        }
    }
}

fn prune(state: &Path, keep: Keep, printer: &Printer) -> Result<Exit, Failure> {
    if !state.exists() {
        printer.say("No run yet.");
        return Ok(Exit::Done);
    }
    let open = OpenOptions {
        who: crate::apply::who(),
        command: "refit state prune".to_owned(),
        probe: Some(probe()),
        ..OpenOptions::default()
    };
    let mut store = SledStore::open(state, open).map_err(|error| store_failure(&error))?;
    for (warning, hints) in recovery_warnings(store.recovery()) {
        printer.warning(&warning, &hints);
    }
    let pruned = store.prune(keep).map_err(|error| store_failure(&error))?;
    printer.say(&pruned_text(&pruned));
    Ok(Exit::Done)
}

/// What was removed, in a sentence.
pub(crate) fn pruned_text(pruned: &Pruned) -> String {
    let Pruned { runs, set_aside, bytes } = pruned;
    let runs = match runs.len() {
        0 => None,
        1 => Some("the journal of 1 run".to_owned()),
        count => Some(format!("the journals of {count} runs")),
    };
    let set_aside = match set_aside {
        0 => None,
        1 => Some("1 damaged journal that was set aside".to_owned()),
        count => Some(format!("{count} damaged journals that were set aside")),
    };
    let removed: Vec<String> = runs.into_iter().chain(set_aside).collect();
    if removed.is_empty() {
        return "Nothing to remove.".to_owned();
    }
    format!("Removed {}, {bytes} bytes.", removed.join(" and "))
}

fn list(state: &Path, format: &FormatOption, printer: &Printer) -> Result<Exit, Failure> {
    let probe = probe();
    let listing = refit_store::list(state, Some(&probe)).map_err(|error| store_failure(&error))?;
    let StateListing {
        dir,
        epoch: _,
        holder,
        journals,
        unreadable,
        blobs,
        index_bytes,
        quarantined,
    } = listing;
    for broken in &unreadable {
        printer.failure(&unreadable_failure(broken));
    }
    if let Some(holder) = &holder {
        printer.say(&format!("Locked by {holder}."));
    }
    for old in &quarantined {
        printer.say(&format!("A damaged index was put aside: {}.", old.path.display()));
    }
    let runs = journals
        .iter()
        .map(|journal| StoredRun {
            file: journal.path.display().to_string(),
            bytes: journal.bytes,
            run: journal.summary.run.clone(),
            records: journal.summary.records,
        })
        .collect();
    let blobs = match blobs {
        BlobListing::Listed(blobs) => blobs
            .into_iter()
            .map(|blob| StoredBlob { digest: blob.digest, bytes: blob.bytes })
            .collect(),
        BlobListing::InUse => {
            printer.say("A run holds the index: its blobs are not listed.");
            Vec::new()
        }
        BlobListing::Unreadable { problem } => {
            printer.say(&format!(
                "The index cannot be read, and is rebuilt by the next apply: {problem}"
            ));
            Vec::new()
        }
    };
    let listed = StateContents { runs, blobs, index_bytes };
    match format.format {
        Format::Json => printer.json(&listed)?,
        Format::Text => {
            let mut text = format!("{}\n", dir.display());
            for run in &listed.runs {
                let StoredRun { file: _, bytes, run, records } = run;
                text.push_str(&format!("  run   {run}  {records} records, {bytes} bytes\n"));
            }
            for blob in &listed.blobs {
                text.push_str(&format!("  blob  {}  {} bytes\n", blob.digest.short(), blob.bytes));
            }
            text.push_str(&format!("  index {} bytes\n", listed.index_bytes));
            printer.data(&text)?;
        }
    }
    Ok(if unreadable.is_empty() { Exit::Done } else { Exit::Failed })
}

/// How long a child may take to read an index: some hundred thousand entries a second.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads an index in a short-lived child process, because a damaged one may end or hang it.
pub(crate) fn probe() -> Probe {
    Box::new(|index: &Path| {
        let unavailable =
            |error: &std::io::Error| ProbeResult::Unavailable { problem: error.to_string() };
        let program = match std::env::current_exe() {
            Ok(program) => program,
            Err(error) => return unavailable(&error),
        };
        let child = Command::new(program)
            .arg(PROBE)
            .arg(index)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => return unavailable(&error),
        };
        let begun = Instant::now();
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return ProbeResult::Sound,
                Ok(Some(status)) => {
                    let problem = said(&mut child)
                        .unwrap_or_else(|| format!("reading it ended with {status}"));
                    return ProbeResult::Damaged { problem };
                }
                Ok(None) if begun.elapsed() > PROBE_TIMEOUT => {
                    child.kill().ok();
                    child.wait().ok();
                    let problem =
                        format!("reading it took more than {} s", PROBE_TIMEOUT.as_secs());
                    return ProbeResult::Damaged { problem };
                }
                Ok(None) => std::thread::sleep(Duration::from_millis(2)),
                Err(error) => return unavailable(&error),
            }
        }
    })
}

/// How much of what a child says is heard. It is read when the child has ended, and more than
/// this fits into a pipe.
const SAID_BYTES_MAX: u64 = 1000;

/// What a child that has ended said was wrong.
fn said(child: &mut Child) -> Option<String> {
    let mut text = Vec::new();
    child.stdout.take()?.take(SAID_BYTES_MAX).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    if text.is_empty() { None } else { Some(text) }
}

/// What a child is called with. It is no command of the command line: nobody else needs it, so
/// neither help nor completions know it.
const PROBE: &str = "probe-index";

/// The child's part: how to exit, when this process is one.
pub(crate) fn probe_index(mut arguments: impl Iterator<Item = OsString>) -> Option<Exit> {
    let (_program, command, index) = (arguments.next()?, arguments.next()?, arguments.next());
    if command != PROBE {
        return None;
    }
    Some(match refit_store::probe_in_this_process(Path::new(&index?)) {
        ProbeResult::Sound => Exit::Done,
        ProbeResult::Damaged { problem } | ProbeResult::Unavailable { problem } => {
            std::io::stdout().write_all(problem.as_bytes()).ok();
            Exit::Failed
        }
    })
}
