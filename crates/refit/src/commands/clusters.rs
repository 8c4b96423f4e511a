//! `clusters`: what each cluster runs, and what a plan would do.

use std::path::Path;

use super::plan::{FromState, Made, gather, make};
use crate::cli::{Clusters, Format, Planning};
use crate::exit::{Exit, Failure};
use crate::fleet::{load, selected};
use crate::output::Printer;

/// `refit clusters`
pub(crate) fn clusters(
    directory: &Path,
    options: &Clusters,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let Clusters { selecting, observing, format } = options;
    let fleet = load(directory, printer)?;
    let selection = selected(&fleet, selecting)?;
    let names = refit_planner::needed(&fleet, &selection);
    let seen = gather(directory, &fleet, &names, observing)?;
    // Neither times nor warnings are shown, so nothing of the state store is needed.
    let planning = Planning::default();
    let Made { plan, snapshot } = make(&fleet, seen, &planning, selection, FromState::default())?;
    let list = refit_render::clusters_of(&fleet, &snapshot, &plan);
    match format.format {
        Format::Json => printer.json(&list)?,
        Format::Text => {
            printer.data(&refit_render::clusters_text(&list, printer.table_style()))?;
        }
    }
    Ok(Exit::Done)
}
