//! Why plans are as they are.

use std::collections::BTreeSet;

use refit_model::{
    About, Action, ActionExplanation, ActionKind, AddonChoice, AddonVersion, Choice,
    ClusterExplanation, Explanation, Fleet, KubeVersion, Location, Minor, Origin, Plan, Target,
    UpdateStrategy, WaveSpec, WhyNot, WhyNotEarlier, WhyNotLater, WhyPatch,
};
use refit_planner::{Options, UnknownName, WhyUnknown, explain, plan};
use refit_simulator::random_fleet;

use crate::bench::{
    Bench, action, ant, fleet, has, knows, minor, n, observe, release, requires, steps, wants,
};
use crate::cases::stray;
use crate::knowledge::{source, uses};

/// Explains what a name names in the bench's plan.
fn about(bench: &Bench, name: &str) -> About {
    let explained = explain(&bench.plan(), Some(&bench.fleet), name).unwrap();
    assert_eq!(explained.format_version, Explanation::FORMAT);
    assert!(explained.with_files);
    explained.about
}

/// The explanations of a part's actions, in order.
fn part(bench: &Bench, name: &str) -> Vec<ActionExplanation> {
    let About::Part { actions, .. } = about(bench, name) else { panic!("{name} is a part") };
    actions
}

fn cluster(bench: &Bench, name: &str) -> ClusterExplanation {
    let About::Cluster(cluster) = about(bench, name) else { panic!("{name} is a cluster") };
    *cluster
}

/// The choice of an add-on's version in the part's only action, or in that one.
fn choice(bench: &Bench, name: &str, at: usize) -> AddonChoice {
    match part(bench, name)[at].choice.clone() {
        Some(Choice::Addon(choice)) => *choice,
        other => panic!("{other:?}"),
    }
}

fn why_not(choice: &AddonChoice, version: &str) -> Vec<WhyNot> {
    let version: AddonVersion = n(version);
    let other = choice.others.iter().find(|other| other.version == version);
    other.unwrap_or_else(|| panic!("{version} is told of")).why_not.clone()
}

fn minors(of: &[u16]) -> BTreeSet<Minor> {
    of.iter().map(|of| minor(*of)).collect()
}

fn unknown(bench: &Bench, name: &str) -> UnknownName {
    explain(&bench.plan(), Some(&bench.fleet), name).unwrap_err()
}

/// `dns` from 1.0.0 to 1.4.0 over two hops; 1.2.0 and 1.3.0 support both sides of the last one.
fn ladder() -> Fleet {
    let mut fleet = fleet(&[("ant", "1.31.2", "1.33.5")]);
    ant(&mut fleet).pools.truncate(1);
    let versions = [
        ("0.9.0", ">=1.28"),
        ("1.0.0", "<=1.32"),
        ("1.1.0", "<=1.31"),
        ("1.2.0", ">=1.31, <=1.33"),
        ("1.3.0", ">=1.31, <=1.33"),
        ("1.4.0", "=1.33"),
        ("1.5.0", ">=1.28"),
    ];
    knows(&mut fleet, "dns", &versions);
    has(&mut fleet, "dns", "1.0.0");
    wants(&mut fleet, "dns", "1.4.0");
    fleet
}

#[test]
fn every_other_version_has_its_reason() {
    let bench = Bench::of(ladder());
    let plan = bench.plan();
    assert_eq!(
        steps(&plan),
        [
            "control-plane 1.31.2 -> 1.32.5",
            "dns 1.0.0 -> 1.3.0",
            "control-plane 1.32.5 -> 1.33.5",
            "dns 1.3.0 -> 1.4.0",
            "general 1.31.2 -> 1.33.5",
        ],
    );
    let bridge = choice(&bench, "ant/dns", 0);
    assert_eq!(bridge.chosen, n("1.3.0"));
    assert_eq!(bridge.lives.api_servers, minors(&[32, 33]), "until the next move has ended");
    assert_eq!(bridge.lives.kubelets, minors(&[31, 32, 33]), "the pool is rolled later");
    let there = n("1.0.0");
    assert_eq!(why_not(&bridge, "0.9.0"), [WhyNot::Older { there }]);
    let gone = WhyNot::ApiServers { minors: minors(&[33]) };
    assert_eq!(why_not(&bridge, "1.0.0"), [WhyNot::IsThere, gone]);
    assert_eq!(why_not(&bridge, "1.1.0"), [WhyNot::ApiServers { minors: minors(&[32, 33]) }]);
    assert_eq!(why_not(&bridge, "1.2.0"), [WhyNot::OlderBridge]);
    assert_eq!(why_not(&bridge, "1.4.0"), [WhyNot::ApiServers { minors: minors(&[32]) }]);
    assert_eq!(why_not(&bridge, "1.5.0"), [WhyNot::Newer]);
    let last = choice(&bench, "ant/dns", 1);
    assert_eq!(last.lives.api_servers, minors(&[33]));
    assert_eq!(why_not(&last, "1.3.0"), [WhyNot::IsThere, WhyNot::NotDeclared]);
    let declared = last.declared.unwrap();
    assert_eq!((declared.version, declared.set.as_str()), (n("1.4.0"), "base"));
    assert_eq!(declared.at.to_string(), "releases/2026.11.0.toml:3");
}

/// What people replace, and what belongs to nobody, is there as long as the plan runs.
#[test]
fn kubelets_that_stay_are_reasons() {
    let mut by_hand = ladder();
    release(&mut by_hand, "dns", "1.3.0").kubelets = Some(n(">=1.32"));
    let bench = Bench::of(by_hand.clone());
    assert_eq!(bench.plan().clusters[0].kubelets_that_stay, minors(&[]), "its pool is rolled");
    ant(&mut by_hand).pools[0].update = UpdateStrategy::OnDelete;
    let bench = Bench::of(by_hand);
    assert_eq!(bench.plan().clusters[0].kubelets_that_stay, minors(&[31]));
    let bridge = choice(&bench, "ant/dns", 0);
    assert_eq!(bridge.chosen, n("1.2.0"));
    assert_eq!(bridge.lives.kubelets, minors(&[31, 32, 33]));
    assert_eq!(why_not(&bridge, "1.3.0"), [WhyNot::Kubelets { minors: minors(&[31]) }]);

    let mut fleet = fleet(&[("ant", "1.32.5", "1.33.5")]);
    knows(&mut fleet, "dns", &[("1.0.0", "<=1.32"), ("1.1.0", ">=1.32"), ("1.2.0", ">=1.32")]);
    release(&mut fleet, "dns", "1.2.0").kubelets = Some(n(">=1.32"));
    has(&mut fleet, "dns", "1.0.0");
    wants(&mut fleet, "dns", "1.1.0");
    let mut bench = Bench::of(fleet);
    stray(&mut bench, "1.31.2");
    let only = choice(&bench, "ant/dns", 0);
    assert_eq!(only.lives.kubelets, minors(&[31, 32, 33]));
    let stays = WhyNot::Kubelets { minors: minors(&[31]) };
    assert_eq!(why_not(&only, "1.2.0"), [WhyNot::Newer, stays]);
}

#[test]
fn kubelets_apis_and_requirements_are_reasons() {
    let mut fleet = ladder();
    release(&mut fleet, "dns", "1.2.0").kubelets = Some(n(">=1.32"));
    release(&mut fleet, "dns", "1.3.0").kubelets = Some(n(">=1.31"));
    uses(&mut fleet, "1.1.0", None, Some(32));
    knows(&mut fleet, "proxy", &[("2.0.0", ">=1.28")]);
    has(&mut fleet, "proxy", "2.0.0");
    wants(&mut fleet, "proxy", "2.0.0");
    requires(&mut fleet, "dns", "1.1.0", "proxy", ">=3.0.0");
    requires(&mut fleet, "dns", "1.1.0", "absent", ">=1.0.0");
    requires(&mut fleet, "proxy", "2.0.0", "dns", "<=1.4.0");
    let bench = Bench::of(fleet);
    let bridge = choice(&bench, "ant/dns", 0);
    assert_eq!(why_not(&bridge, "1.2.0"), [WhyNot::Kubelets { minors: minors(&[31]) }]);
    let [
        WhyNot::ApiServers { .. },
        WhyNot::NotServed { object, at, minor: first, served },
        WhyNot::Requires { addon: absent, there: none, .. },
        WhyNot::Requires { addon: proxy, range, there },
    ] = &why_not(&bridge, "1.1.0")[..]
    else {
        panic!("{:?}", why_not(&bridge, "1.1.0"))
    };
    assert_eq!((object.api_version.as_str(), *first), ("policy/v1beta1", minor(32)));
    assert_eq!(at.to_string(), "addons/dns/1.1.0/budget.yaml:7");
    assert_eq!(served.source, source());
    assert_eq!((absent.as_str(), none.len()), ("absent", 0));
    assert_eq!((proxy.as_str(), range.to_string().as_str()), ("proxy", ">=3.0.0"));
    assert_eq!(*there, BTreeSet::from([n("2.0.0")]));
    let [WhyNot::Newer, WhyNot::RequiredBy { addon, version, range }] =
        &why_not(&bridge, "1.5.0")[..]
    else {
        panic!("{:?}", why_not(&bridge, "1.5.0"))
    };
    assert_eq!((addon.as_str(), range.to_string().as_str()), ("proxy", "<=1.4.0"));
    assert_eq!(*version, n("2.0.0"));
}

#[test]
fn a_version_that_may_lag_behind_is_not_blamed_for_it() {
    let mut fleet = fleet(&[("ant", "1.31.2", "1.33.5")]);
    ant(&mut fleet).pools.clear();
    let versions =
        [("1.31.0", "=1.31"), ("1.32.0", "=1.32"), ("1.32.1", "=1.32"), ("1.33.0", "=1.33")];
    knows(&mut fleet, "dns", &versions).may_be_unsupported_during_hop = true;
    has(&mut fleet, "dns", "1.31.0");
    wants(&mut fleet, "dns", "1.33.0");
    let bench = Bench::of(fleet);
    let bridge = choice(&bench, "ant/dns", 0);
    assert_eq!(bridge.chosen, n("1.32.1"));
    assert_eq!(bridge.lives.api_servers, minors(&[32, 33]));
    assert_eq!(why_not(&bridge, "1.32.0"), [WhyNot::OlderBridge], "1.33 comes in its last hop");
    assert_eq!(why_not(&bridge, "1.33.0"), [WhyNot::ApiServers { minors: minors(&[32]) }]);
}

#[test]
fn who_says_it_comes_with_every_reason() {
    let mut fleet = ladder();
    let at = Location { file: "addons/dns/addon.toml".into(), line: 9 };
    release(&mut fleet, "dns", "1.0.0").known.decided_by = Some(Origin::File(at.clone()));
    release(&mut fleet, "dns", "1.3.0").known.decided_by = Some(Origin::Catalogue(source()));
    let bench = Bench::of(fleet);
    let first = &part(&bench, "ant/dns")[0];
    let next = first.awaited_by.iter().find(|link| link.action.what.contains("1.33.5")).unwrap();
    assert_eq!(next.because[0].said_by, Some(Origin::File(at.clone())));
    let bridge = choice(&bench, "ant/dns", 0);
    assert_eq!(bridge.support.unwrap().said_by, Some(Origin::Catalogue(source())));
    assert_eq!(bridge.others[1].support.said_by, Some(Origin::File(at)));
}

#[test]
fn a_hop_says_why_that_patch() {
    let mut fleet = fleet(&[("ant", "1.31.2", "1.33.2")]);
    let at = Location { file: "clusters/ant.toml".into(), line: 7 };
    let pinned = Target { value: n("1.33.2"), pinned: true, at: at.clone() };
    ant(&mut fleet).kubernetes = pinned;
    let bench = Bench::of(fleet);
    let hops = part(&bench, "ant/control-plane");
    let patch = |at: usize| match hops[at].choice.clone() {
        Some(Choice::Patch { why, others }) => (why, others),
        other => panic!("{other:?}"),
    };
    assert_eq!(patch(0), (WhyPatch::Newest, vec![n::<KubeVersion>("1.32.2")]));
    assert_eq!(patch(1), (WhyPatch::Declared { at, pinned: true }, vec![n("1.33.5")]));
}

#[test]
fn a_roll_says_why_now() {
    // Three minors behind is the most: the pool is rolled on the way, and again at the end.
    let mut fleet = fleet(&[("ant", "1.30.2", "1.34.5")]);
    ant(&mut fleet).pools.truncate(1);
    let bench = Bench::of(fleet);
    let rolls = part(&bench, "ant/general");
    assert_eq!(rolls.len(), 2);
    let moment = |at: usize| match rolls[at].choice.clone() {
        Some(Choice::Moment { earlier, later, .. }) => (earlier, later),
        other => panic!("{other:?}"),
    };
    let (
        Some(WhyNotEarlier::TooNew { hop, api_server }),
        WhyNotLater::TooOld { hop: next, kubelet, at_most },
    ) = moment(0)
    else {
        panic!("{:?}", moment(0))
    };
    assert_eq!(hop.what, "control-plane 1.32.5 -> 1.33.5");
    assert_eq!(api_server, n("1.32.5"));
    assert_eq!(next.what, "control-plane 1.33.5 -> 1.34.5");
    assert_eq!((kubelet, at_most), (n("1.30.2"), 3));
    let (Some(WhyNotEarlier::TooNew { hop, .. }), WhyNotLater::Last) = moment(1) else {
        panic!("{:?}", moment(1))
    };
    assert_eq!(hop.what, "control-plane 1.33.5 -> 1.34.5");
}

#[test]
fn a_patch_lets_a_roll_begin_at_any_time_but_for_the_order() {
    let mut fleet = fleet(&[("ant", "1.31.2", "1.31.5")]);
    ant(&mut fleet).pools.truncate(1);
    let bench = Bench::of(fleet);
    let [roll] = &part(&bench, "ant/general")[..] else { panic!("there is one roll") };
    let Some(Choice::Moment { earlier: Some(WhyNotEarlier::OneAtATime { after }), later, .. }) =
        &roll.choice
    else {
        panic!("{:?}", roll.choice)
    };
    assert_eq!(after.what, "control-plane 1.31.2 -> 1.31.5");
    assert_eq!(*later, WhyNotLater::Last);
}

#[test]
fn a_cluster_has_its_way_its_wave_and_its_findings() {
    let mut fleet = fleet(&[("ant", "1.32.2", "1.33.5"), ("bee", "1.32.2", "1.33.5")]);
    fleet.channels[0].waves =
        vec![WaveSpec::Clusters(BTreeSet::from([n("ant")])), WaveSpec::Percent(100)];
    fleet.channels[0].max_parallel_clusters = Some(4);
    let bench = Bench::of(fleet);
    let bee = cluster(&bench, "bee");
    assert_eq!(bee.declared_at.unwrap().to_string(), "releases/2026.11.0.toml:3");
    let wave = bee.wave.unwrap();
    assert_eq!((wave.wave, wave.max_parallel_clusters), (2, Some(4)));
    let [earlier] = &wave.after[..] else { panic!("{:?}", wave.after) };
    assert_eq!((earlier.wave, earlier.clusters.len()), (1, 1));
    assert!(bench.plan().action(&earlier.end).is_some());
    let way: Vec<(u32, String)> =
        bee.way.iter().map(|step| (step.depth, step.action.what.clone())).collect();
    let expected = [
        (0, "control-plane 1.32.2 -> 1.33.5"),
        (1, "general 1.32.2 -> 1.33.5"),
        (2, "batch 1.32.2 -> 1.33.5"),
    ];
    assert_eq!(way, expected.map(|(depth, what)| (depth, what.to_owned())));
    assert!(bee.way[0].waits_for.is_empty(), "waves are told apart");
    assert_eq!(bee.way[1].waits_for[0].action, bee.way[0].action);
    assert_eq!(cluster(&bench, "ant").wave.unwrap().after, []);
}

#[test]
fn what_is_blocked_says_so() {
    let mut fleet = fleet(&[("ant", "1.31.2", "1.33.5")]);
    fleet.available.retain(|version| version.minor() != minor(32));
    let bench = Bench::of(fleet);
    let ant = cluster(&bench, "ant");
    assert!(ant.way.is_empty() && ant.wave.is_none());
    assert_eq!(ant.findings[0].code, refit_model::Code::RF016);
    let About::Part { findings, actions, .. } = about(&bench, "ant/control-plane") else {
        panic!()
    };
    assert_eq!((findings.len(), actions.len()), (1, 0));
}

#[test]
fn names_that_name_nothing_are_answered_with_what_is_near() {
    let bench = Bench::of(ladder());
    let WhyUnknown::Nothing { near } = unknown(&bench, "nat").why else { panic!() };
    assert_eq!(near, ["ant"]);
    let WhyUnknown::Nothing { near } = unknown(&bench, "bnt/dns").why else { panic!() };
    assert_eq!(near, ["ant/dns"]);
    let WhyUnknown::NoPart { near, parts, .. } = unknown(&bench, "ant/dnss").why else { panic!() };
    assert_eq!(near, ["ant/dns"]);
    assert_eq!(parts, ["control-plane", "dns", "general"]);
    for name in ["", "/", "zzz", "ant/", "\u{1b}[31m"] {
        let text = unknown(&bench, name).to_string();
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}

#[test]
fn an_id_may_be_short_as_long_as_it_is_one() {
    let bench = Bench::of(ladder());
    let plan = bench.plan();
    let mut ambiguous = 0;
    for action in &plan.actions {
        for length in 1..=action.id.as_str().len() {
            let name = &action.id.as_str()[..length];
            let alike = plan.actions.iter().filter(|a| a.id.as_str().starts_with(name)).count();
            match explain(&plan, None, name) {
                Ok(Explanation { about: About::Action(told), with_files: false, .. }) => {
                    assert_eq!((&told.action, alike), (&**action, 1));
                }
                Err(UnknownName { why: WhyUnknown::Ambiguous { actions }, .. }) => {
                    assert_eq!(actions.len(), alike);
                    assert!(alike > 1);
                    ambiguous += 1;
                }
                other => panic!("{name}: {other:?}"),
            }
        }
    }
    assert!(ambiguous > 0, "some ids begin with the same digit");
}

#[test]
fn without_the_files_what_the_plan_knows_is_told() {
    let bench = Bench::of(ladder());
    let plan = bench.plan();
    let told = |name: &str| match explain(&plan, None, name).unwrap().about {
        About::Part { actions, .. } => actions,
        other => panic!("{other:?}"),
    };
    assert!(told("ant/dns").iter().all(|action| action.choice.is_none()));
    assert!(told("ant/general")[0].choice.is_some());
    let hops = told("ant/control-plane");
    assert!(hops[0].choice.is_none(), "nobody knows what else there was");
    assert!(hops[1].choice.is_some(), "the plan says where it was declared");
    let is_last = |kind: &ActionKind| kind.to_string() == "control-plane 1.32.5 -> 1.33.5";
    let hop = action(&plan, is_last);
    let chain = &hops.iter().find(|told| told.action == *hop).unwrap().waits_for[0].chain;
    assert!(!chain.is_empty());
}

/// The edges of a plan from one action to another.
fn reasons(plan: &Plan, from: &Action, to: &Action) -> usize {
    let edges = plan.edges.iter().chain(&plan.implied);
    edges.filter(|edge| edge.from == from.id && edge.to == to.id).count()
}

#[test]
fn every_chain_is_made_of_edges_and_ends_where_nothing_is_waited_for() {
    for seed in 0..40 {
        let (fleet, mut world) = random_fleet(seed);
        let snapshot = observe(&fleet, &mut world);
        let plan = plan(&fleet, &snapshot, &Options::default());
        for action in &plan.actions {
            let About::Action(told) =
                explain(&plan, Some(&fleet), action.id.as_str()).unwrap().about
            else {
                panic!("seed {seed}: {} is an action", action.id)
            };
            let edges = plan.edges.iter().chain(&plan.implied);
            let incoming: BTreeSet<_> =
                edges.filter(|edge| edge.to == action.id).map(|edge| &edge.from).collect();
            assert_eq!(told.waits_for.len(), incoming.len(), "seed {seed}");
            for wait in &told.waits_for {
                let mut here = &**action;
                for link in std::iter::once(&wait.link).chain(&wait.chain) {
                    let before = plan.action(&link.action.id).unwrap();
                    assert!(!link.because.is_empty());
                    assert!(reasons(&plan, before, here) >= link.because.len(), "seed {seed}");
                    here = before;
                }
                assert!(plan.edges.iter().all(|edge| edge.to != here.id), "seed {seed}");
            }
            if let Some(Choice::Addon(choice)) = &told.choice {
                supports_what_lives(&fleet, choice, seed);
            }
        }
    }
}

/// What was chosen supports all that is said to live beside it; so what is said of the others
/// rests on the right minors.
fn supports_what_lives(fleet: &Fleet, choice: &AddonChoice, seed: u64) {
    let addon = &fleet.addons[&choice.addon];
    assert_eq!(choice.others.len() + 1, addon.versions.len());
    for other in &choice.others {
        assert!(!other.why_not.is_empty(), "seed {seed}");
        let is_there = other.why_not == [WhyNot::IsThere];
        assert!(!is_there, "seed {seed}: that it is there is no reason to leave it");
    }
    let Some(support) = &choice.support else { panic!("seed {seed}") };
    let outside =
        choice.lives.api_servers.iter().filter(|minor| !support.kubernetes.contains(minor)).count();
    let most = usize::from(addon.may_be_unsupported_during_hop);
    assert!(outside <= most, "seed {seed}: {choice:#?}");
    let kubelets = support.kubelets.iter();
    for range in kubelets {
        assert!(choice.lives.kubelets.iter().all(|minor| range.contains(minor)), "seed {seed}");
    }
}
