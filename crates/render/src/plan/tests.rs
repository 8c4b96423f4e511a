//! Plans as people read them.

use refit_model::{
    ActionKind, AddonMark, ClusterStatus, CrdMigration, Digest, GroupName, ImageId, Location,
    RollCause, Severity, Why,
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
      hop: control plane to next version   node roll: replaces a pool's nodes

    Deletes 12 objects in 2 clusters: kube-dns-legacy (12)

      beta-canary  1.31.13 -> 1.34.3  3 hops, 1 node roll, 4 add-ons  ~ 2 h 2 min
        ~ control-plane    1.31.13 -> 1.32.9 -> 1.33.5 -> 1.34.3
        ~ workers (42)     1.31.13 -> 1.34.3     surge 5, unavailable 0
        ~ coredns          1.11.1 -> 1.12.4      before 1.33 (1.11.1 supports up to
                                                 1.32)
        ! metrics-server   adopt 0.7.2 as 0.8.1  from kubectl-client-side-apply
        + gateway-api      1.4.0
        - kube-dns-legacy  no longer in any add-on set, 6 objects, 1 kept
        findings: no warnings

      beta-eu-1  1.31.13 -> 1.34.3  3 hops, 1 node roll, 4 add-ons  ~ 2 h 2 min
        ~ workers (42)     1.31.13 -> 1.34.3  surge 5, unavailable 0
        - kube-dns-legacy  no longer in any add-on set, 6 objects, 1 kept
        all other steps as for beta-canary
        findings: RF012 (warning)

      1 cluster up to date

    Order
      wave 1 of beta  beta-canary  (at most 5 at once, none may fail)
      wave 2 of beta  beta-eu-1  (at most 5 at once, none may fail)

      beta-canary
        the same order for beta-eu-1
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
      beta-canary, beta-eu-1  each 1.32.9, 1.33.5, 1.34.3 (control plane),
        kube-dns-legacy (deletes 6 objects)

    Time
      beta-canary     ~ 2 h 2 min (1 h 1 min to 4 h 12 min)
      beta-eu-1       ~ 2 h 2 min (1 h 1 min to 4 h 12 min)
      wave 1 of beta  ~ 2 h 2 min (1 h 1 min to 4 h 12 min)
      wave 2 of beta  ~ 2 h 2 min (1 h 1 min to 4 h 12 min)
      whole plan      ~ 4 h 4 min (2 h 2 min to 8 h 24 min)
        longest sequence of clusters: beta-canary, beta-eu-1
        nothing was measured in earlier runs yet: ranges go from half of the usual
        time to the timeouts

    Findings
      warning  RF012  beta-eu-1 shop/cart: PodDisruptionBudget allows no disruption
               (minAvailable 3 of 3 replicas)
               raise the replicas, or waive it in clusters/beta-eu-1.toml with a
               reason

    Plan bb17c7db0539: 2 clusters, 16 actions, expected to take about 3 h 50 min.
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
      hop: control plane to next version
      node roll: replaces a pool's nodes

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
      eu-1        ~ 2 min (1 min to 30 min)
      eu-2        ~ 3 min (1 min 30 s to 30 min)
      eu-3        ~ 2 min (1 min to 30 min)
      eu-4        ~ 2 min (1 min to 30 min)
      eu-5        ~ 28 min (14 min to 1 h 30 min)
      eu-6        ~ 2 min (1 min to 30 min)
      whole plan  ~ 28 min (14 min to 1 h 30 min)
        nothing was measured in earlier runs yet: ranges go from
        half of the usual time to the timeouts

    Plan 7d3863db2023: 6 clusters, 8 actions, expected to take
      about 3 h 50 min.
    ");
}

#[test]
fn a_storage_migration_is_a_step_of_its_add_on_and_a_point_of_no_return() {
    let crd =
        CrdMigration { from: ["v1".to_owned(), "v1beta1".to_owned()].into(), to: "v1".to_owned() };
    let crds = ["snapshots", "classes"].map(|name| (format!("{name}.acme.example"), crd.clone()));
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
            *from = [kube("1.33.5"), kube("1.34.3")].into_iter().collect::<BTreeSet<_>>().into();
        }
        let sample = Sample::new().cluster("eu-1", "1.34.3", "1.34.3", vec![hop]);
        plan_text(&sample.plan, None, Style::default()).contains("tidy up")
    };
    assert_eq!([false, true].map(hops), [true, false]);
}

#[test]
fn nothing_to_do_is_one_sentence() {
    let sample = Sample::new().stands("eu-1", ClusterStatus::UpToDate, "1.34.3", "1.34.3").stands(
        "eu-2",
        ClusterStatus::UpToDate,
        "1.34.3",
        "1.34.3",
    );
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
                observed 2026-11-02 09:14:02 UTC, 1,000 of 1,000 clusters
      ~ change
      hop: control plane to next version   node roll: replaces a pool's nodes

      1,000 clusters of beta (4 nodes to replace in each, 4,000 in all)
        1.33.5 -> 1.34.3  1 hop, 1 node roll  ~ 24 min
        store-0001, store-0002, store-0003 and 997 more; -v lists them
        ~ control-plane  1.33.5 -> 1.34.3
        ~ workers (4)    1.33.5 -> 1.34.3  surge 5, unavailable 0

    Order
      wave 1 of beta  store-0001, store-0002, store-0003 and 997 more; -v lists them
                      (at most 5 at once, none may fail)

      store-0001 and 999 more
        1. control-plane 1.33.5 -> 1.34.3
        2. workers 1.33.5 -> 1.34.3 (in parallel with 1)

    Points of no return: 1,000
      store-0001 and 999 more  each 1.34.3 (control plane)

    Time
      store-0001 and 999 more  ~ 24 min (12 min to 30 min)
      wave 1 of beta           ~ 3 d 8 h (1 d 16 h to 4 d 4 h)
      whole plan               ~ 3 d 8 h (1 d 16 h to 4 d 4 h)
        longest sequence of clusters: store-0001, store-0006, store-0011 and 197
        more; -v lists them
        nothing was measured in earlier runs yet: ranges go from half of the usual
        time to the timeouts

    Findings
      note     RF012  workers in 1,000 clusters: has no node
               in store-0001, store-0002, store-0003 and 997 more; -v lists them

    Plan 3708137ad2d3: 1,000 clusters, 2,000 actions, expected to take
      about 3 h 50 min.
    ");
}

#[test]
fn colour_adds_nothing_but_escapes() {
    let sample = Sample::new().example("eu-1");
    let plain = plan_text(&sample.plan, None, Style::default());
    let mut color =
        plan_text(&sample.plan, None, Style { color: true, width: 80, ..Style::default() });
    assert!(color.contains('\u{1b}'));
    while let Some(begin) = color.find('\u{1b}') {
        let end = begin + color[begin..].find('m').unwrap();
        color.replace_range(begin..=end, "");
    }
    assert_eq!(color, plain);
}

/// The first waves and the last ones may have nothing to do as well.
#[test]
fn a_wave_without_a_cluster_is_said() {
    let sample = Sample::new()
        .upgrade("beta", "eu-1", &[("workers", 3)])
        .upgrade("beta", "eu-2", &[("workers", 3)])
        .wave(2, &["eu-1"])
        .wave(5, &["eu-2"]);
    let text = plan_text(&sample.plan, None, Style::default());
    let order: Vec<&str> = text.lines().skip_while(|line| *line != "Order").skip(1).collect();
    insta::assert_snapshot!(order[..4].join("\n"), @"
    wave 1 of beta  no cluster has an action in this plan
    wave 2 of beta  eu-1  (at most 5 at once, none may fail)
    waves 3 to 4 of beta  no cluster has an action in this plan
    wave 5 of beta  eu-2  (at most 5 at once, none may fail)
    ");
}

#[test]
fn groups_that_make_the_same_steps_share_their_order() {
    let mut sample = Sample::new();
    for n in 1..=10 {
        sample = sample.upgrade("beta", &format!("beta-{n}"), &[("workers", n)]);
    }
    sample = sample
        .upgrade("stable", "prod-1", &[("workers", 3)])
        .upgrade("stable", "prod-2", &[("workers", 9)])
        .upgrade("beta", "beta-odd", &[("workers", 20), ("gpu", 2)])
        .finding(Severity::Warning, "beta-odd", "shop/cart", "one pod is not healthy", "");
    insta::assert_snapshot!(plan_text(&sample.plan, None, Style::default()), @"
    refit plan  acme · channels beta, stable · release 2026.11.0 ·
                observed 2026-11-02 09:14:02 UTC, 13 of 13 clusters
      ~ change
      hop: control plane to next version   node roll: replaces a pool's nodes

      10 clusters of beta (1 to 10 nodes to replace in each, 55 in all)
        1.33.5 -> 1.34.3  1 hop, 1 node roll  ~ 25 min to 34 min
        beta-1, beta-2, beta-3 and 7 more; -v lists them
        ~ control-plane      1.33.5 -> 1.34.3
        ~ workers (1 to 10)  1.33.5 -> 1.34.3  surge 5, unavailable 0
        findings: no warnings

      beta-odd  1.33.5 -> 1.34.3  1 hop, 2 node rolls  ~ 46 min
        ~ gpu (2)       1.33.5 -> 1.34.3  surge 5, unavailable 0
        ~ workers (20)  1.33.5 -> 1.34.3  surge 5, unavailable 0
        all other steps as for beta-1 and 9 more
        findings: RF012 (warning)

      2 clusters of stable (3 to 9 nodes to replace in each, 12 in all)
        1.33.5 -> 1.34.3  1 hop, 1 node roll  ~ 27 min to 33 min
        prod-1, prod-2
        ~ workers (3 to 9)  1.33.5 -> 1.34.3  surge 5, unavailable 0
        all other steps as for beta-1 and 9 more

    Order
      beta-1 and 9 more
        the same order for beta-odd, prod-1 (and 1 more)
        shown for beta-1; not every cluster has the same pools
        1. control-plane 1.33.5 -> 1.34.3
        2. workers 1.33.5 -> 1.34.3

    Points of no return: 13
      beta-1 (and 9 more), beta-odd, prod-1 (and 1 more)  each 1.34.3 (control
        plane)

    Time
      beta-1 and 9 more  ~ 25 min to 34 min (12 min to 1 h)
      beta-odd           ~ 46 min (23 min to 1 h 30 min)
      prod-1 and 1 more  ~ 27 min to 33 min (13 min to 1 h)
      whole plan         ~ 46 min (23 min to 1 h 30 min)
        nothing was measured in earlier runs yet: ranges go from half of the usual
        time to the timeouts

    Findings
      warning  RF012  beta-odd shop/cart: one pod is not healthy

    Plan 94cc66330730: 13 clusters, 27 actions, expected to take about 3 h 50 min.
    ");
}
