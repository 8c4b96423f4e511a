//! A plan as people review it: by transition, not by cluster.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    ActionKind, AddonName, ChannelName, ClusterName, ClusterStatus, Fleet, KubeVersion, Only, Plan,
    ReleaseName, Reversibility,
};

use crate::order;
use crate::page::Page;
use crate::paint::{Paint, Style};
use crate::span;
use crate::steps::{self, Line, Symbol};
use crate::time::{duration, timestamp};
use crate::unlike::{self, Largest};
use crate::way::{Transition, from_text, transitions};
use crate::words::{count, join, size, width};
use crate::{findings, words};

/// How many lines of names a group of clusters may take; the saved plan has all of them.
pub(crate) const NAME_LINES: usize = 3;

/// The whole plan. With the fleet, its order of channels and its number of clusters are known.
pub fn plan_text(plan: &Plan, fleet: Option<&Fleet>, style: Style) -> String {
    let mut page = Page::new(style);
    let groups = transitions(plan);
    header(&mut page, plan, fleet);
    if plan.is_empty() {
        standing(&mut page, plan);
        page.blank();
        nothing_to_do(&mut page, plan);
        left_out(&mut page, plan);
        findings::section(&mut page, &plan.findings);
        return page.finish();
    }
    legend(&mut page, &groups);
    deletions(&mut page, plan);
    let largest = Largest::of(&groups);
    for group in &groups {
        page.blank();
        transition(&mut page, group);
        unlike::line(&mut page, group, &largest);
    }
    standing(&mut page, plan);
    left_out(&mut page, plan);
    order::section(&mut page, plan, &groups);
    points_of_no_return(&mut page, &groups);
    span::section(&mut page, plan, &groups);
    findings::section(&mut page, &plan.findings);
    footer(&mut page, plan, &groups);
    page.finish()
}

fn header(page: &mut Page, plan: &Plan, fleet: Option<&Fleet>) {
    let rank = |name: &ChannelName| {
        fleet.and_then(|fleet| fleet.channels.iter().position(|channel| channel.name == *name))
    };
    let channels: BTreeSet<(Option<usize>, &ChannelName)> =
        plan.clusters.iter().map(|cluster| (rank(&cluster.channel), &cluster.channel)).collect();
    let releases: BTreeSet<&ReleaseName> =
        plan.clusters.iter().map(|cluster| &cluster.release).collect();
    let seen = plan.clusters.iter().filter(|cluster| cluster.identity.is_some()).count();
    let some = |word: &str, names: Vec<&str>| match names.len() {
        0 => None,
        1 => Some(format!("{word} {}", names.join(""))),
        2..=4 => Some(format!("{word}s {}", names.join(", "))),
        n => Some(format!("{n} {word}s")),
    };
    page.line(0, 12).put(Paint::Heading, "refit plan").space(2);
    page.words(Paint::Heading, plan.fleet.as_str());
    let mut clusters = format!("{seen} of {}", count(plan.clusters.len(), "cluster"));
    if let Some(fleet) = fleet
        && fleet.clusters.len() > plan.clusters.len()
    {
        clusters.push_str(&format!(" (the fleet has {})", fleet.clusters.len()));
    }
    let facts = [
        some("channel", channels.iter().map(|(_, name)| name.as_str()).collect()),
        some("release", releases.iter().map(|name| name.as_str()).collect()),
        Some(format!("observed {}, {clusters}", timestamp(plan.taken_at))),
    ];
    for fact in facts.into_iter().flatten() {
        page.space(1).put(Paint::Dim, "·").space(1).put(Paint::Plain, &fact);
    }
}

fn legend(page: &mut Page, groups: &[Transition<'_>]) {
    let used: BTreeSet<Symbol> =
        groups.iter().flat_map(|group| &group.lines).map(|line| line.symbol).collect();
    page.line(2, 2);
    for symbol in Symbol::ALL.into_iter().filter(|symbol| used.contains(symbol)) {
        page.put(symbol.paint(), symbol.sign()).space(1);
        page.put(Paint::Dim, symbol.meaning()).space(3);
    }
}

/// What is gone for good stands above everything else.
fn deletions(page: &mut Page, plan: &Plan) {
    let mut by_addon: BTreeMap<&AddonName, usize> = BTreeMap::new();
    let mut clusters: BTreeSet<&ClusterName> = BTreeSet::new();
    for action in &plan.actions {
        let (Reversibility::Deletes { objects } | Reversibility::Downgrade { objects, .. }) =
            &action.reversible
        else {
            continue;
        };
        if let Some(addon) = action.kind.addon().filter(|_| *objects > 0) {
            *by_addon.entry(addon).or_default() += size(*objects);
            clusters.extend(&action.cluster);
        }
    }
    let total: usize = by_addon.values().sum();
    if total == 0 {
        return;
    }
    page.blank();
    let text =
        format!("Deletes {} in {}:", count(total, "object"), count(clusters.len(), "cluster"));
    page.line(0, 2).words(Paint::Bad, &text);
    let parts: Vec<String> =
        by_addon.iter().map(|(addon, objects)| format!("{addon} ({objects})")).collect();
    page.space(1).names(Paint::Plain, parts.iter().map(String::as_str), NAME_LINES, "");
}

fn transition(page: &mut Page, group: &Transition<'_>) {
    let way = group.first();
    page.line(2, 6);
    match group.ways.len() {
        1 => page.name(Paint::Heading, way.cluster.name.as_str(), page.columns() / 2),
        n => page.put(Paint::Heading, &count(n, "cluster")),
    };
    page.space(2);
    let from = from_text(way.cluster);
    match way.cluster.status {
        ClusterStatus::Blocked => {
            page.put(Paint::Plain, &from).space(1).put(Paint::Bad, "blocked");
        }
        ClusterStatus::Frozen => {
            page.put(Paint::Plain, &from).space(1).put(Paint::Change, "frozen");
        }
        ClusterStatus::Planned | ClusterStatus::UpToDate => {
            versions(page, &from, &way.cluster.to);
        }
    }
    let long = format!("~ {}", duration(group.critical_path()));
    let summary = steps::summary(way, "control-plane hop").join(", ");
    let fits = page.fits(4 + width(&summary) + width(&long));
    let summary = if fits { summary } else { steps::summary(way, "hop").join(", ") };
    page.space(2).words(Paint::Plain, &summary).space(2).put(Paint::Dim, &long);
    if group.ways.len() > 1 {
        page.line(4, 4).names(Paint::Plain, group.names(), NAME_LINES, "");
    }
    components(page, group);
}

fn versions(page: &mut Page, from: &str, to: &KubeVersion) {
    let to = to.to_string();
    page.put(Paint::Plain, from);
    if from != to {
        page.space(1).put(Paint::Dim, "->").space(1).put(Paint::Plain, &to);
    }
}

fn components(page: &mut Page, group: &Transition<'_>) {
    /// Where subjects begin: an indent of four, the symbol, a space.
    const SUBJECT: usize = 6;
    /// Fewer columns than this do not hold a sentence.
    const NOTE_MIN: usize = 26;
    let name_most = page.columns() / 3;
    let subject_width = |line: &Line| {
        let count = line.count.map_or(0, |n| width(&format!(" ({n})")));
        width(&words::shorten(&line.subject, name_most)) + count
    };
    let chain_at = SUBJECT + group.lines.iter().map(subject_width).max().unwrap_or(0) + 2;
    let chain_width = |line: &Line| width(&line.chain.join(" -> "));
    let notes = |line: &Line| notes(line, group.ways.len());
    let note_at = group
        .lines
        .iter()
        .filter(|line| !notes(line).is_empty())
        .map(|line| chain_at + chain_width(line) + 2)
        .filter(|at| at + NOTE_MIN <= page.columns())
        .max()
        .unwrap_or(chain_at);
    for line in &group.lines {
        page.line(4, chain_at).put(line.symbol.paint(), line.symbol.sign()).space(1);
        page.name(Paint::Plain, &line.subject, name_most);
        if let Some(n) = line.count {
            page.space(1).put(Paint::Plain, &format!("({n})"));
        }
        page.column(chain_at);
        for (position, version) in line.chain.iter().enumerate() {
            if position > 0 {
                page.space(1).put(Paint::Dim, "->").space(1);
            }
            page.put(Paint::Plain, version);
        }
        let text = notes(line);
        // In the column of notes; where that wraps, right behind the versions; where that wraps
        // too, back in the column, or below the versions when these reach past it.
        let after = chain_at + chain_width(line) + 2;
        let fits = |column: usize| column + width(&text) <= page.columns();
        match (after <= note_at, fits(note_at), fits(after)) {
            (true, true, _) | (true, false, false) => page.column(note_at).hang(note_at),
            (_, _, true) => page.column(0),
            (false, _, false) => page.line(chain_at, chain_at),
        };
        page.words(Paint::Dim, &text);
    }
}

fn notes(line: &Line, clusters: usize) -> String {
    let mut notes = line.notes.clone();
    match line.pinned_at.as_slice() {
        [] => {}
        [at] if clusters == 1 => notes.push(format!("pinned in {at}")),
        _ => notes.push("pinned by the cluster".to_owned()),
    }
    notes.join("; ")
}

/// The clusters that nothing is planned for.
fn standing(page: &mut Page, plan: &Plan) {
    let of = |status: ClusterStatus| -> Vec<&str> {
        let clusters = plan.clusters.iter().filter(|cluster| cluster.status == status);
        clusters.map(|cluster| cluster.name.as_str()).collect()
    };
    let (blocked, current) = (of(ClusterStatus::Blocked), of(ClusterStatus::UpToDate));
    if !blocked.is_empty() {
        page.blank();
        page.line(2, 4).put(Paint::Bad, &count(blocked.len(), "cluster"));
        page.space(1).words(Paint::Bad, "blocked, see Findings:").space(1);
        page.names(Paint::Plain, blocked.into_iter(), NAME_LINES, "");
    }
    let frozen = of(ClusterStatus::Frozen);
    if !frozen.is_empty() {
        page.blank();
        page.line(2, 4).put(Paint::Change, &count(frozen.len(), "cluster"));
        page.space(1).words(Paint::Change, "frozen, see Findings:").space(1);
        page.names(Paint::Plain, frozen.into_iter(), NAME_LINES, "");
    }
    if !current.is_empty() && !plan.is_empty() {
        page.blank();
        page.line(2, 4)
            .words(Paint::Good, &format!("{} {}", count(current.len(), "cluster"), done(plan)));
    }
}

/// The clusters that the plan is not about. Nobody looked whether something is to be done there.
fn left_out(page: &mut Page, plan: &Plan) {
    if let Some(only) = plan.selection.only {
        let kept = match only {
            Only::ControlPlane => "nodes and add-ons stay",
            Only::Nodes => "control planes and add-ons stay",
            Only::AddOns => "control planes and nodes stay",
        };
        page.blank();
        page.line(2, 4).words(Paint::Change, &format!("--only {only}: {kept} as they are"));
    }
    if plan.left_out.is_empty() {
        return;
    }
    page.blank();
    let clusters = count(plan.left_out.len(), "cluster");
    page.line(2, 4).words(Paint::Change, &format!("{clusters} left out:")).space(1);
    page.names(Paint::Plain, plan.left_out.iter().map(ClusterName::as_str), NAME_LINES, "");
}

/// What a cluster is that nothing is planned for.
fn done(plan: &Plan) -> &'static str {
    match plan.selection.only {
        None => "up to date",
        Some(_) => "with nothing to do",
    }
}

fn nothing_to_do(page: &mut Page, plan: &Plan) {
    let of = |status| plan.clusters.iter().filter(|cluster| cluster.status == status).count();
    let (blocked, current) = (of(ClusterStatus::Blocked), of(ClusterStatus::UpToDate));
    let run = if current == 1 { "runs" } else { "run" };
    let frozen = of(ClusterStatus::Frozen);
    let text = match (blocked, current) {
        (0, 0) if frozen > 0 => "No changes.".to_owned(),
        (0, 0) => "No changes. The plan has no cluster.".to_owned(),
        (0, _) if plan.selection.only.is_some() => "No changes.".to_owned(),
        (0, _) => format!("No changes. {} {run} what the files say.", count(current, "cluster")),
        (_, 0) => format!("Nothing can be done: {} blocked.", are(blocked)),
        _ => format!(
            "Nothing can be done: {} {run} what the files say, {} blocked.",
            count(current, "cluster"),
            are(blocked)
        ),
    };
    page.line(0, 0).words(Paint::Heading, &text);
    if frozen > 0 {
        page.space(1).words(Paint::Heading, &format!("{} frozen.", are(frozen)));
    }
}

fn are(n: usize) -> String {
    format!("{} {}", count(n, "cluster"), if n == 1 { "is" } else { "are" })
}

/// What is lost when a component goes back.
pub(crate) fn lost(kind: &ActionKind, definitions: &BTreeSet<String>, objects: u32) -> String {
    let mut lost = match kind {
        ActionKind::ControlPlaneHop { from, to, .. } => {
            let newest = from.last().map_or_else(String::new, |from| from.minor().to_string());
            format!(
                "loses what {newest} has stored that {} does not know: new fields and kinds",
                to.minor()
            )
        }
        _ => "loses what only the newer version knows".to_owned(),
    };
    if !definitions.is_empty() {
        lost.push_str(&format!(
            "; objects of {} may be of kinds or versions that it does not know",
            join(definitions, ", ")
        ));
    }
    if objects > 0 {
        lost.push_str(&format!("; deletes {}", count(size(objects), "object")));
    }
    lost
}

fn points_of_no_return(page: &mut Page, groups: &[Transition<'_>]) {
    let mut total = 0;
    let mut entries: Vec<(&Transition<'_>, String)> = Vec::new();
    for group in groups {
        let mut minors: Vec<String> = Vec::new();
        let mut deletes: BTreeMap<&AddonName, u32> = BTreeMap::new();
        let mut migrations: Vec<String> = Vec::new();
        let mut back: Vec<String> = Vec::new();
        for action in &group.first().actions {
            match (&action.reversible, &action.kind) {
                (Reversibility::Reversible, _) => continue,
                (Reversibility::ControlPlaneMinor, ActionKind::ControlPlaneHop { to, .. }) => {
                    minors.push(to.to_string());
                }
                (Reversibility::ControlPlaneMinor, _) => minors.push(action.kind.to_string()),
                (Reversibility::StoredVersions, kind) => migrations.push(kind.to_string()),
                (Reversibility::Downgrade { definitions, objects }, kind) => {
                    back.push(format!("{kind} ({})", lost(kind, definitions, *objects)));
                }
                (Reversibility::Deletes { objects }, kind) => {
                    if let Some(addon) = kind.addon() {
                        *deletes.entry(addon).or_default() += *objects;
                    }
                }
            }
            total += group.ways.len();
        }
        let mut parts = Vec::new();
        if !minors.is_empty() {
            parts.push(format!("{} (control plane)", minors.join(", ")));
        }
        for (addon, objects) in deletes {
            parts.push(format!("{addon} (deletes {})", count(size(objects), "object")));
        }
        parts.extend(migrations);
        parts.extend(back);
        if !parts.is_empty() {
            entries.push((group, parts.join(", ")));
        }
    }
    if total == 0 {
        return;
    }
    page.blank();
    page.line(0, 0).put(Paint::Heading, &format!("Points of no return: {total}"));
    for (group, text) in entries {
        label(page, group);
        page.space(2).words(Paint::Plain, &text);
    }
}

/// Begins a line with the group's first cluster, and how many go the same way.
pub(crate) fn label(page: &mut Page, group: &Transition<'_>) {
    let (name, more) = group.label();
    let most = page.columns() / 2;
    page.line(2, 4).name(Paint::Plain, name, most);
    if !more.is_empty() {
        page.space(1).words(Paint::Plain, &more);
    }
}

fn footer(page: &mut Page, plan: &Plan, groups: &[Transition<'_>]) {
    let clusters: usize = groups.iter().map(|group| group.ways.len()).sum();
    let actions = plan.actions.iter().filter(|action| action.cluster.is_some()).count();
    page.blank();
    page.line(0, 2).put(Paint::Heading, "Plan").space(1);
    page.put(Paint::Heading, &format!("{}:", plan.id())).space(1);
    page.put(Paint::Plain, &format!("{},", count(clusters, "cluster"))).space(1);
    page.put(Paint::Plain, &format!("{},", count(actions, "action"))).space(1);
    page.put(Paint::Plain, &format!("critical path ~ {}.", duration(plan.critical_path)));
}

#[cfg(test)]
mod tests {
    use refit_model::{
        AddonMark, CrdMigration, Digest, GroupName, ImageId, Location, RollCause, Severity, Why,
    };

    use super::*;
    use crate::sample::{NARROW, Sample, action, apply, at, hop, kube, roll};

    #[test]
    fn a_plan_reads_like_the_contract() {
        let sample = Sample::new()
            .example("beta-canary")
            .example("beta-eu-1")
            .stands("beta-old", ClusterStatus::UpToDate, "1.34.3", "1.34.3")
            .wave(1, &["beta-canary"])
            .wave(2, &["beta-eu-1"])
            .finding(
                Severity::Warning,
                "beta-eu-1",
                "shop/cart",
                "PodDisruptionBudget allows no disruption (minAvailable 3 of 3 replicas)",
                "raise the replicas, or waive it in clusters/beta-eu-1.toml with a reason",
            );
        insta::assert_snapshot!(plan_text(&sample.plan, None, Style::default()), @"
        refit plan  acme · channel beta · release 2026.11.0 ·
                    observed 2026-11-02 09:14:02 UTC, 3 of 3 clusters
          ~ change   + install   - remove   ! take over what somebody else installed

        Deletes 12 objects in 2 clusters: kube-dns-legacy (12)

          2 clusters  1.31.13 -> 1.34.3  3 hops, 1 node roll, 4 add-ons  ~ 2 h 2 min
            beta-canary, beta-eu-1
            ~ control-plane    1.31.13 -> 1.32.9 -> 1.33.5 -> 1.34.3
            ~ workers (42)     1.31.13 -> 1.34.3     surge 5, unavailable 0
            ~ coredns          1.11.1 -> 1.12.4      before 1.33 (1.11.1 supports up to
                                                     1.32)
            ! metrics-server   adopt 0.7.2 as 0.8.1  from kubectl-client-side-apply
            + gateway-api      1.4.0
            - kube-dns-legacy  no longer in any add-on set, 6 objects, 1 kept

          1 cluster up to date

        Order
          wave 1  beta-canary  (at most 5 at once, none may fail)
          wave 2  beta-eu-1  (at most 5 at once, none may fail)

          beta-canary and 1 more
            1. control-plane 1.31.13 -> 1.32.9
            2. coredns 1.11.1 -> 1.12.4, before 3: coredns 1.11.1 supports >=1.29,
                 <=1.32, not 1.33
            3. control-plane 1.32.9 -> 1.33.5, before 4: a control plane goes minor by
                 minor
            4. control-plane 1.33.5 -> 1.34.3
            5. workers 1.31.13 -> 1.34.3
            6. gateway-api install 1.4.0, as late as possible
            7. metrics-server adopt 0.7.2 as 0.8.1, as late as possible
            8. kube-dns-legacy remove 1.0.0, as late as possible

        Points of no return: 8
          beta-canary and 1 more  1.32.9, 1.33.5, 1.34.3 (control plane),
            kube-dns-legacy (deletes 6 objects)

        Time
          beta-canary and 1 more  ~ 2 h 2 min (1 h 1 min to 4 h 12 min)
          wave 1                  ~ 2 h 2 min (1 h 1 min to 4 h 12 min)
          wave 2                  ~ 2 h 2 min (1 h 1 min to 4 h 12 min)
          critical path           ~ 4 h 4 min (2 h 2 min to 8 h 24 min)
            along beta-canary, beta-eu-1
            too little was measured yet: from half the usual to when actions fail

        Findings
          warning  RF012  beta-eu-1 shop/cart: PodDisruptionBudget allows no disruption
                   (minAvailable 3 of 3 replicas)
                   raise the replicas, or waive it in clusters/beta-eu-1.toml with a
                   reason

        Plan bb17c7db0539: 2 clusters, 16 actions, critical path ~ 3 h 50 min.
        ");
    }

    #[test]
    fn clusters_that_differ_stand_apart_and_say_how() {
        let mut drifted = action(
            "eu-1",
            apply(
                "coredns",
                AddonMark::Drifted {
                    version: "1.12.4".parse().unwrap(),
                    digest: Digest::of_bytes(b""),
                },
                "1.12.4",
            ),
        );
        drifted.why =
            Why::Drift { fields: vec!["Deployment kube-system/coredns .spec.replicas".into()] };
        let mut tidy = action("eu-2", roll("workers", 3, "1.34.3", "1.34.3"));
        if let ActionKind::NodePoolRoll { cause, .. } = &mut tidy.kind {
            *cause = RollCause::LeftBehind;
        }
        let mut pinned = action("eu-3", apply("cert-manager", at("1.19.1"), "1.18.0"));
        pinned.why = Why::Pin { at: Location { file: "clusters/eu-3.toml".into(), line: 12 } };
        let (group, image): (GroupName, ImageId) =
            ("workers-a".parse().unwrap(), "ami-1".parse().unwrap());
        let pin = ActionKind::PinGroups { images: BTreeMap::from([(group, image)]) };
        let mut pin = action("eu-4", pin);
        pin.why = Why::LaunchesTooNew;
        let bridge = vec![
            action("eu-5", apply("coredns", at("1.9.0"), "1.11.1")),
            action("eu-5", hop("1.32.9", "1.33.5")),
            action("eu-5", apply("coredns", at("1.11.1"), "1.12.4")),
        ];
        let same = action("eu-6", apply("coredns", at("1.12.4"), "1.12.4"));
        let sample = Sample::new()
            .cluster("eu-1", "1.34.3", "1.34.3", vec![drifted])
            .cluster("eu-2", "1.34.3", "1.34.3", vec![tidy])
            .cluster("eu-3", "1.34.3", "1.34.3", vec![pinned])
            .cluster("eu-4", "1.34.3", "1.34.3", vec![pin])
            .cluster("eu-5", "1.32.9", "1.33.5", bridge)
            .cluster("eu-6", "1.34.3", "1.34.3", vec![same]);
        insta::assert_snapshot!(plan_text(&sample.plan, None, NARROW), @"
        refit plan  acme · channel beta · release 2026.11.0 ·
                    observed 2026-11-02 09:14:02 UTC, 6 of 6
                    clusters
          ~ change

          eu-1  1.34.3  1 add-on  ~ 2 min
            ~ coredns  1.12.4  drift: Deployment kube-system/coredns
                               .spec.replicas

          eu-2  1.34.3  1 node roll  ~ 3 min
            ~ workers (3)  1.34.3  surge 5, unavailable 0; tidy up
                                   after a run that did not end

          eu-3  1.34.3  1 add-on  ~ 2 min
            ~ cert-manager  1.19.1 -> 1.18.0
                            downgrade; pinned in
                            clusters/eu-3.toml:12

          eu-4  1.34.3  1 pinned group  ~ 2 min
            ~ launch images (1)    pinned first: these groups would
                                   launch nodes newer than the
                                   control plane

          eu-5  1.32.9 -> 1.33.5  1 hop, 1 add-on  ~ 28 min
            ~ control-plane  1.32.9 -> 1.33.5
            ~ coredns        1.9.0 -> 1.11.1 -> 1.12.4
                             before 1.33 (1.9.0 supports up to 1.32)

          eu-6  1.34.3  1 add-on  ~ 2 min
            ~ coredns  1.12.4  its manifests changed
            unlike eu-1: coredns (its manifests changed)

        Order
          eu-5
            1. coredns 1.9.0 -> 1.11.1, before 2: coredns 1.9.0
                 supports >=1.29, <=1.32, not 1.33
            2. control-plane 1.32.9 -> 1.33.5
            3. coredns 1.11.1 -> 1.12.4, as late as possible

        Points of no return: 1
          eu-5  1.33.5 (control plane)

        Time
          eu-1           ~ 2 min (1 min to 30 min)
          eu-2           ~ 3 min (1 min 30 s to 30 min)
          eu-3           ~ 2 min (1 min to 30 min)
          eu-4           ~ 2 min (1 min to 30 min)
          eu-5           ~ 28 min (14 min to 1 h 30 min)
          eu-6           ~ 2 min (1 min to 30 min)
          critical path  ~ 28 min (14 min to 1 h 30 min)
            too little was measured yet: from half the usual to when
            actions fail

        Plan 7d3863db2023: 6 clusters, 8 actions,
          critical path ~ 3 h 50 min.
        ");
    }

    #[test]
    fn a_storage_migration_is_a_step_of_its_add_on_and_a_point_of_no_return() {
        let crd = CrdMigration {
            from: ["v1".to_owned(), "v1beta1".to_owned()].into(),
            to: "v1".to_owned(),
        };
        let crds =
            ["snapshots", "classes"].map(|name| (format!("{name}.acme.example"), crd.clone()));
        let kind = ActionKind::StorageMigration {
            addon: "csi".parse().unwrap(),
            before: "3.0.0".parse().unwrap(),
            crds: crds.into(),
        };
        let mut migration = action("eu-1", kind);
        migration.reversible = Reversibility::StoredVersions;
        let way = vec![
            action("eu-1", apply("csi", at("1.0.0"), "2.0.0")),
            migration,
            action("eu-1", apply("csi", at("2.0.0"), "3.0.0")),
        ];
        let sample = Sample::new().cluster("eu-1", "1.34.3", "1.34.3", way);
        let text = plan_text(&sample.plan, None, Style::default());
        for part in [
            "~ csi  1.0.0 -> 2.0.0 -> 3.0.0  migrates 2 CRDs to v1 before 3.0.0",
            "2. csi migrate 2 CRDs to v1",
            "Points of no return: 1\n  eu-1  csi migrate 2 CRDs to v1",
        ] {
            assert!(text.contains(part), "no `{part}`:\n{text}");
        }
    }

    #[test]
    fn only_a_hop_that_leads_nowhere_tidies_up() {
        let hops = |half_done: bool| {
            let mut hop = action("eu-1", hop("1.34.3", "1.34.3"));
            if let ActionKind::ControlPlaneHop { from, .. } = &mut hop.kind
                && half_done
            {
                *from =
                    [kube("1.33.5"), kube("1.34.3")].into_iter().collect::<BTreeSet<_>>().into();
            }
            let sample = Sample::new().cluster("eu-1", "1.34.3", "1.34.3", vec![hop]);
            plan_text(&sample.plan, None, Style::default()).contains("tidy up")
        };
        assert_eq!([false, true].map(hops), [true, false]);
    }

    #[test]
    fn nothing_to_do_is_one_sentence() {
        let sample = Sample::new()
            .stands("eu-1", ClusterStatus::UpToDate, "1.34.3", "1.34.3")
            .stands("eu-2", ClusterStatus::UpToDate, "1.34.3", "1.34.3");
        insta::assert_snapshot!(plan_text(&sample.plan, None, Style::default()), @"
        refit plan  acme · channel beta · release 2026.11.0 ·
                    observed 2026-11-02 09:14:02 UTC, 2 of 2 clusters

        No changes. 2 clusters run what the files say.
        ");
        let blocked = sample.stands("eu-3", ClusterStatus::Blocked, "1.33.5", "1.34.3").finding(
            Severity::Blocked,
            "eu-3",
            "",
            "cannot be read: \u{1b}[2Jconnection refused",
            "",
        );
        insta::assert_snapshot!(plan_text(&blocked.plan, None, Style::default()), @"
        refit plan  acme · channel beta · release 2026.11.0 ·
                    observed 2026-11-02 09:14:02 UTC, 3 of 3 clusters

          1 cluster blocked, see Findings: eu-3

        Nothing can be done: 2 clusters run what the files say, 1 cluster is blocked.

        Findings
          blocked  RF012  eu-3: cannot be read: [2Jconnection refused
        ");
    }

    #[test]
    fn a_thousand_clusters_that_go_one_way_are_one_entry() {
        let names: Vec<String> = (1..=1000).map(|n| format!("store-{n:04}")).collect();
        let mut sample = Sample::new();
        for name in &names {
            let actions = vec![
                action(name, hop("1.33.5", "1.34.3")),
                action(name, roll("workers", 4, "1.33.5", "1.34.3")),
            ];
            sample = sample.stands(name, ClusterStatus::Planned, "1.33.5", "1.34.3");
            sample.plan.actions.extend(actions.into_iter().map(Box::new));
            sample = sample.finding(Severity::Note, name, "workers", "has no node", "");
        }
        sample.plan.actions.sort_by_key(|a| a.id);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let sample = sample.wave(1, &names);
        insta::assert_snapshot!(plan_text(&sample.plan, None, Style::default()), @"
        refit plan  acme · channel beta · release 2026.11.0 ·
                    observed 2026-11-02 09:14:02 UTC, 1000 of 1000 clusters
          ~ change

          1000 clusters  1.33.5 -> 1.34.3  1 control-plane hop, 1 node roll  ~ 24 min
            store-0001, store-0002, store-0003, store-0004, store-0005, store-0006,
            store-0007, store-0008, store-0009, store-0010, store-0011, store-0012,
            store-0013, store-0014, store-0015, store-0016, and 984 more
            ~ control-plane  1.33.5 -> 1.34.3
            ~ workers (4)    1.33.5 -> 1.34.3  surge 5, unavailable 0

        Order
          wave 1  store-0001, store-0002, store-0003, store-0004, store-0005,
                  store-0006, store-0007, store-0008, store-0009, store-0010,
                  store-0011, store-0012, store-0013, store-0014, and 986 more
                  (at most 5 at once, none may fail)

          store-0001 and 999 more
            1. control-plane 1.33.5 -> 1.34.3
            2. workers 1.33.5 -> 1.34.3 (does not wait for 1)

        Points of no return: 1000
          store-0001 and 999 more  1.34.3 (control plane)

        Time
          store-0001 and 999 more  ~ 24 min (12 min to 30 min)
          wave 1                   ~ 3 d 8 h (1 d 16 h to 4 d 4 h)
          critical path            ~ 3 d 8 h (1 d 16 h to 4 d 4 h)
            along store-0001, store-0006, store-0011, store-0016, store-0021,
            store-0026, store-0031, store-0036, store-0041, store-0046, store-0051,
            store-0056, store-0061, store-0066, store-0071, and 185 more
            too little was measured yet: from half the usual to when actions fail

        Findings
          note     RF012  workers in 1000 clusters: has no node
                   in store-0001, store-0002, store-0003, store-0004, store-0005,
                   store-0006, store-0007, store-0008, store-0009, store-0010,
                   store-0011, store-0012, store-0013, store-0014, and 986 more

        Plan 3708137ad2d3: 1000 clusters, 2000 actions, critical path ~ 3 h 50 min.
        ");
    }

    #[test]
    fn colour_adds_nothing_but_escapes() {
        let sample = Sample::new().example("eu-1");
        let plain = plan_text(&sample.plan, None, Style::default());
        let mut color = plan_text(&sample.plan, None, Style { color: true, width: 80 });
        assert!(color.contains('\u{1b}'));
        while let Some(begin) = color.find('\u{1b}') {
            let end = begin + color[begin..].find('m').unwrap();
            color.replace_range(begin..=end, "");
        }
        assert_eq!(color, plain);
    }
}
