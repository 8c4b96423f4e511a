//! The clusters that nothing is planned for, and those that the plan is not about.

use refit_model::{ClusterName, ClusterStatus, Only, Plan};

use crate::page::Page;
use crate::paint::Paint;
use crate::words::count;

/// The clusters that nothing is planned for.
pub(super) fn standing(page: &mut Page, plan: &Plan) {
    let of = |status: ClusterStatus| -> Vec<&str> {
        let clusters = plan.clusters.iter().filter(|cluster| cluster.status == status);
        clusters.map(|cluster| cluster.name.as_str()).collect()
    };
    let (blocked, current) = (of(ClusterStatus::Blocked), of(ClusterStatus::UpToDate));
    if !blocked.is_empty() {
        page.blank();
        page.line(2, 4).put(Paint::Bad, &count(blocked.len(), "cluster"));
        page.space(1).words(Paint::Bad, "blocked, see Findings:").space(1);
        page.names(Paint::Plain, blocked.into_iter());
    }
    let frozen = of(ClusterStatus::Frozen);
    if !frozen.is_empty() {
        page.blank();
        page.line(2, 4).put(Paint::Change, &count(frozen.len(), "cluster"));
        page.space(1).words(Paint::Change, "frozen, see Findings:").space(1);
        page.names(Paint::Plain, frozen.into_iter());
    }
    if !current.is_empty() && !plan.is_empty() {
        page.blank();
        page.line(2, 4)
            .words(Paint::Good, &format!("{} {}", count(current.len(), "cluster"), done(plan)));
    }
}

/// The clusters that the plan is not about. Nobody looked whether something is to be done there.
pub(super) fn left_out(page: &mut Page, plan: &Plan) {
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
    page.names(Paint::Plain, plan.left_out.iter().map(ClusterName::as_str));
}

/// What a cluster is that nothing is planned for.
fn done(plan: &Plan) -> &'static str {
    match plan.selection.only {
        None => "up to date",
        Some(_) => "with nothing to do",
    }
}

pub(super) fn nothing_to_do(page: &mut Page, plan: &Plan) {
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
