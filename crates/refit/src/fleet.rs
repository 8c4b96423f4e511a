//! The fleet of a directory, where its state lives, and which of its clusters a command selects.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use refit_config::{Loaded, Severity};
use refit_model::{ChannelName, ClusterName, Fleet, Selection};

use crate::cli::Selecting;
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

/// The clusters that a command selects. Each of its options has to fit something, and something
/// has to be left.
///
/// # Errors
/// When an option fits nothing, or nothing is left.
pub(crate) fn selected(fleet: &Fleet, selecting: &Selecting) -> Result<Selection, Failure> {
    let Selecting { cluster, channel, exclude, only } = selecting;
    for (option, patterns) in [("cluster", cluster), ("exclude", exclude)] {
        for pattern in patterns {
            if !fleet.clusters.keys().any(|name| Selection::fits(pattern, name)) {
                let names = fleet.clusters.keys().map(ClusterName::as_str);
                return Err(fits_nothing(option, pattern, "cluster", "clusters", names));
            }
        }
    }
    for name in channel {
        if fleet.channel(name).is_none() {
            let names = fleet.channels.iter().map(|channel| channel.name.as_str());
            return Err(fits_nothing("channel", name.as_str(), "channel", "channels", names));
        }
    }
    let selection = Selection {
        clusters: cluster.iter().cloned().collect(),
        channels: channel.iter().cloned().collect::<BTreeSet<ChannelName>>(),
        exclude: exclude.iter().cloned().collect(),
        only: *only,
    };
    let mut clusters = fleet.clusters.values();
    if !selection.is_everything() && !clusters.any(|c| selection.takes(&c.name, &c.channel)) {
        let options = as_options(&selection);
        return Err(Failure::new(Exit::Usage, format!("no cluster is left by{options}")).hint(
            "a cluster is taken when its name fits and its channel fits, and nothing excludes it",
        ));
    }
    Ok(selection)
}

fn fits_nothing<'a>(
    option: &str,
    given: &str,
    one: &str,
    many: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Failure {
    if given.is_empty() {
        let text = format!("`--{option}` has an empty name");
        return Failure::new(Exit::Usage, text).hint("leave the option out to select everything");
    }
    let text = format!("`--{option} {given}`: there is no such {one} in the files");
    let mut failure = Failure::new(Exit::Usage, text);
    failure.hints = refit_config::known(given, many, names);
    failure
}

/// The selection as options of a command, each with a space before it; quoted for a shell.
pub(crate) fn as_options(selection: &Selection) -> String {
    let Selection { clusters, channels, exclude, only } = selection;
    let quoted =
        |text: &String| if text.contains('*') { format!("'{text}'") } else { text.clone() };
    let clusters = clusters.iter().map(|name| format!(" --cluster {}", quoted(name)));
    let channels = channels.iter().map(|name| format!(" --channel {name}"));
    let exclude = exclude.iter().map(|name| format!(" --exclude {}", quoted(name)));
    let only = only.iter().map(|only| format!(" --only {only}"));
    clusters.chain(channels).chain(exclude).chain(only).collect()
}
