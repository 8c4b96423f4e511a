//! What one does before there is anything to plan: `init`, `validate`, `completions`, `man`.

use std::path::Path;

use clap::CommandFactory;
use refit_config::{Diagnostic, Severity, Sources};
use refit_model::{Cluster, ClusterName, FileProblem, Fleet, Provider};

use crate::cli::{Cli, Completions, Format, Init, Man, Validate};
use crate::disk::{self, Disk};
use crate::exit::{Exit, Failure};
use crate::fleet;
use crate::output::Printer;

/// `refit init`
pub(crate) fn init(directory: &Path, options: &Init, printer: &Printer) -> Result<Exit, Failure> {
    let cannot = |path: &Path, error: &std::io::Error| {
        Failure::new(Exit::Failed, format!("cannot write {}", path.display())).because(error)
    };
    // The cluster joins a fleet that is there.
    let is_there = directory.join(refit_config::FLEET_FILE).exists();
    let fleet = is_there.then(|| fleet::load(directory, printer)).transpose()?;
    let files = files(options, fleet.as_ref(), printer)?;
    if let Some((path, _)) = files.iter().find(|(path, _)| directory.join(path).exists()) {
        return Err(Failure::new(
            Exit::Failed,
            format!("{} exists already; nothing was written", directory.join(path).display()),
        )
        .hint("choose another directory with `--chdir DIR`"));
    }
    for (path, content) in &files {
        let full = directory.join(path);
        if let Some(parent) = full.parent() {
            std::fs::create_dir_all(parent).map_err(|error| cannot(parent, &error))?;
        }
        disk::save(&full, content.as_bytes())?;
        printer.say(&format!("wrote {}", full.display()));
    }
    let state = fleet.as_ref().map_or(refit_config::STATE_PATH, |fleet| &fleet.state_path);
    ignore(directory, state, printer)?;
    let chdir = if directory == Path::new(".") {
        String::new()
    } else {
        format!("--chdir {} ", directory.display())
    };
    printer.say(&format!("\nNext: `refit {chdir}plan` shows what would be done."));
    Ok(Exit::Done)
}

/// Makes git ignore what belongs to one checkout: the state directory and saved plans. Lines that
/// are there stay.
fn ignore(directory: &Path, state: &str, printer: &Printer) -> Result<(), Failure> {
    let path = directory.join(".gitignore");
    let before = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            let text = format!("cannot read {}", path.display());
            return Err(Failure::new(Exit::Failed, text).because(&error));
        }
    };
    let mut wanted = vec![format!("/{state}/"), "*.plan".to_owned()];
    wanted.retain(|line| !before.lines().any(|there| there.trim() == line));
    if wanted.is_empty() {
        return Ok(());
    }
    let mut text = before;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str("# The state of refit, and saved plans.\n");
    for line in wanted {
        text.push_str(&line);
        text.push('\n');
    }
    disk::save(&path, text.as_bytes())?;
    printer.say(&format!("wrote {}", path.display()));
    Ok(())
}

/// Returns what is written: something to try, or what a cluster runs. In a fleet that is there, one
/// more cluster.
fn files(
    options: &Init,
    fleet: Option<&Fleet>,
    printer: &Printer,
) -> Result<Vec<(String, String)>, Failure> {
    #[cfg(feature = "aws")]
    if let Some(context) = &options.from_context {
        return super::discover::files(context, options, fleet, printer);
    }
    let Some(fleet) = fleet else {
        let starter = refit_config::starter(&options.name);
        return Ok(starter.into_iter().map(|(path, text)| (path.to_owned(), text)).collect());
    };
    let is_real = |cluster: &Cluster| matches!(cluster.provider, Provider::Aws(_));
    if fleet.clusters.values().any(is_real) {
        let text = "a fleet is here already, and its clusters are real; nothing was written";
        return Err(Failure::new(Exit::Failed, text)
            .hint("add a cluster that runs: `refit init --from-context CONTEXT`"));
    }
    let (Some(channel), Some(kubernetes)) = (fleet.channels.first(), fleet.available.iter().min())
    else {
        let text = "fleet.toml has no channel or no available version; nothing was written";
        return Err(Failure::new(Exit::Failed, text));
    };
    let names = (1..).map(|number| format!("{}-{number}", channel.name).parse::<ClusterName>());
    let mut free =
        names.filter(|name| !name.as_ref().is_ok_and(|n| fleet.clusters.contains_key(n)));
    let Some(Ok(name)) = free.next() else {
        let text = format!("the channel {} has too long a name to name clusters by", channel.name);
        return Err(Failure::new(Exit::Failed, text));
    };
    let text = refit_config::starter_cluster(&name, &channel.name, kubernetes);
    printer.say(&format!("{name} is a simulated cluster in the channel {}", channel.name));
    Ok(vec![(format!("clusters/{name}.toml"), text)])
}

fn problem<'a>(diagnostic: &'a Diagnostic, sources: &Sources) -> FileProblem<'a> {
    let position = diagnostic.position(sources);
    FileProblem {
        severity: match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        message: &diagnostic.message,
        file: diagnostic.primary.as_ref().map(|mark| mark.file.as_str()),
        line: position.map(|(line, _)| line),
        column: position.map(|(_, column)| column),
        hints: &diagnostic.hints,
    }
}

/// `refit validate`
pub(crate) fn validate(
    directory: &Path,
    options: &Validate,
    printer: &Printer,
) -> Result<Exit, Failure> {
    if options.output.format == Format::Json {
        let loaded = refit_config::load(&Disk::new(directory)?);
        let problems: Vec<FileProblem<'_>> = loaded
            .diagnostics
            .iter()
            .map(|diagnostic| problem(diagnostic, &loaded.sources))
            .collect();
        printer.json(&problems)?;
        return Ok(if loaded.fleet.is_some() { Exit::Done } else { Exit::Failed });
    }
    let fleet = fleet::load(directory, printer)?;
    let count =
        |n: usize, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
    printer.say(&format!(
        "The files are fine: {}, {}, {}.",
        count(fleet.clusters.len(), "cluster"),
        count(fleet.releases.len(), "release"),
        count(fleet.addons.len(), "add-on")
    ));
    Ok(Exit::Done)
}

/// `refit completions`
pub(crate) fn completions(options: &Completions, printer: &Printer) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "refit", &mut script);
    printer.data(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

/// `refit man`
pub(crate) fn man(options: &Man, printer: &Printer) -> Result<Exit, Failure> {
    let cannot = |what: &dyn std::fmt::Display, error: &std::io::Error| {
        Failure::new(Exit::Failed, format!("cannot write {what}")).because(error)
    };
    let Some(directory) = &options.output else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command())
            .render(&mut page)
            .map_err(|error| cannot(&"the manual page", &error))?;
        printer.data(&String::from_utf8_lossy(&page))?;
        return Ok(Exit::Done);
    };
    std::fs::create_dir_all(directory).map_err(|error| cannot(&directory.display(), &error))?;
    clap_mangen::generate_to(Cli::command(), directory)
        .map_err(|error| cannot(&directory.display(), &error))?;
    printer.say(&format!("wrote the manual pages to {}", directory.display()));
    Ok(Exit::Done)
}
