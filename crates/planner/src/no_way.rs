//! Why there is no way: the fewest rules that together leave none, in words, and what would
//! open one.
//!
//! Rules are left out one by one for as long as there is still no way; what then remains is
//! minimal: without any one of them there would be a way.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    AddonName, AddonRelease, AddonTarget, AddonVersion, ApiUse, Cluster, Code, Fleet, KubeVersion,
    Milestone, Minor, Placement, PoolName,
};

use crate::checks::Blocker;
use crate::parts::{Kind, Parts, Route, newer};
use crate::search::Failed;
use crate::storage::{self, Storage};
use crate::support::{Rule, Without, release, show_version};

/// How many versions or objects a finding names: of more the first ones are enough to begin with.
const SHOWN_MAX: usize = 3;

/// A finding for each component that has no way.
pub(crate) fn explain(
    fleet: &Fleet,
    cluster: &Cluster,
    parts: &Parts<'_>,
    failures: &[Failed],
) -> Vec<Blocker> {
    let of_one = |failed: &Failed| match failed {
        Failed::TooMany(component) => too_many(parts, component),
        Failed::NoWay(component) => {
            Stuck { fleet, cluster, parts: parts.only(component), all: parts }.explain()
        }
    };
    failures.iter().map(of_one).collect()
}

fn too_many(parts: &Parts<'_>, component: &[usize]) -> Blocker {
    let names: Vec<&str> = component
        .iter()
        .filter_map(|part| match &parts.kinds[*part] {
            Kind::Addon(route) => Some(route.name.as_str()),
            Kind::Pools(_) => None,
        })
        .collect();
    Blocker::new(
        Code::RF046,
        format!("are bound to each other in more ways than can be searched: {}", names.join(", ")),
        "declare versions that are closer to what runs, and go there first",
    )
    .of("add-ons")
}

/// A component without a way.
struct Stuck<'a> {
    fleet: &'a Fleet,
    cluster: &'a Cluster,
    /// Those of the component.
    parts: Parts<'a>,
    /// Those of the cluster.
    all: &'a Parts<'a>,
}

/// The declared versions that would open a way, by add-on.
type Opens<'a> = BTreeMap<&'a AddonName, AddonVersion>;

impl<'a> Stuck<'a> {
    fn explain(&self) -> Blocker {
        let core = self.core();
        let Some(pivot) = core.first() else { return self.nodes() };
        let name = addon_of(pivot).clone();
        let stored = core.iter().find_map(|rule| match rule {
            Rule::Stored(name) => self.stored(name),
            _ => None,
        });
        if let Some(stored) = stored {
            return stored;
        }
        let mut clauses: Vec<String> = Vec::new();
        let needs = self.needs(&core);
        for rule in &core {
            match (&needs, rule) {
                (Some((of, _)), Rule::Kubernetes(name)) if of == name => {}
                _ => clauses.extend(self.clause(rule)),
            }
        }
        if let Some((_, text)) = needs {
            clauses.insert(0, text);
        }
        let opens = self.opens(&core);
        clauses.extend(self.held(&opens));
        clauses.dedup();
        let target = &self.cluster.kubernetes.value;
        let evidence = format!("cannot reach {target}: {}", clauses.join("; "));
        Blocker::new(code(&core), evidence, self.hint(&core, &opens)).of(name)
    }

    /// The stored version that is in the way of an add-on.
    fn stored(&self, name: &AddonName) -> Option<Blocker> {
        let route = self.route(name)?;
        let storage = Storage { addon: route.addon, live: route.live };
        storage::no_way(name, storage, route.start().as_ref(), route.goal.as_ref())
    }

    /// Without these rules there would be a way, with them there is none, and each is needed for
    /// that. The plainest rules are left out last. When there is too much to search without some
    /// of them, those that are not tried yet stay.
    fn core(&self) -> Vec<Rule> {
        let mut rules = self.rules();
        let mut without = Without::new();
        for rule in rules.clone().into_iter().rev() {
            without.insert(rule.clone());
            let open = is_open(&self.parts, &without);
            if open != Some(false) {
                without.remove(&rule);
            }
            if open.is_none() {
                break;
            }
        }
        rules.retain(|rule| !without.contains(rule));
        rules
    }

    /// All rules that bind the component, the plainest first.
    fn rules(&self) -> Vec<Rule> {
        let own: Vec<&Route<'_>> = self.routes().collect();
        let each = |rule: fn(AddonName) -> Rule| own.iter().map(move |r| rule(r.name.clone()));
        let mut rules: Vec<Rule> = each(Rule::Kubernetes).collect();
        rules.extend(each(Rule::Apis));
        rules.extend(each(Rule::Kubelets));
        rules.extend(each(Rule::Steps));
        rules.extend(each(Rule::Stored));
        for route in &own {
            let releases = route.addon.into_iter().flat_map(|addon| addon.versions.values());
            let required: BTreeSet<_> = releases.clone().flat_map(|r| r.requires.keys()).collect();
            let clashes: BTreeSet<_> = releases.flat_map(|r| r.conflicts.keys()).collect();
            let of = |other: &&AddonName| (route.name.clone(), (*other).clone());
            rules.extend(required.iter().map(of).map(|(own, other)| Rule::Requires(own, other)));
            rules.extend(clashes.iter().map(of).map(|(own, other)| Rule::Conflicts(own, other)));
        }
        rules.extend(each(Rule::Placement));
        for route in &own {
            let Some(addon) = route.addon else { continue };
            let Placement { before, after } = &addon.placement;
            let addons = |side: &BTreeSet<Milestone>| -> Vec<AddonName> {
                let named = side.iter().filter_map(|milestone| match milestone {
                    Milestone::Addon(name) => Some(name.clone()),
                    Milestone::ControlPlane | Milestone::Nodes => None,
                });
                named.collect()
            };
            let own = || route.name.clone();
            rules.extend(addons(before).into_iter().map(|other| Rule::Order(own(), other)));
            rules.extend(addons(after).into_iter().map(|other| Rule::Order(other, own())));
        }
        let mut seen = BTreeSet::new();
        rules.retain(|rule| seen.insert(rule.clone()));
        rules
    }

    fn routes(&self) -> impl Iterator<Item = &Route<'_>> {
        self.parts.routes().map(|(_, route)| route)
    }

    fn route(&self, name: &AddonName) -> Option<&Route<'_>> {
        self.routes().find(|route| route.name == *name)
    }

    /// The first hop that the component does not get past, whatever it were to become after.
    fn hop(&self) -> Option<(Minor, Minor)> {
        let last = self.parts.phases.len().checked_sub(1)?;
        let stuck_at = (1..=last).find(|phase| {
            let mut shorter = self.parts.clone();
            shorter.phases.truncate(phase + 1);
            let mut problem = shorter.problem(&Without::new());
            for part in &mut problem.parts {
                part.done = u128::MAX;
            }
            !problem.failures().is_empty()
        })?;
        let from = *self.parts.phases[stuck_at - 1].api_servers.first()?;
        Some((from, self.parts.phases[stuck_at].version.minor()))
    }

    /// What the hop needs of the add-on whose range is in the way: which one, and in words.
    fn needs(&self, core: &[Rule]) -> Option<(AddonName, String)> {
        let pivot = core.iter().find_map(|rule| match rule {
            Rule::Kubernetes(name) => Some(name),
            _ => None,
        })?;
        let (from, to) = self.hop()?;
        let route = self.route(pivot)?;
        let known = route.addon.into_iter().flat_map(|addon| &addon.versions);
        // None goes back for it, unless it goes back anyway.
        let back = route.goes_back();
        let mut known =
            known.filter(|(version, _)| back || route.start().as_ref() <= Some(version));
        let both = |release: &AddonRelease| {
            release.kubernetes.contains(&from) && release.kubernetes.contains(&to)
        };
        let Some((first, _)) = known.by_ref().find(|(_, release)| both(release)) else {
            let ranges = self.clause(&Rule::Kubernetes(pivot.clone()))?;
            let text = format!(
                "{from} -> {to} needs a version of {pivot} that supports both, and none does: {ranges}"
            );
            return Some((pivot.clone(), text));
        };
        let newer: Vec<bool> = known.map(|(_, release)| both(release)).collect();
        let newer =
            if !newer.is_empty() && newer.iter().all(|fits| *fits) { " or newer" } else { "" };
        let there = route.start().as_ref().and_then(|version| {
            let release = release(route.addon, version)?;
            Some(format!(" ({version} supports {})", release.kubernetes))
        });
        let text =
            format!("{from} -> {to} needs {pivot} {first}{newer}{}", there.unwrap_or_default());
        Some((pivot.clone(), text))
    }

    /// A rule in words, with the versions that it speaks of.
    fn clause(&self, rule: &Rule) -> Option<String> {
        let name = addon_of(rule);
        let route = self.route(name)?;
        let of_releases = |say: &dyn Fn(&AddonRelease) -> Option<String>| {
            let known = route.versions.iter().flatten();
            let mut said: Vec<String> = known
                .filter_map(|version| {
                    Some(format!("{version} {}", say(release(route.addon, version)?)?))
                })
                .collect();
            said.dedup();
            let more = said.len().saturating_sub(SHOWN_MAX);
            said.truncate(SHOWN_MAX);
            if more > 0 {
                said.push(format!("and {more} more"));
            }
            (!said.is_empty()).then(|| format!("{name} {}", said.join(", ")))
        };
        match rule {
            Rule::Kubernetes(_) => {
                of_releases(&|release| Some(format!("supports {}", release.kubernetes))).or_else(
                    || {
                        let start = show_version(route.start().as_ref());
                        Some(format!(
                            "{name} {start} is installed, and the fleet knows no version of it"
                        ))
                    },
                )
            }
            Rule::Kubelets(_) => of_releases(&|release| {
                Some(format!("supports kubelets {}", release.kubelets.as_ref()?))
            }),
            Rule::Apis(_) => self.unserved(route),
            Rule::Steps(_) => of_releases(&|release| {
                Some(format!("may only come from {}", release.upgrade_from.as_ref()?))
            })
            .or_else(|| Some(format!("{name} moves one minor at a time"))),
            Rule::Requires(_, other) => of_releases(&|release| {
                Some(format!("requires {other} {}", release.requires.get(other)?))
            }),
            Rule::Conflicts(_, other) => of_releases(&|release| {
                Some(format!("conflicts with {other} {}", release.conflicts.get(other)?))
            }),
            Rule::Placement(_) => Some(format!("addons/{name}/addon.toml says when {name} moves")),
            Rule::Order(first, then) => Some(format!("{first} comes before {then}")),
            Rule::Stored(_) | Rule::InTime(_) => None,
        }
    }

    /// The objects whose API a minor on the way does not serve.
    fn unserved(&self, route: &Route<'_>) -> Option<String> {
        let minors = || self.parts.phases.iter().flat_map(|phase| &phase.api_servers).copied();
        let mut uses: Vec<(&ApiUse, Minor)> = Vec::new();
        for version in route.versions.iter().flatten() {
            for api in release(route.addon, version).into_iter().flat_map(|r| &r.known.apis) {
                uses.extend(minors().find(|minor| !api.served.is_in(*minor)).map(|m| (api, m)));
            }
        }
        let more = match uses.len().saturating_sub(SHOWN_MAX) {
            0 => String::new(),
            n => format!("; and {n} more objects"),
        };
        let shown: Vec<String> =
            uses.iter().take(SHOWN_MAX).map(|(api, minor)| unserved(api, *minor)).collect();
        (!shown.is_empty()).then(|| format!("{}{more}", shown.join("; ")))
    }

    /// The declared versions that hold add-ons back.
    fn held(&self, opens: &Opens<'_>) -> Vec<String> {
        let targets = opens.keys();
        targets.filter_map(|name| Some(declared(name, self.cluster.addons.get(*name)?))).collect()
    }

    /// By add-on that the core speaks of, the lowest version beyond the declared one with which
    /// there would be a way.
    fn opens<'c>(&self, core: &'c [Rule]) -> Opens<'c> {
        let opens = named(core).into_iter().filter_map(|name| Some((name, self.opening(name)?)));
        opens.collect()
    }

    fn opening(&self, name: &AddonName) -> Option<AddonVersion> {
        let (at, route) = self.parts.routes().find(|(_, route)| route.name == *name)?;
        let (in_all, _) = self.all.routes().find(|(_, route)| route.name == *name)?;
        let newer = newer(route);
        (1..=newer.len()).find_map(|count| {
            let mut route = route.clone();
            route.versions.extend(newer[..count].iter().cloned().map(Some));
            route.goal.clone_from(route.versions.last()?);
            let with = |parts: &Parts<'a>, at: usize| {
                let mut parts = parts.clone();
                parts.kinds[at] = Kind::Addon(route.clone());
                parts.problem(&Without::new()).failures()
            };
            // A newer version may be bound to add-ons that the older ones have nothing to do with.
            let opens = with(&self.parts, at).is_empty()
                && !with(self.all, in_all).iter().any(|failed| failed.parts().contains(&in_all));
            route.goal.filter(|_| opens)
        })
    }

    /// What would open a way: a newer declared version of one of the add-ons, a hop that an
    /// add-on may lag behind, or a version to add.
    fn hint(&self, core: &[Rule], opens: &Opens<'_>) -> String {
        let mut hints = Vec::new();
        for (name, version) in opens {
            if let Some(target) = self.cluster.addons.get(*name) {
                let at = &target.version.at;
                hints.push(format!("raise {name} to {version} ({at})"));
            }
        }
        let pivot = core.iter().find(|rule| matches!(rule, Rule::Kubernetes(_) | Rule::Apis(_)));
        if let (true, Some(pivot)) = (hints.is_empty(), pivot) {
            hints.push(self.to_add(pivot));
            let late = Rule::InTime(addon_of(pivot).clone());
            if is_open(&self.parts, &Without::from([late])) == Some(true) {
                hints.push(
                    "let it move right after a hop, with `may-be-unsupported-during-hop = true` in its addon.toml"
                        .to_owned(),
                );
            }
        }
        if hints.is_empty() {
            let order = matches!(core.last(), Some(Rule::Order(..) | Rule::Placement(_)));
            hints.push(if order {
                "loosen `before` or `after` in one of their addon.toml".to_owned()
            } else {
                let names: Vec<&str> = named(core).iter().map(|name| name.as_str()).collect();
                format!("add a version of {} that goes with both", names.join(" or of "))
            });
        }
        hints.join("; or ")
    }

    /// A version that would bridge the gap.
    fn to_add(&self, pivot: &Rule) -> String {
        let name = addon_of(pivot);
        let addon = self.fleet.addons.get(name);
        if let (Rule::Apis(_), Some(route)) = (pivot, self.route(name)) {
            let known = route.versions.iter().flatten();
            let releases = known.filter_map(|version| release(route.addon, version));
            let mut uses = releases.flat_map(|release| &release.known.apis);
            return match uses.find_map(|api| api.served.replacement.as_ref()) {
                Some(api) => format!("add a version that uses {api} to addons/{name}"),
                None => format!("add a version without these objects to addons/{name}"),
            };
        }
        let mut hint = format!("add a version that bridges the gap to addons/{name}");
        let more = self.hop().and_then(|(from, to)| {
            let addon = addon?;
            addon
                .could_add(|range| range.contains(&from) && range.contains(&to))
                .or_else(|| addon.could_add(|range| range.contains(&to)))
        });
        if let Some(more) = more {
            hint = format!("{hint}; {more}");
        }
        hint
    }

    /// No add-on is in the way: nodes are.
    fn nodes(&self) -> Blocker {
        let mut runs: BTreeSet<&KubeVersion> = BTreeSet::new();
        let mut names: Vec<&str> = Vec::new();
        for (_, pools) in self.parts.pools() {
            runs.extend(&pools.runs);
            names.extend(pools.names.iter().map(PoolName::as_str));
        }
        let shown: Vec<String> = runs.iter().map(ToString::to_string).collect();
        let target = &self.cluster.kubernetes.value;
        Blocker::new(
            Code::RF017,
            format!("cannot reach {target}: its nodes run {}", shown.join(" and ")),
            "bring them within the skew policy by hand",
        )
        .of(names.join(", "))
    }
}

/// Whether there is a way without some of the rules; none: that is too much to search.
fn is_open(parts: &Parts<'_>, without: &Without) -> Option<bool> {
    let failures = parts.problem(without).failures();
    if failures.iter().any(|failed| matches!(failed, Failed::NoWay(_))) {
        return Some(false);
    }
    failures.is_empty().then_some(true)
}

/// The add-ons that rules speak of.
fn named(core: &[Rule]) -> BTreeSet<&AddonName> {
    fn other(rule: &Rule) -> Option<&AddonName> {
        match rule {
            Rule::Requires(_, other) | Rule::Conflicts(_, other) | Rule::Order(_, other) => {
                Some(other)
            }
            _ => None,
        }
    }
    core.iter().map(addon_of).chain(core.iter().filter_map(other)).collect()
}

fn declared(name: &AddonName, target: &AddonTarget) -> String {
    let AddonTarget { version, set } = target;
    if version.pinned {
        format!("a pin holds {name} at {} ({})", version.value, version.at)
    } else {
        format!("set `{set}` holds {name} at {} ({})", version.value, version.at)
    }
}

/// The add-on whose rule it is.
fn addon_of(rule: &Rule) -> &AddonName {
    match rule {
        Rule::Kubernetes(name)
        | Rule::Kubelets(name)
        | Rule::Apis(name)
        | Rule::InTime(name)
        | Rule::Placement(name)
        | Rule::Order(name, _)
        | Rule::Requires(name, _)
        | Rule::Conflicts(name, _)
        | Rule::Steps(name)
        | Rule::Stored(name) => name,
    }
}

/// The code of what is in the way: of several rules that of the most particular one.
fn code(core: &[Rule]) -> Code {
    let codes = core.iter().map(|rule| match rule {
        Rule::Conflicts(..) => Code::RF045,
        Rule::Steps(_) => Code::RF044,
        Rule::Stored(_) => Code::RF039,
        Rule::Requires(..) => Code::RF019,
        Rule::Order(..) | Rule::Placement(_) => Code::RF026,
        Rule::Apis(_) => Code::RF031,
        Rule::Kubernetes(_) | Rule::Kubelets(_) | Rule::InTime(_) => Code::RF018,
    });
    let order =
        [Code::RF039, Code::RF045, Code::RF044, Code::RF019, Code::RF026, Code::RF031, Code::RF018];
    let present: BTreeSet<Code> = codes.collect();
    order.into_iter().find(|code| present.contains(code)).unwrap_or(Code::RF018)
}

/// An object whose API a minor does not serve, and from when to when it is served.
fn unserved(api: &ApiUse, minor: Minor) -> String {
    let ends = match (api.served.introduced, api.served.removed) {
        (Some(first), _) if minor < first => format!("served from {first} on"),
        (_, Some(gone)) => format!("gone from {gone} on"),
        _ => String::new(),
    };
    format!("{api}, which {minor} does not serve ({ends})")
}
