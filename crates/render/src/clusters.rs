//! The clusters of a fleet, a line each: what they run, and what a plan would do.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    ActiveFreeze, ClusterList, ClusterName, ClusterPlan, ClusterState, ClusterSummary, Code, Fleet,
    KubeVersion, KubeletVersions, Observation, Plan, Snapshot,
};

use crate::page::Page;
use crate::paint::{Paint, Style};
use crate::words::{clean, width};

/// Returns the clusters that the plan is about, by name.
pub fn clusters_of(fleet: &Fleet, snapshot: &Snapshot, plan: &Plan) -> ClusterList {
    let mut pending: BTreeMap<&ClusterName, u32> = BTreeMap::new();
    for cluster in plan.actions.iter().filter_map(|action| action.cluster.as_ref()) {
        *pending.entry(cluster).or_default() += 1;
    }
    let mut blocked: BTreeMap<&ClusterName, BTreeSet<Code>> = BTreeMap::new();
    for finding in plan.findings.iter().filter(|finding| finding.severity.blocks()) {
        blocked.entry(&finding.subject.cluster).or_default().insert(finding.code);
    }
    let summary = |planned: &ClusterPlan| {
        let name = &planned.name;
        let freeze = fleet.clusters.get(name).and_then(|cluster| cluster.freeze.as_ref());
        let freeze = freeze.filter(|freeze| freeze.value.holds(plan.held_against()));
        ClusterSummary {
            name: name.clone(),
            channel: planned.channel.clone(),
            release: planned.release.clone(),
            declared: planned.to.clone(),
            control_plane: planned.from.iter().cloned().collect(),
            nodes: match snapshot.clusters.get(name) {
                Some(Observation::Fresh(state)) => kubelets(state),
                Some(Observation::Unreachable { reason: _ }) | None => None,
            },
            status: planned.status,
            pending: pending.get(name).copied().unwrap_or(0),
            blocked: blocked.get(name).cloned().unwrap_or_default(),
            frozen: freeze.map(|freeze| ActiveFreeze {
                until: freeze.value.until,
                reason: freeze.value.reason.clone(),
            }),
        }
    };
    ClusterList {
        format_version: ClusterList::FORMAT.to_owned(),
        fleet: plan.fleet.clone(),
        taken_at: plan.taken_at,
        clusters: plan.clusters.iter().map(summary).collect(),
    }
}

fn kubelets(state: &ClusterState) -> Option<KubeletVersions> {
    let workers = || state.nodes.values().filter(|node| !node.control_plane);
    let oldest = workers().map(|node| &node.kubelet).min()?.clone();
    let newest = workers().map(|node| &node.kubelet).max()?.clone();
    Some(KubeletVersions { oldest, newest })
}

const HEAD: [&str; 8] =
    ["CLUSTER", "CHANNEL", "RELEASE", "CONTROL PLANE", "NODES", "PENDING", "BLOCKED", "FROZEN"];

/// The clusters as a table, or as a list where a table is too wide.
pub fn clusters_text(list: &ClusterList, style: Style) -> String {
    let ClusterList { format_version: _, fleet: _, taken_at: _, clusters } = list;
    let mut page = Page::new(style);
    let head = HEAD.map(str::to_owned);
    let rows: Vec<[String; 8]> = std::iter::once(head).chain(clusters.iter().map(row)).collect();
    let mut begins = [0; 8];
    for column in 1..begins.len() {
        let widest = rows.iter().map(|row| width(&row[column - 1])).max().unwrap_or(0);
        begins[column] = begins[column - 1] + widest + 2;
    }
    let last = rows.iter().map(|row| width(&row[7])).max().unwrap_or(0);
    if begins[7] + last <= page.columns() {
        for (number, row) in rows.iter().enumerate() {
            let paint = if number == 0 { Paint::Dim } else { Paint::Plain };
            page.line(0, 4);
            for (cell, column) in row.iter().zip(begins) {
                page.column(column).put(paint, cell);
            }
        }
    } else {
        for cells in rows.iter().skip(1) {
            let [name, channel, release, control_plane, nodes, pending, blocked, frozen] = cells;
            page.line(0, 4).put(Paint::Heading, name);
            page.line(4, 6).words(Paint::Plain, &format!("channel {channel}, release {release}"));
            page.line(4, 6)
                .words(Paint::Plain, &format!("control plane {control_plane}, nodes {nodes}"));
            page.line(4, 6).words(Paint::Plain, &format!("pending: {pending}"));
            for (what, cell) in [("blocked", blocked), ("frozen", frozen)] {
                if cell != NOTHING {
                    page.line(4, 6).words(Paint::Plain, &format!("{what}: {cell}"));
                }
            }
        }
    }
    page.finish()
}

/// Stands in a cell that has no value.
const NOTHING: &str = "-";

fn row(cluster: &ClusterSummary) -> [String; 8] {
    let ClusterSummary {
        name,
        channel,
        release,
        declared: _,
        control_plane,
        nodes,
        status: _,
        pending,
        blocked,
        frozen,
    } = cluster;
    let or_nothing = |text: String| if text.is_empty() { NOTHING.to_owned() } else { text };
    let codes: Vec<String> = blocked.iter().map(ToString::to_string).collect();
    let cells = [
        name.to_string(),
        channel.to_string(),
        release.to_string(),
        or_nothing(match (control_plane.first(), control_plane.last()) {
            (Some(oldest), Some(newest)) => versions(oldest, newest),
            (None, _) | (_, None) => String::new(),
        }),
        or_nothing(nodes.as_ref().map_or_else(String::new, |nodes| {
            let KubeletVersions { oldest, newest } = nodes;
            versions(oldest, newest)
        })),
        if *pending == 0 { "none".to_owned() } else { pending.to_string() },
        or_nothing(codes.join(", ")),
        or_nothing(match frozen {
            Some(ActiveFreeze { until: Some(until), reason: _ }) => format!("until {until}"),
            Some(ActiveFreeze { until: None, reason: _ }) => "yes".to_owned(),
            None => String::new(),
        }),
    ];
    cells.map(|cell| clean(&cell).trim().to_owned())
}

fn versions(oldest: &KubeVersion, newest: &KubeVersion) -> String {
    if oldest == newest { oldest.to_string() } else { format!("{oldest}..{newest}") }
}

#[cfg(test)]
mod tests {
    use refit_model::{ClusterStatus, Code};

    use super::*;

    fn list() -> ClusterList {
        let cluster = |name: &str| ClusterSummary {
            name: name.parse().unwrap(),
            channel: "stable".parse().unwrap(),
            release: "2026.11.0".parse().unwrap(),
            declared: "1.37.2".parse().unwrap(),
            control_plane: vec!["1.36.4".parse().unwrap()],
            nodes: Some(KubeletVersions {
                oldest: "1.35.8".parse().unwrap(),
                newest: "1.36.4".parse().unwrap(),
            }),
            status: ClusterStatus::Planned,
            pending: 7,
            blocked: [].into(),
            frozen: None,
        };
        let blocked = ClusterSummary {
            control_plane: Vec::new(),
            nodes: None,
            status: ClusterStatus::Blocked,
            pending: 0,
            blocked: [Code::RF001, Code::RF012].into(),
            ..cluster("b")
        };
        let freeze = |until: Option<&str>| ClusterSummary {
            pending: 0,
            status: ClusterStatus::Frozen,
            frozen: Some(ActiveFreeze {
                until: until.map(|day| day.parse().unwrap()),
                reason: "sale".to_owned(),
            }),
            ..cluster("c")
        };
        ClusterList {
            format_version: ClusterList::FORMAT.to_owned(),
            fleet: "acme".parse().unwrap(),
            taken_at: "2026-11-02T09:00:00Z".parse().unwrap(),
            clusters: vec![cluster("a"), blocked, freeze(Some("2026-12-31")), freeze(None)],
        }
    }

    #[test]
    fn clusters_are_a_table_where_it_fits() {
        let text = clusters_text(&list(), Style { color: false, width: 120, in_full: false });
        insta::assert_snapshot!(text, @r"
        CLUSTER  CHANNEL  RELEASE    CONTROL PLANE  NODES           PENDING  BLOCKED       FROZEN
        a        stable   2026.11.0  1.36.4         1.35.8..1.36.4  7        -             -
        b        stable   2026.11.0  -              -               none     RF001, RF012  -
        c        stable   2026.11.0  1.36.4         1.35.8..1.36.4  none     -             until 2026-12-31
        c        stable   2026.11.0  1.36.4         1.35.8..1.36.4  none     -             yes
        ");
    }

    #[test]
    fn clusters_are_a_list_where_a_table_is_too_wide() {
        let text = clusters_text(&list(), Style { color: false, width: 60, in_full: false });
        insta::assert_snapshot!(text, @r"
        a
            channel stable, release 2026.11.0
            control plane 1.36.4, nodes 1.35.8..1.36.4
            pending: 7
        b
            channel stable, release 2026.11.0
            control plane -, nodes -
            pending: none
            blocked: RF001, RF012
        c
            channel stable, release 2026.11.0
            control plane 1.36.4, nodes 1.35.8..1.36.4
            pending: none
            frozen: until 2026-12-31
        c
            channel stable, release 2026.11.0
            control plane 1.36.4, nodes 1.35.8..1.36.4
            pending: none
            frozen: yes
        ");
    }
}
