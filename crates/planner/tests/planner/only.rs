//! Plans about one kind of parts.

use refit_model::{ActionKind, Code, Fleet, Only, Plan, Selection, UpdateStrategy};
use refit_planner::{Options, plan};
use refit_verifier::verify;

use crate::bench::{Bench, ant, finding, fleet, has, knows, steps, wants};
use crate::properties::each;

/// Two minors to go; `dns` has to move on the way, `proxy` may.
fn two_minors() -> Fleet {
    let mut fleet = fleet(&[("ant", "1.31.5", "1.33.5")]);
    ant(&mut fleet).pools.truncate(1);
    knows(&mut fleet, "dns", &[("1.0.0", "<=1.32"), ("2.0.0", ">=1.32")]);
    knows(&mut fleet, "proxy", &[("1.0.0", ">=1.28"), ("2.0.0", ">=1.28")]);
    for name in ["dns", "proxy"] {
        has(&mut fleet, name, "1.0.0");
        wants(&mut fleet, name, "2.0.0");
    }
    fleet
}

fn with(bench: &Bench, only: Only) -> Plan {
    let options = Options { selection: only_of(only), ..bench.options.clone() };
    let plan = plan(&bench.fleet, &bench.snapshot, &options);
    assert_eq!(verify(&bench.fleet, &bench.snapshot, &plan), [], "{:#?}", steps(&plan));
    plan
}

fn only_of(only: Only) -> Selection {
    Selection { only: Some(only), ..Selection::default() }
}

#[test]
fn each_kind_goes_as_far_as_the_others_let_it() {
    let bench = Bench::of(two_minors());
    let plan = with(&bench, Only::ControlPlane);
    assert_eq!(steps(&plan), ["control-plane 1.31.5 -> 1.32.5"]);
    assert_eq!(
        finding(&plan, Code::RF047).evidence,
        "left undone by `--only control-plane`: the control plane stays at 1.32.5; nodes of \
         general; add-ons dns, proxy"
    );
    let plan = with(&bench, Only::AddOns);
    assert_eq!(steps(&plan), ["proxy 1.0.0 -> 2.0.0"]);
    assert_eq!(
        finding(&plan, Code::RF047).evidence,
        "left undone by `--only add-ons`: the control plane stays at 1.31.5; nodes of general; \
         add-ons dns"
    );
    let plan = with(&bench, Only::Nodes);
    assert_eq!(steps(&plan), Vec::<String>::new());

    let mut bench = Bench::of(two_minors());
    bench.control_plane_runs(&["1.33.5"]);
    assert_eq!(steps(&with(&bench, Only::Nodes)), ["general 1.31.5 -> 1.33.5"]);
}

#[test]
fn nothing_is_told_where_nothing_is_left() {
    let mut fleet = fleet(&[("ant", "1.33.5", "1.33.5")]);
    knows(&mut fleet, "proxy", &[("1.0.0", ">=1.28"), ("2.0.0", ">=1.28")]);
    has(&mut fleet, "proxy", "1.0.0");
    wants(&mut fleet, "proxy", "2.0.0");
    let bench = Bench::of(fleet);
    let plan = with(&bench, Only::AddOns);
    assert_eq!((steps(&plan).len(), plan.findings.len()), (1, 0), "{:#?}", plan.findings);
}

/// Whatever a fleet is like, such a plan breaks no rule, and does nothing else.
#[test]
fn on_random_fleets_they_hold_to_the_rules() {
    let done = std::cell::Cell::new([0, 0, 0]);
    each(|seed, fleet, snapshot, _| {
        for (at, only) in Only::ALL.into_iter().enumerate() {
            let options = Options { selection: only_of(only), ..Options::default() };
            let plan = plan(fleet, snapshot, &options);
            assert_eq!(verify(fleet, snapshot, &plan), [], "{seed} {only}: {:#?}", steps(&plan));
            let fits = |kind: &ActionKind| match kind {
                ActionKind::ControlPlaneHop { .. } => only == Only::ControlPlane,
                ActionKind::NodePoolRoll { .. } => only == Only::Nodes,
                kind => kind.addon().is_none() || only == Only::AddOns,
            };
            assert!(plan.actions.iter().all(|action| fits(&action.kind)), "{seed} {only}");
            let mut counts = done.get();
            counts[at] += plan.actions.len();
            done.set(counts);
        }
    });
    assert!(done.get().iter().all(|count| *count > 50), "{:?}", done.get());
}

/// Groups of a pool that somebody else replaces cannot launch what is declared as long as the
/// control plane cannot take it.
#[test]
fn pools_on_delete_wait_as_well() {
    let mut fleet = two_minors();
    ant(&mut fleet).pools[0].update = UpdateStrategy::OnDelete;
    let mut bench = Bench::of(fleet);
    for only in Only::ALL {
        let plan = with(&bench, only);
        assert!(finding(&plan, Code::RF047).evidence.contains("nodes of general"), "{only}");
    }
    bench.control_plane_runs(&["1.33.5"]);
    assert_eq!(steps(&with(&bench, Only::Nodes)), ["pin the image of 1 groups"]);
}
