//! What one does before there is anything to plan: `init`, `validate`, `completions`, `man`.

use std::path::Path;

use clap::CommandFactory;
use refit_config::{Diagnostic, Severity, Sources};
use serde::Serialize;

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
    let files = files(options, printer)?;
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
    let chdir = if directory == Path::new(".") {
        String::new()
    } else {
        format!("--chdir {} ", directory.display())
    };
    printer.say(&format!("\nNext: `refit {chdir}plan` shows what would be done."));
    Ok(Exit::Done)
}

/// What is written: something to try, or what a cluster runs.
fn files(options: &Init, printer: &Printer) -> Result<Vec<(String, String)>, Failure> {
    #[cfg(feature = "aws")]
    if let Some(context) = &options.from_context {
        return super::discover::files(context, options, printer);
    }
    #[cfg(not(feature = "aws"))]
    let _ = printer;
    let starter = refit_config::starter(&options.name);
    Ok(starter.into_iter().map(|(path, text)| (path.to_owned(), text)).collect())
}

/// A problem, for programs.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Problem<'a> {
    severity: &'static str,
    message: &'a str,
    file: Option<&'a str>,
    line: Option<u32>,
    column: Option<u32>,
    hints: &'a [String],
}

impl<'a> Problem<'a> {
    fn new(diagnostic: &'a Diagnostic, sources: &Sources) -> Self {
        let position = diagnostic.position(sources);
        Self {
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
}

/// `refit validate`
pub(crate) fn validate(
    directory: &Path,
    options: &Validate,
    printer: &Printer,
) -> Result<Exit, Failure> {
    if options.output.format == Format::Json {
        let loaded = refit_config::load(&Disk::new(directory)?);
        let problems: Vec<Problem<'_>> = loaded
            .diagnostics
            .iter()
            .map(|diagnostic| Problem::new(diagnostic, &loaded.sources))
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
