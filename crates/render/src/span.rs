//! How long things take, as ranges.

use std::collections::BTreeSet;

use refit_model::{Action, ActionKind, ChannelName, ClusterName, Plan, Schedule, Span};

use crate::page::Page;
use crate::paint::Paint;
use crate::plan::NAME_LINES;
use crate::time::duration;
use crate::way::Transition;
use crate::words::{count, join, shorten, size, width};

/// `~ 35 min (25 min to 50 min)`.
pub(crate) fn of(span: Span) -> String {
    range(span, "")
}

/// The same for an action, with what it rests on: `~ 35 min (25 min to 50 min, from 12 rolls)`.
pub(crate) fn of_action(action: &Action, span: Span, samples: u32) -> String {
    let what = match action.kind {
        ActionKind::NodePoolRoll { .. } => "roll",
        ActionKind::ControlPlaneHop { .. } => "hop",
        _ => "earlier action",
    };
    match samples {
        0 => of(span),
        n => range(span, &format!(", from {}", count(size(n), what))),
    }
}

fn range(span: Span, more: &str) -> String {
    let Span { low, middle, high } = span;
    format!("~ {} ({} to {}{more})", duration(middle), duration(low), duration(high))
}

/// The section `Time`: clusters that go the same way, waves, and the whole.
pub(crate) fn section(page: &mut Page, plan: &Plan, groups: &[Transition<'_>]) {
    let Schedule { clusters, waves, whole, along } = Schedule::of(plan);
    let most = page.columns() / 3;
    let mut rows: Vec<(String, Span)> = Vec::new();
    for group in groups {
        let (name, more) = group.label();
        let span = group
            .ways
            .iter()
            .filter_map(|way| clusters.get(&way.cluster.name))
            .fold(Span::default(), |longest, span| longest.beside(*span));
        rows.push((format!("{} {more}", shorten(name, most)).trim_end().to_owned(), span));
    }
    let channels: BTreeSet<&ChannelName> = waves.keys().map(|(channel, _)| channel).collect();
    for ((channel, wave), span) in &waves {
        let name = if channels.len() > 1 {
            format!("wave {wave} of {}", shorten(channel.as_str(), most))
        } else {
            format!("wave {wave}")
        };
        rows.push((name, *span));
    }
    rows.push(("critical path".to_owned(), whole));
    page.blank();
    page.line(0, 0).put(Paint::Heading, "Time");
    let column = 2 + rows.iter().map(|(name, _)| width(name)).max().unwrap_or(0) + 2;
    for (name, span) in &rows {
        page.line(2, column).words(Paint::Plain, name).column(column).hang(column);
        page.words(Paint::Plain, &of(*span));
    }
    if along.len() > 1 {
        page.line(4, 4).put(Paint::Dim, "along").space(1);
        page.names(Paint::Dim, along.iter().map(ClusterName::as_str), NAME_LINES, "");
    }
    basis(page, plan);
}

/// What the ranges rest on.
fn basis(page: &mut Page, plan: &Plan) {
    let measured = plan.measured.iter().map(|(work, measured)| {
        let samples = count(size(measured.samples), "action");
        let (low, high) = (duration(measured.low), duration(measured.high));
        format!("{work} {low} to {high} ({samples})")
    });
    let text = if plan.measured.is_empty() {
        "too little was measured yet: from half the usual to when actions fail".to_owned()
    } else {
        format!(
            "measured in earlier runs: {}; the rest from half the usual to when actions fail",
            join(measured, ", ")
        )
    };
    page.line(4, 4).words(Paint::Dim, &text);
}
