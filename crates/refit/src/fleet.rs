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
    let Selecting { cluster, channel, label, wave, exclude, only } = selecting;
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
    for (key, value) in label {
        check_label(fleet, key, value)?;
    }
    let mut selection = Selection {
        clusters: cluster.iter().cloned().collect(),
        channels: channel.iter().cloned().collect::<BTreeSet<ChannelName>>(),
        exclude: exclude.iter().cloned().collect(),
        only: *only,
    };
    if !label.is_empty() || !wave.is_empty() {
        // Plans name the clusters: what a label or a wave means can change with the files.
        let names = narrowed(fleet, &selection, label, wave);
        if names.is_empty() {
            let options = as_options(&selection) + &narrowing(label, wave);
            return Err(nothing_is_left(&options));
        }
        selection.clusters = names;
    }
    let mut clusters = fleet.clusters.values();
    if !selection.is_everything() && !clusters.any(|c| selection.takes(&c.name, &c.channel)) {
        return Err(nothing_is_left(&as_options(&selection)));
    }
    Ok(selection)
}

fn nothing_is_left(options: &str) -> Failure {
    Failure::new(Exit::Usage, format!("no cluster is left by{options}")).hint(
        "a cluster is taken when its name, channel, labels and wave fit, and nothing excludes it",
    )
}

/// Returns the selected clusters that have all of these labels, and are in one of these waves of
/// their channels.
fn narrowed(
    fleet: &Fleet,
    selection: &Selection,
    labels: &[(String, String)],
    waves: &[u32],
) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for channel in &fleet.channels {
        for (wave, clusters) in refit_planner::assign(fleet, channel) {
            let its = clusters.iter().filter_map(|name| fleet.clusters.get(name));
            let taken = its.filter(|cluster| {
                selection.takes(&cluster.name, &cluster.channel)
                    && (waves.is_empty() || waves.contains(&wave))
                    && labels.iter().all(|(key, value)| cluster.labels.get(key) == Some(value))
            });
            names.extend(taken.map(|cluster| cluster.name.to_string()));
        }
    }
    names
}

/// The options that [`narrowed`] carries out.
fn narrowing(labels: &[(String, String)], waves: &[u32]) -> String {
    let labels = labels.iter().map(|(key, value)| format!(" --label {key}={value}"));
    labels.chain(waves.iter().map(|wave| format!(" --wave {wave}"))).collect()
}

/// Refuses a label that no cluster has: mostly it is misspelled.
fn check_label(fleet: &Fleet, key: &str, value: &str) -> Result<(), Failure> {
    let labels = fleet.clusters.values().flat_map(|cluster| &cluster.labels);
    let all: BTreeSet<String> = labels.map(|(key, value)| format!("{key}={value}")).collect();
    let given = format!("{key}={value}");
    if all.contains(&given) {
        return Ok(());
    }
    let text = format!("`--label {given}`: no cluster in the files has this label");
    let mut failure = Failure::new(Exit::Usage, text);
    failure.hints = refit_config::known(&given, "labels", all.iter().map(String::as_str));
    Err(failure)
}

/// Returns the selected clusters that `--downgrade` names. A pattern has to fit a selected one, and
/// a name has to be that of one.
///
/// # Errors
/// When one of them does not.
pub(crate) fn downgraded(
    fleet: &Fleet,
    patterns: &[String],
    selection: &Selection,
) -> Result<BTreeSet<ClusterName>, Failure> {
    let mut taken = BTreeSet::new();
    for pattern in patterns {
        let fits = |name: &&ClusterName| Selection::fits(pattern, name);
        let named: Vec<&ClusterName> = fleet.clusters.keys().filter(fits).collect();
        let Some(first) = named.first() else {
            let names = fleet.clusters.keys().map(ClusterName::as_str);
            return Err(fits_nothing("downgrade", pattern, "cluster", "clusters", names));
        };
        let selected = |name: &&&ClusterName| {
            let declared = fleet.clusters.get(**name);
            declared.is_some_and(|declared| selection.takes(name, &declared.channel))
        };
        let chosen: Vec<ClusterName> =
            named.iter().filter(selected).map(|name| (*name).clone()).collect();
        if chosen.is_empty() {
            let which = if named.len() == 1 { first.to_string() } else { "no such cluster".into() };
            let not = if named.len() == 1 { "is not selected" } else { "is selected" };
            let text = format!("`--downgrade {pattern}`: {which} {not}");
            return Err(Failure::new(Exit::Usage, text)
                .hint(format!("select it as well: `--cluster {pattern}`")));
        }
        taken.extend(chosen);
    }
    Ok(taken)
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
        let hint = match option {
            "downgrade" => "name the cluster that may go back",
            "exclude" => "leave the option out to exclude nothing",
            _ => "leave the option out to select everything",
        };
        return Failure::new(Exit::Usage, text).hint(hint);
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
