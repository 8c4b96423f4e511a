//! How long things take, as ranges.

use refit_model::{Action, ActionKind, ClusterName, Plan, Schedule, Span};

use crate::page::Page;
use crate::paint::Paint;
use crate::time::duration;
use crate::transitions::{Takes, Transition};
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

/// The section `Time`: clusters that make the same transition, waves, and the whole plan.
pub(crate) fn section(
    page: &mut Page,
    plan: &Plan,
    schedule: &Schedule,
    groups: &[Transition<'_>],
) {
    let Schedule { clusters: _, waves, whole, along } = schedule;
    let most = page.columns() / 3;
    let mut rows: Vec<(String, String)> = Vec::new();
    for group in groups {
        let Takes { expected, low, high } = group.takes;
        let text =
            format!("~ {} ({} to {})", expected.text(duration), duration(low), duration(high));
        rows.push((group.label_text(most), text));
    }
    for wave in &plan.waves {
        if let Some(span) = waves.get(&(wave.channel.clone(), wave.wave)) {
            let channel = shorten(wave.channel.as_str(), most);
            rows.push((format!("wave {} of {channel}", wave.wave), of(*span)));
        }
    }
    rows.push(("whole plan".to_owned(), of(*whole)));
    page.blank();
    page.line(0, 0).put(Paint::Heading, "Time");
    let column = 2 + rows.iter().map(|(name, _)| width(name)).max().unwrap_or(0) + 2;
    for (name, text) in &rows {
        page.line(2, column).words(Paint::Plain, name).column(column).hang(column);
        page.words(Paint::Plain, text);
    }
    if along.len() > 1 {
        page.line(4, 4).words(Paint::Dim, "longest sequence of clusters:").space(1);
        page.names(Paint::Dim, along.iter().map(ClusterName::as_str));
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
        "nothing was measured in earlier runs yet: ranges go from half of the usual time to the timeouts".to_owned()
    } else {
        format!(
            "measured in earlier runs: {}; other ranges go from half of the usual time to the timeouts",
            join(measured, ", ")
        )
    };
    page.line(4, 4).words(Paint::Dim, &text);
}
