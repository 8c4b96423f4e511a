//! `explain` and `graph`: what one asks about a plan.

use std::path::Path;

use refit_config::Loaded;
use refit_model::{Fleet, Plan, SavedPlan};
use refit_planner::{UnknownName, WhyUnknown};

use super::plan::{Made, make_from};
use super::plan_failure;
use crate::cli::{Explain, Format, Graph, GraphFormat, PlanSource};
use crate::disk::{self, Disk};
use crate::exit::{Exit, Failure};
use crate::fleet::load;
use crate::output::Printer;

/// A plan to look into, with the files that it was made from, if they are at hand.
struct Asked {
    plan: Plan,
    fleet: Option<Fleet>,
}

/// `refit explain`
pub(crate) fn explain(
    directory: &Path,
    options: &Explain,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let Asked { plan, fleet } =
        asked(directory, options.file.as_deref(), &options.source, printer)?;
    let explanation = refit_planner::explain(&plan, fleet.as_ref(), &options.what)
        .map_err(|unknown| unknown_name(&unknown))?;
    match options.format.format {
        Format::Json => printer.json(&explanation)?,
        Format::Text => {
            printer.data(&refit_render::explanation_text(&explanation, printer.style()))?;
        }
    }
    Ok(Exit::Done)
}

/// `refit graph`
pub(crate) fn graph(directory: &Path, options: &Graph, printer: &Printer) -> Result<Exit, Failure> {
    let plan = match options.file.as_deref() {
        Some(path) => read(path)?,
        None => asked(directory, None, &options.source, printer)?.plan,
    };
    let text = match options.format {
        GraphFormat::Dot => refit_render::graph_dot(&plan),
        GraphFormat::Mermaid => refit_render::graph_mermaid(&plan),
    };
    printer.data(&text)?;
    Ok(Exit::Done)
}

/// Reads a saved plan.
fn read(path: &Path) -> Result<Plan, Failure> {
    let saved =
        SavedPlan::from_bytes(&disk::read(path)?).map_err(|error| plan_failure(path, &error))?;
    Ok(saved.plan)
}

/// The saved plan, or the one that `refit plan` would make.
fn asked(
    directory: &Path,
    file: Option<&Path>,
    source: &PlanSource,
    printer: &Printer,
) -> Result<Asked, Failure> {
    if let Some(path) = file {
        let plan = read(path)?;
        let fleet = files_of(directory, &plan, printer)?;
        return Ok(Asked { plan, fleet });
    }
    let fleet = load(directory, printer)?;
    let Made { plan, snapshot: _ } = make_from(directory, &fleet, source, printer)?;
    Ok(Asked { plan, fleet: Some(fleet) })
}

/// The files that a saved plan was made from, if they are those of the directory.
fn files_of(directory: &Path, plan: &Plan, printer: &Printer) -> Result<Option<Fleet>, Failure> {
    if !directory.join("fleet.toml").exists() {
        return Ok(None);
    }
    let Loaded { fleet, .. } = refit_config::load(&Disk::new(directory)?);
    let same = fleet.filter(|fleet| fleet.digest == plan.config_digest);
    if same.is_none() {
        let text = "the plan was made from other files than those here, so they are left aside";
        printer.warning(text, &[]);
    }
    Ok(same)
}

/// How many names are listed; the plan has all.
const NAMED_MAX: usize = 10;

fn unknown_name(unknown: &UnknownName) -> Failure {
    let mut failure = Failure::new(Exit::Usage, unknown);
    let quoted = |names: &[String]| {
        names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    };
    let (near, hint) = match &unknown.why {
        WhyUnknown::Nothing { near } => {
            (near.as_slice(), "`refit explain CLUSTER` lists the actions of a cluster".to_owned())
        }
        WhyUnknown::NoPart { cluster, near, parts } => {
            (near.as_slice(), format!("parts of {cluster}: {}", parts.join(", ")))
        }
        WhyUnknown::Ambiguous { actions } => {
            for action in actions.iter().take(NAMED_MAX) {
                let cluster =
                    action.cluster.as_ref().map_or_else(String::new, |name| format!("{name} "));
                failure.causes.push(format!("{}: {cluster}{}", action.id, action.what));
            }
            (&[][..], "give more of the id".to_owned())
        }
    };
    if !near.is_empty() {
        failure = failure.hint(format!("did you mean {}?", quoted(near)));
    }
    failure.hint(hint)
}
