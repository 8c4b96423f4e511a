//! An explanation as prose: of a cluster, of a part of it, of an action.

mod choice;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    About, Action, ActionExplanation, ActionId, ActionKind, Bounds, ClusterExplanation,
    ClusterName, ClusterStatus, Explanation, Link, Reason, Reversibility, Wait, WaveExplanation,
};

use crate::findings;
use crate::page::Page;
use crate::paint::{Paint, Style};
use crate::plan::lost;
use crate::span;
use crate::time::duration;
use crate::way::from_text;
use crate::words::{count, join, size};

/// How many actions are listed that wait for one, or that one waits for. The data has all.
const LISTED_MAX: usize = 20;

/// Where a value begins behind its name.
const VALUE: usize = 11;

/// The whole explanation.
pub fn explanation_text(explanation: &Explanation, style: Style) -> String {
    let mut page = Page::new(style);
    match &explanation.about {
        About::Cluster(cluster) => of_cluster(&mut page, explanation, cluster),
        About::Action(action) => of_action(&mut page, explanation, action),
        About::Part { cluster, part, findings, actions } => {
            if actions.is_empty() {
                of_nothing(&mut page, explanation, cluster, part);
            }
            for (position, action) in actions.iter().enumerate() {
                if position > 0 {
                    page.blank();
                    page.blank();
                }
                of_action(&mut page, explanation, action);
            }
            findings::details(&mut page, findings);
        }
    }
    if !explanation.with_files {
        page.blank();
        let text = "Without the files that the plan was made from, nothing is told of what was \
                    not chosen, nor of who says what.";
        page.line(0, 0).words(Paint::Dim, text);
    }
    page.finish()
}

fn heading(page: &mut Page, what: &str, facts: &[String]) {
    page.line(0, 2).words(Paint::Heading, what).space(1);
    for (position, fact) in facts.iter().enumerate() {
        let dot = if position == 0 { "" } else { "· " };
        page.space(1).put(Paint::Dim, &format!("{dot}{fact}"));
    }
}

fn section(page: &mut Page, title: &str) {
    page.blank();
    page.line(0, 0).put(Paint::Heading, title);
}

fn of_nothing(page: &mut Page, explanation: &Explanation, cluster: &ClusterName, part: &str) {
    let facts = [format!("of {cluster}"), format!("plan {}", explanation.plan)];
    heading(page, part, &facts);
    page.line(2, 2).words(Paint::Plain, "The plan does nothing with it.");
}

fn of_cluster(page: &mut Page, explanation: &Explanation, about: &ClusterExplanation) {
    let ClusterExplanation { cluster, declared_at, findings, wave, takes, way } = about;
    let facts = [
        format!("channel {}", cluster.channel),
        format!("release {}", cluster.release),
        format!("plan {}", explanation.plan),
    ];
    heading(page, cluster.name.as_str(), &facts);
    let (from, to) = (from_text(cluster), cluster.to.to_string());
    let at = declared_at.as_ref().map_or_else(String::new, |at| format!(" ({at})"));
    let stands = match cluster.status {
        ClusterStatus::Planned => format!("runs {from}, and should run {to}{at}"),
        ClusterStatus::UpToDate => format!("is what the files say: {to}{at}"),
        ClusterStatus::Blocked => {
            format!("runs {from}, should run {to}{at}, and is blocked by what Findings says")
        }
        ClusterStatus::Frozen => {
            format!("runs {from}, should run {to}{at}, and is frozen, as Findings says")
        }
    };
    page.line(2, 2).words(Paint::Plain, &stands);
    if !way.is_empty() {
        let text = format!("takes {} once it has begun", span::of(*takes));
        page.line(2, 2).words(Paint::Plain, &text);
    }
    if let Some(wave) = wave {
        waves(page, wave);
    }
    if !way.is_empty() {
        section(page, "Way");
    }
    let places: BTreeMap<&ActionId, usize> =
        way.iter().zip(1..).map(|(step, number)| (&step.action.id, number)).collect();
    for (number, step) in (1..).zip(way) {
        let digits = way.len().to_string().len();
        let hang = digits + 4;
        let begin = 2 + digits - number.to_string().len();
        page.line(begin, hang + 2).put(Paint::Dim, &format!("{number}.")).space(1);
        page.words(Paint::Plain, &step.action.what).space(2);
        page.put(Paint::Dim, step.action.id.as_str());
        for link in &step.waits_for {
            let number = places.get(&link.action.id).copied().unwrap_or_default();
            page.line(hang, hang + 2).words(Paint::Dim, &format!("after {number}: {}", why(link)));
        }
    }
    findings::details(page, findings);
}

fn waves(page: &mut Page, wave: &WaveExplanation) {
    section(page, "Waves");
    let at_once = wave.max_parallel_clusters.map(|n| format!("at most {n} at once"));
    let limits = at_once.into_iter().chain([may_fail(wave.max_failed_clusters)]);
    let text = format!("wave {} of {} ({})", wave.wave, wave.channel, join(limits, ", "));
    page.line(2, 4).words(Paint::Plain, &text);
    if wave.after.is_empty() {
        page.line(2, 4).words(Paint::Plain, "waits for no other cluster");
    }
    for earlier in &wave.after {
        let text = format!(
            "after wave {} of {} ({}):",
            earlier.wave,
            wave.channel,
            may_fail(earlier.max_failed_clusters)
        );
        page.line(2, 4).words(Paint::Plain, &text).space(1);
        page.names(Paint::Plain, earlier.clusters.iter().map(ClusterName::as_str));
        page.space(2).put(Paint::Dim, &format!("its end is {}", earlier.end));
    }
}

fn may_fail(most: u32) -> String {
    match most {
        0 => "none may fail".to_owned(),
        n => format!("{n} may fail"),
    }
}

fn of_action(page: &mut Page, explanation: &Explanation, about: &ActionExplanation) {
    let ActionExplanation { action, takes, measured, waits_for, awaited_by, choice } = about;
    let mut facts: Vec<String> = action.cluster.iter().map(|name| format!("on {name}")).collect();
    facts.push(format!("action {}", action.id));
    facts.push(format!("plan {}", explanation.plan));
    heading(page, &action.kind.to_string(), &facts);
    value(page, "why", &words::why(action, choice.as_ref()));
    value(page, "expects", &action.expect.to_string());
    value(page, "leaves", &action.ensure.to_string());
    value(page, "bounds", &bounds(action));
    value(page, "takes", &span::of_action(action, *takes, *measured));
    value(page, "undo", &undo(&action.kind, &action.reversible));
    if let Some(choice) = choice {
        choice::section(page, action, choice);
    }
    waits(page, waits_for);
    awaited(page, awaited_by);
}

fn value(page: &mut Page, name: &str, text: &str) {
    page.line(2, VALUE).put(Paint::Dim, name).column(VALUE).words(Paint::Plain, text);
}

fn bounds(action: &Action) -> String {
    match &action.bounds {
        Bounds::None if action.cluster.is_none() => "waits as long as its clusters take".to_owned(),
        Bounds::None => format!("fails after {}", duration(action.timeout)),
        Bounds::Rolling {
            surge,
            unavailable,
            drain_timeout,
            node_ready_timeout,
            node_interval,
            unreachable_timeout: _,
            wait_complete,
        } => {
            let pause = match node_interval.as_secs() {
                0 => String::new(),
                _ => format!(", {} between two", duration(*node_interval)),
            };
            let complete = match wait_complete.as_secs() {
                0 => String::new(),
                _ => format!("{} for pods that run to completion, ", duration(*wait_complete)),
            };
            format!(
                "surge {surge}, unavailable {unavailable}; for each: at most {complete}{} to drain, {} to be \
                 Ready{pause}; fails after {}",
                duration(*drain_timeout),
                duration(*node_ready_timeout),
                duration(action.timeout)
            )
        }
    }
}

fn undo(kind: &ActionKind, reversible: &Reversibility) -> String {
    match reversible {
        Reversibility::Reversible => "by a plan for the earlier state".to_owned(),
        Reversibility::StoredVersions => {
            "no: nothing writes the objects back in an older version; what lists the version that they are stored in reads them"
                .to_owned()
        }
        Reversibility::ControlPlaneMinor => {
            "not possible: an apiserver of the earlier minor may not read what the new one has \
             stored"
                .to_owned()
        }
        Reversibility::Downgrade { definitions, objects } => {
            format!("not possible: going back {}", lost(kind, definitions, *objects))
        }
        Reversibility::Deletes { objects } => format!(
            "not possible: {}, and what lives in them, are gone",
            count(size(*objects), "object")
        ),
    }
}

/// The reasons of a link, with who says what they rest on.
fn why(link: &Link) -> String {
    let reason =
        |Reason { because, said_by }: &Reason| format!("{because}{}", words::by(said_by.as_ref()));
    join(link.because.iter().map(reason), "; ")
}

/// What an action waits for, each with the way back to one that waits for none. A way that joins
/// one that was told already is told as far as that.
fn waits(page: &mut Page, waits: &[Wait]) {
    section(page, "Waits for");
    if waits.is_empty() {
        page.line(2, 4).words(Paint::Plain, "nothing");
    }
    let mut told: BTreeSet<&ActionId> = BTreeSet::new();
    for wait in waits.iter().take(LISTED_MAX) {
        one(page, 2, &wait.link);
        let mut joined = !told.insert(&wait.link.action.id);
        for link in &wait.chain {
            if joined {
                page.line(4, 6).words(Paint::Dim, "and on as above");
                break;
            }
            page.line(4, 6).words(Paint::Dim, "after").space(1);
            linked(page, 6, link);
            joined = !told.insert(&link.action.id);
        }
    }
    more(page, waits.len());
}

fn awaited(page: &mut Page, links: &[Link]) {
    section(page, "Awaited by");
    if links.is_empty() {
        page.line(2, 4).words(Paint::Plain, "nothing");
    }
    for link in links.iter().take(LISTED_MAX) {
        one(page, 2, link);
    }
    more(page, links.len());
}

fn one(page: &mut Page, indent: usize, link: &Link) {
    page.line(indent, indent + 2);
    linked(page, indent + 2, link);
}

fn linked(page: &mut Page, hang: usize, link: &Link) {
    page.hang(hang);
    if let Some(cluster) = &link.action.cluster {
        let most = page.columns() / 3;
        page.name(Paint::Plain, cluster.as_str(), most).space(1);
    }
    page.words(Paint::Plain, &link.action.what).space(2);
    page.put(Paint::Dim, link.action.id.as_str());
    page.line(hang, hang + 2).words(Paint::Dim, &why(link));
}

fn more(page: &mut Page, total: usize) {
    if let Some(more) = total.checked_sub(LISTED_MAX).filter(|more| *more > 0) {
        page.line(2, 4).words(Paint::Dim, &format!("and {more} more"));
    }
}
