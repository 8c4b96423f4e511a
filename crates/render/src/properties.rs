//! Whatever the plan, the run or the message: lines keep to their width, nothing panics, and no
//! escape sequence gets through.

use std::collections::BTreeSet;

use proptest::prelude::*;
use refit_model::{
    Action, ActionKind, AddonMark, ChannelName, ClusterStatus, Edge, JournalRecord, Op, OpId,
    Outcome, Plan, Progress, Purpose, Recap, RecordKind, RunEvent, RunEventKind, RunId, Severity,
    StateGuard, Timestamp, Token, WaitingOn, Why,
};

use crate::sample::{Sample, action, adopt, apply, at, hop, remove, roll};
use crate::words::width;
use crate::{
    Detail, ProgressLines, RunLine, StatusInput, Style, WorkedOn, history_text, plan_text,
    recap_text, run_text, status_text,
};

fn name() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-z][a-z0-9-]{0,14}", 1 => "[a-z][a-zA-Z0-9_.-]{20,120}"]
}

/// What an API might say: anything, escapes and newlines too.
fn prose() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z ]{0,120}",
        "\\PC{0,160}",
        "[a-z \\x00-\\x1f\\x7f\u{9b}\u{202e}]{0,60}",
        "[a-z/]{80,200}",
        Just("\u{1b}[31mred\u{1b}[0m\r\nnext\tline".to_owned()),
    ]
}

fn kube() -> impl Strategy<Value = String> {
    (
        20_u16..40,
        0_u16..30,
        prop_oneof![4 => Just(""), 1 => Just("-eks-0123456789abcdef"), 1 => Just("-rc.1")],
    )
        .prop_map(|(minor, patch, suffix)| format!("1.{minor}.{patch}{suffix}"))
}

fn addon_version() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[1-9]\\.[1-9][0-9]?\\.[0-9]", 1 => "1\\.0\\.0-[a-z]{30,70}"]
}

fn kind() -> impl Strategy<Value = ActionKind> {
    prop_oneof![
        (kube(), kube()).prop_map(|(from, to)| hop(&from, &to)),
        (kube(), kube(), kube()).prop_map(|(a, b, to)| hop(&format!("{a}/{b}"), &to)),
        (name(), 0_u32..5000, kube(), kube())
            .prop_map(|(pool, n, from, to)| roll(&pool, n, &from, &to)),
        (name(), addon_version(), addon_version()).prop_map(|(addon, from, to)| apply(
            &addon,
            at(&from),
            &to
        )),
        (name(), addon_version()).prop_map(|(addon, to)| apply(&addon, AddonMark::Absent, &to)),
        (name(), prose(), addon_version()).prop_map(|(addon, from, to)| adopt(&addon, &from, &to)),
        (name(), addon_version(), 0_u32..9, 0_u32..3)
            .prop_map(|(addon, from, n, kept)| remove(&addon, &from, n, kept)),
    ]
}

fn cluster() -> impl Strategy<Value = (String, String, String, Vec<(ActionKind, Option<String>)>)> {
    let actions = prop::collection::vec((kind(), prop::option::weighted(0.2, prose())), 0..8);
    (name(), kube(), kube(), actions)
}

/// Also plans that no planner makes: circles, unknown ends of edges, twice the same cluster.
fn plan() -> impl Strategy<Value = Plan> {
    let clusters = prop::collection::vec(cluster(), 0..6);
    let findings = prop::collection::vec((0_usize..4, name(), name(), prose(), prose()), 0..4);
    let edges =
        prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..8);
    (clusters, findings, edges).prop_map(|(clusters, findings, edges)| {
        let mut sample = Sample::new();
        let mut names = Vec::new();
        for (name, from, to, kinds) in &clusters {
            let actions: Vec<Action> = kinds
                .iter()
                .map(|(kind, drift)| {
                    let mut action = action(name, kind.clone());
                    if let Some(field) = drift {
                        action.why = Why::Drift { fields: vec![field.clone()] };
                    }
                    action
                })
                .collect();
            names.push(name.as_str());
            sample = if actions.is_empty() {
                sample.stands(name, ClusterStatus::Blocked, from, to)
            } else {
                sample.cluster(name, from, to, actions)
            };
        }
        let severities = [Severity::Blocked, Severity::Unknown, Severity::Warning, Severity::Note];
        for (severity, cluster, part, evidence, hint) in &findings {
            sample = sample.finding(severities[*severity], cluster, part, evidence, hint);
        }
        if !names.is_empty() {
            sample = sample.wave(1, &names);
            sample.plan.actions.push(end_of_wave().into());
            sample.plan.actions.sort_by_key(|a| a.id);
        }
        let plan = &mut sample.plan;
        if !plan.actions.is_empty() {
            for (from, to) in edges {
                plan.edges.push(Edge {
                    from: from.get(&plan.actions).id,
                    to: to.get(&plan.actions).id,
                    because: refit_model::Because::PinFirst.into(),
                });
            }
        }
        sample.plan
    })
}

fn end_of_wave() -> Action {
    let channel: ChannelName = "beta".parse().unwrap();
    let kind = ActionKind::FinishWave { channel, wave: 1, max_failed_clusters: 0 };
    let mut end = action("none", kind);
    end.cluster = None;
    end.expect = StateGuard::Anything.into();
    end
}

fn outcomes() -> impl Strategy<Value = Vec<Outcome>> {
    let one = prop_oneof![
        Just(Outcome::Done),
        Just(Outcome::AlreadySatisfied),
        Just(Outcome::Stopped),
        Just(Outcome::StoppedHalfway { left: vec!["AZRebalance".to_owned()] }),
        (prose(), prose()).prop_map(|(expected, found)| Outcome::Conflict { expected, found }),
        (prose(), prop::collection::vec(prose(), 0..3))
            .prop_map(|(reason, left)| Outcome::Failed { reason, left }),
        // Points to itself in the end: a circle of reasons.
        Just(Outcome::Skipped { because_of: "0123456789ab".parse().unwrap() }),
    ];
    prop::collection::vec(one, 1..6)
}

fn holds(text: &str, width_max: usize) {
    assert!(!text.contains('\u{1b}'), "an escape in {text:?}");
    for line in text.lines() {
        assert!(width(line) <= width_max, "{} columns: {line:?}", width(line));
        assert_eq!(line, line.trim_end(), "trailing whitespace in {text:?}");
        assert!(!line.contains(|c: char| c.is_control()), "a control character in {line:?}");
    }
}

fn styles() -> [Style; 2] {
    [80, 60].map(|width| Style { color: false, width, ..Style::default() })
}

fn start() -> Timestamp {
    "2026-11-02T09:14:02Z".parse().unwrap()
}

/// A run of the plan in which every action ends in one of these ways.
fn run_of(plan: &Plan, ends: &[Outcome], text: &str) -> (Recap, Vec<JournalRecord>, Vec<RunEvent>) {
    let run: RunId = "r-1".parse().unwrap();
    let mut recap = Recap::default();
    let mut records = Vec::new();
    let mut events = Vec::new();
    let mut event = |kind| events.push(RunEvent { at: start(), kind });
    let mut record = |kind| records.push(JournalRecord { seq: 1, epoch: 1, at: start(), kind });
    record(RecordKind::RunOpened {
        run,
        fleet: plan.fleet.clone(),
        plan: plan.id(),
        plan_digest: plan.digest(),
        who: text.into(),
    });
    event(RunEventKind::Warning { text: text.into() });
    for (at, (action, outcome)) in plan.actions.iter().zip(ends.iter().cycle()).enumerate() {
        let id = action.id;
        match outcome {
            Outcome::Done => recap.done.push(id),
            Outcome::AlreadySatisfied => recap.satisfied.push(id),
            Outcome::Failed { .. } | Outcome::Conflict { .. } => recap.failed.push(id),
            Outcome::Stopped | Outcome::StoppedHalfway { .. } => recap.stopped.push(id),
            Outcome::Skipped { .. } => recap.skipped.push(id),
        }
        let (cluster, what) = (action.cluster.clone(), text.to_owned());
        event(RunEventKind::ActionStarted { action: id, cluster: cluster.clone(), what });
        let waiting = Some(WaitingOn { what: text.into(), since: start(), until: start() });
        let step = text.to_owned();
        event(RunEventKind::ActionProgress { action: id, done: 1, total: 3, step, waiting });
        event(RunEventKind::ActionEnded { action: id, outcome: outcome.clone() });
        record(RecordKind::ActionStarted { action: id });
        let instance: refit_model::InstanceId = format!("i-{at}").parse().unwrap();
        let call = Op::Group {
            group: "a long group name with spaces".parse().unwrap(),
            op: refit_model::GroupOp::Protect { instance: instance.clone() },
        };
        if let Some(cluster) = cluster {
            let (op, token, action) = (OpId(1), Token(String::new()), id);
            record(RecordKind::Intent { op, action, cluster, token, call });
        }
        let progress = Progress::NodeChosen {
            instance,
            node: None,
            purpose: Purpose::Replace,
            baseline: std::collections::BTreeMap::new(),
        };
        record(RecordKind::Progress { action: id, progress });
        if at % 2 == 0 {
            record(RecordKind::ActionEnded { action: id, outcome: outcome.clone() });
        }
    }
    (recap, records, events)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plans_keep_to_their_width(plan in plan()) {
        for style in styles() {
            holds(&plan_text(&plan, None, style), style.width);
        }
    }

    #[test]
    fn runs_keep_to_their_width(plan in plan(), ends in outcomes(), text in prose()) {
        let (recap, records, events) = run_of(&plan, &ends, &text);
        let known: BTreeSet<_> = recap.failed.iter().chain(&recap.skipped).collect();
        let outcome = |id: &refit_model::ActionId| {
            if !known.contains(id) { return None; }
            let at = plan.actions.iter().position(|action| action.id == *id)?;
            ends.iter().cycle().nth(at).cloned()
        };
        let run: RunId = "r-1".parse().unwrap();
        for style in styles() {
            holds(&recap_text(&plan, &recap, &outcome, &text, style), style.width);
            let mut lines = ProgressLines::new(&plan, Detail::Steps, style);
            for event in &events {
                holds(&lines.line(event).unwrap_or_default(), style.width);
                for action in &plan.actions {
                    if let Some(bar) = lines.bar(&action.id) {
                        holds(bar.prefix.trim_end(), usize::MAX);
                        holds(bar.message.trim_end(), usize::MAX);
                    }
                }
            }
            for known in [Some(&plan), None] {
                let now = known.map(|_| start());
                let input = StatusInput { run: &run, plan: known, records: &records, now, worked_on: WorkedOn::Unknown };
                holds(&status_text(&input, style), style.width);
                holds(&run_text(&input, style), style.width);
            }
        }
    }

    #[test]
    fn histories_keep_to_their_width(runs in prop::collection::vec((name(), prose(), prose()), 0..4)) {
        let runs: Vec<RunLine> = runs.into_iter().map(|(run, who, state)| RunLine {
            run: run.parse().unwrap(),
            plan: "0123456789ab".parse().unwrap(),
            who,
            opened_at: start(),
            ended_at: Some(start()),
            state,
        }).collect();
        for style in styles() {
            holds(&history_text(&runs, style), style.width);
        }
    }
}
