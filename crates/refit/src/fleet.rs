//! The fleet of a directory, and where its state lives.

use std::path::{Path, PathBuf};

use refit_config::{Loaded, Severity};
use refit_model::Fleet;

use crate::disk::Disk;
use crate::exit::{Exit, Failure};
use crate::output::Printer;

/// Reads the fleet; says everything that is wrong with its files.
///
/// # Errors
/// When something is: the problems have been shown.
pub(crate) fn load(directory: &Path, printer: &Printer) -> Result<Fleet, Failure> {
    let Loaded { fleet, diagnostics, sources } = refit_config::load(&Disk::new(directory)?);
    for diagnostic in &diagnostics {
        if diagnostic.severity == Severity::Error || !printer.quiet {
            let color = printer.error_style().color;
            printer.complain(&refit_config::render(diagnostic, &sources, color));
            printer.complain("");
        }
    }
    let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
    fleet.ok_or_else(|| {
        let problems =
            if errors == 1 { "1 problem".to_owned() } else { format!("{errors} problems") };
        Failure::new(Exit::Failed, format!("{problems} in the fleet's files; nothing was done"))
    })
}

/// Where the fleet's state lives.
pub(crate) fn state_directory(directory: &Path, fleet: &Fleet) -> PathBuf {
    directory.join(&fleet.state_path)
}
