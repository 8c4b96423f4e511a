//! Why this version, and why now, in words.

use std::collections::BTreeSet;

use refit_model::{
    Action, ActionKind, AddonChoice, Choice, KubeVersion, Minor, OtherVersion, PoolName, Served,
    Support, WhyNot, WhyNotEarlier, WhyNotLater, WhyPatch,
};

use super::{section as titled, words};
use crate::page::Page;
use crate::paint::Paint;
use crate::words::{join, width};

pub(super) fn section(page: &mut Page, action: &Action, choice: &Choice) {
    match choice {
        Choice::Addon(choice) => addon(page, choice),
        Choice::Patch { why, others } => patch(page, action, why, others),
        Choice::Moment { pool, earlier, later } => moment(page, pool, earlier.as_ref(), later),
    }
}

fn patch(page: &mut Page, action: &Action, why: &WhyPatch, others: &[KubeVersion]) {
    let ActionKind::ControlPlaneHop { to, .. } = &action.kind else { return };
    titled(page, &format!("Why {to}"));
    let minor = to.minor();
    let text = match why {
        WhyPatch::Declared { at, pinned: false } => format!("it is declared ({at})"),
        WhyPatch::Declared { at, pinned: true } => format!("a pin of the cluster says so ({at})"),
        WhyPatch::Capped { at } => format!("it is the newest that `max-version` allows ({at})"),
        WhyPatch::Newest => {
            format!("it is the newest {minor} in `available` of `[kubernetes]` (fleet.toml)")
        }
        WhyPatch::HalfDone => "an earlier run has begun to bring it".to_owned(),
    };
    page.line(2, 4).words(Paint::Plain, &text);
    if !others.is_empty() {
        let text = format!("`available` has of {minor} as well: {}", join(others, ", "));
        page.line(2, 4).words(Paint::Plain, &text);
    }
}

fn moment(page: &mut Page, pool: &PoolName, earlier: Option<&WhyNotEarlier>, later: &WhyNotLater) {
    titled(page, "Why now");
    let text = match earlier {
        None => "not earlier: nothing comes before it".to_owned(),
        Some(WhyNotEarlier::TooNew { hop, api_server }) => format!(
            "not earlier: before {}, an apiserver runs {api_server}, and a kubelet is never newer \
             than an apiserver",
            hop.what
        ),
        Some(WhyNotEarlier::OneAtATime { after }) => {
            format!("not earlier: after {}, as a cluster changes one thing at a time", after.what)
        }
    };
    page.line(2, 4).words(Paint::Plain, &text);
    let text = match later {
        WhyNotLater::TooOld { hop, kubelet, at_most } => format!(
            "not later: after {}, nodes of {pool} that run {kubelet} would be more than {at_most} \
             minors behind an apiserver",
            hop.what
        ),
        WhyNotLater::GoesBack { hop, kubelet } => format!(
            "not later: {} goes back, and nodes of {pool} that run {kubelet} go back first",
            hop.what
        ),
        WhyNotLater::Last => {
            "not later: no hop comes after it; nodes are rolled as late and as seldom as the skew \
             policy allows"
                .to_owned()
        }
        WhyNotLater::ForAddon { addon } => {
            format!("not later: {addon} moves after it, and waits for the nodes")
        }
        WhyNotLater::Free { hop } => format!(
            "not later: no rule asks for it, but it was planned before {} and the order is part of \
             the plan",
            hop.what
        ),
    };
    page.line(2, 4).words(Paint::Plain, &text);
}

fn addon(page: &mut Page, choice: &AddonChoice) {
    let AddonChoice { addon: _, chosen, support, declared, lives, others } = choice;
    titled(page, &format!("Why {chosen}"));
    if let Some(support) = support {
        page.line(2, 4).words(Paint::Plain, &format!("it {}", supports(support)));
    }
    let servers = format!("while it is there: apiservers of {}", minors(&lives.api_servers));
    let kubelets = format!(", kubelets of {}", minors(&lives.kubelets));
    page.line(2, 4).words(Paint::Plain, &format!("{servers}{kubelets}"));
    if let Some(declared) = declared {
        let by = if declared.pinned { "a pin of the cluster" } else { "its release" };
        let text = format!(
            "{by} declares {} in the set {} ({})",
            declared.version, declared.set, declared.at
        );
        page.line(2, 4).words(Paint::Plain, &text);
    }
    let column = others.iter().map(|other| width(&other.version.to_string())).max().unwrap_or(0);
    for other in others {
        let OtherVersion { version, support, why_not } = other;
        let hang = 2 + "not ".len() + column + 2;
        page.line(2, hang).put(Paint::Dim, "not").space(1).put(Paint::Plain, &version.to_string());
        page.column(hang).hang(hang);
        let reasons = why_not.iter().map(|why| reason(why, choice, support));
        page.words(Paint::Plain, &join(reasons, "; "));
    }
}

/// `supports >=1.29, <=1.33 (addons/coredns/addon.toml:12)`, and what the catalogue says of it.
fn supports(support: &Support) -> String {
    let Support { kubernetes, kubelets, said_by, claim } = support;
    let kubelets =
        kubelets.as_ref().map_or_else(String::new, |range| format!(", kubelets {range}"));
    let by = words::by(said_by.as_ref());
    let says = claim
        .as_ref()
        .filter(|claim| !claim.says.is_empty())
        .map_or_else(String::new, |claim| format!("; its project says: {}", claim.says));
    format!("supports {kubernetes}{kubelets}{by}{says}")
}

fn reason(why: &WhyNot, choice: &AddonChoice, support: &Support) -> String {
    let by = words::by(support.said_by.as_ref());
    match why {
        WhyNot::IsThere => "is what is there".to_owned(),
        WhyNot::Older { there } => {
            format!("older than {there}, which is there; nothing goes back by itself")
        }
        WhyNot::Newer => match &choice.declared {
            Some(declared) => format!("newer than what is declared ({})", declared.at),
            None => "newer than what is declared".to_owned(),
        },
        WhyNot::ApiServers { minors: lives } => {
            format!("supports {}, not {}{by}", support.kubernetes, minors(lives))
        }
        WhyNot::Kubelets { minors: lives } => {
            let range = support.kubelets.as_ref().map_or_else(String::new, ToString::to_string);
            format!("supports kubelets {range}, not {}{by}", minors(lives))
        }
        WhyNot::NotServed { object, at, minor, served } => format!(
            "{object} ({at}) uses {}, which {minor} does not serve ({})",
            object.api_version,
            span(served)
        ),
        WhyNot::Requires { addon, range, there } if there.is_empty() => {
            format!("requires {addon} {range}, which is not there then")
        }
        WhyNot::Requires { addon, range, there } => {
            let are = if there.len() == 1 { "is" } else { "are" };
            format!("requires {addon} {range}, and {} {are} there then", join(there, ", "))
        }
        WhyNot::RequiredBy { addon, version, range } => {
            format!("{addon} {version}, which is there then, requires {} {range}", choice.addon)
        }
        WhyNot::Conflicts { addon, version } => {
            format!("it and {addon} {version}, which is there then, cannot live together")
        }
        WhyNot::NoStep { from } => {
            format!("addons/{}/addon.toml allows no step to it from {from}", choice.addon)
        }
        WhyNot::DropsStored { crd, stored } => {
            format!("objects of {crd} are stored in {stored}, which it does not list")
        }
        WhyNot::NoStepOn { to } => format!("no step leads from it to {to}, which comes next"),
        WhyNot::NotDeclared => match &choice.declared {
            Some(declared) => {
                format!("not declared ({}), and nothing asks for a step in between", declared.at)
            }
            None => "not declared, and nothing asks for a step in between".to_owned(),
        },
        WhyNot::OlderBridge => format!(
            "would do as a step in between, too; of several the newest is taken, {}",
            choice.chosen
        ),
        WhyNot::NoPlace => {
            "fits by itself; with it, the cluster's add-ons would need more moves, or have no order"
                .to_owned()
        }
    }
}

/// From when to when an API is served, and where that was read.
fn span(served: &Served) -> String {
    let Served { introduced, removed, source, .. } = served;
    let from = introduced.map(|minor| format!("served from {minor} on"));
    let gone = removed.map(|minor| format!("gone from {minor} on"));
    let parts = from.into_iter().chain(gone).chain([format!("catalogue: {source}")]);
    join(parts, "; ")
}

fn minors(minors: &BTreeSet<Minor>) -> String {
    join(minors, ", ")
}

#[cfg(test)]
mod tests {
    use refit_model::{DeclaredVersion, Lives, Location, ObjectRef, Origin, Source};

    use super::*;
    use crate::Style;
    use crate::sample::{NARROW, object};
    use crate::words::width;

    fn n<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
        text.parse().unwrap()
    }

    fn of(list: &[&str]) -> BTreeSet<Minor> {
        list.iter().map(|minor| n(minor)).collect()
    }

    /// Every reason once, on a version of its own.
    fn choice() -> AddonChoice {
        let at = |line| Location { file: "addons/dns/addon.toml".into(), line };
        let source = || Source { from: "a/b README.md @1234".into(), read: "2026-08-22".into() };
        let support = |kubernetes: &str, line| Support {
            kubernetes: n(kubernetes),
            kubelets: Some(n(">=1.30")),
            said_by: Some(Origin::File(at(line))),
            claim: None,
        };
        let served = Served {
            introduced: None,
            deprecated: None,
            removed: Some(n("1.33")),
            planned: false,
            replacement: None,
            source: source(),
        };
        let budget = ObjectRef { api_version: "policy/v1beta1".into(), ..object("Budget", "dns") };
        let not_served = WhyNot::NotServed { object: budget, at: at(7), minor: n("1.33"), served };
        let requires = |there: &[&str]| WhyNot::Requires {
            addon: n("proxy"),
            range: n(">=3.0.0"),
            there: there.iter().map(|version| n(version)).collect(),
        };
        let (addon, version, range) = (n("proxy"), n("2.0.0"), n("<=1.4.0"));
        let drops = WhyNot::DropsStored { crd: "zones.dns".into(), stored: "v1beta1".into() };
        let others: [(&str, Vec<WhyNot>); 12] = [
            ("0.9.0", vec![WhyNot::Older { there: n("1.0.0") }]),
            ("1.0.0", vec![WhyNot::IsThere, WhyNot::ApiServers { minors: of(&["1.33"]) }]),
            ("1.1.0", vec![WhyNot::Kubelets { minors: of(&["1.28", "1.29"]) }, not_served]),
            ("1.2.0", vec![requires(&[]), requires(&["1.0.0", "2.0.0"])]),
            ("1.2.1", vec![WhyNot::OlderBridge]),
            ("1.2.2", vec![WhyNot::NoPlace]),
            ("1.3.1", vec![WhyNot::NotDeclared]),
            ("1.4.1", vec![WhyNot::RequiredBy { addon, version, range }]),
            ("1.4.2", vec![WhyNot::Conflicts { addon: n("ingress"), version: n("2.0.0") }]),
            ("1.4.3", vec![WhyNot::NoStep { from: n("1.0.0") }]),
            ("1.4.4", vec![drops, WhyNot::NoStepOn { to: n("1.5.0") }]),
            ("1.5.0", vec![WhyNot::Newer]),
        ];
        AddonChoice {
            addon: n("dns"),
            chosen: n("1.3.0"),
            support: Some(Support {
                said_by: Some(Origin::Catalogue(source())),
                kubelets: None,
                ..support(">=1.31, <=1.33", 1)
            }),
            declared: Some(DeclaredVersion {
                version: n("1.4.0"),
                at: at(2),
                pinned: true,
                set: "base".into(),
            }),
            lives: Lives {
                api_servers: of(&["1.32", "1.33"]),
                kubelets: of(&["1.31", "1.32", "1.33"]),
            },
            others: others
                .into_iter()
                .map(|(version, why_not)| OtherVersion {
                    version: n(version),
                    support: support("<=1.32", 9),
                    why_not,
                })
                .collect(),
        }
    }

    #[test]
    fn every_reason_is_a_sentence() {
        let mut page = Page::new(Style::default());
        addon(&mut page, &choice());
        insta::assert_snapshot!(page.finish(), @"
        Why 1.3.0
          it supports >=1.31, <=1.33 (catalogue: a/b README.md @1234, 2026-08-22)
          while it is there: apiservers of 1.32, 1.33, kubelets of 1.31, 1.32, 1.33
          a pin of the cluster declares 1.4.0 in the set base (addons/dns/addon.toml:2)
          not 0.9.0  older than 1.0.0, which is there; nothing goes back by itself
          not 1.0.0  is what is there; supports <=1.32, not 1.33
                     (addons/dns/addon.toml:9)
          not 1.1.0  supports kubelets >=1.30, not 1.28, 1.29 (addons/dns/addon.toml:9);
                     Budget kube-system/dns (addons/dns/addon.toml:7) uses
                     policy/v1beta1, which 1.33 does not serve (gone from 1.33 on;
                     catalogue: a/b README.md @1234, 2026-08-22)
          not 1.2.0  requires proxy >=3.0.0, which is not there then; requires proxy
                     >=3.0.0, and 1.0.0, 2.0.0 are there then
          not 1.2.1  would do as a step in between, too; of several the newest is taken,
                     1.3.0
          not 1.2.2  fits by itself; with it, the cluster's add-ons would need more
                     moves, or have no order
          not 1.3.1  not declared (addons/dns/addon.toml:2), and nothing asks for a step
                     in between
          not 1.4.1  proxy 2.0.0, which is there then, requires dns <=1.4.0
          not 1.4.2  it and ingress 2.0.0, which is there then, cannot live together
          not 1.4.3  addons/dns/addon.toml allows no step to it from 1.0.0
          not 1.4.4  objects of zones.dns are stored in v1beta1, which it does not list;
                     no step leads from it to 1.5.0, which comes next
          not 1.5.0  newer than what is declared (addons/dns/addon.toml:2)
        ");
        let mut narrow = Page::new(NARROW);
        addon(&mut narrow, &choice());
        assert!(narrow.finish().lines().all(|line| width(line) <= 60));
    }
}
