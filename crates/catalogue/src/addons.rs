//! What projects publish about their add-ons.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use refit_model::{
    AddonFacts, AddonVersion, Claim, Crossing, Minor, NeededFrom, Policy, Source, Suggestion,
    VersionRange, skew,
};
use serde::Deserialize;

use crate::source;
use crate::versions::range;

/// What the catalogue knows of an add-on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, which is that of its directory in a fleet.
    pub name: String,
    /// The kind of statement that its project makes.
    pub policy: Policy,
    /// The statement in words, where no version says more; may be empty.
    pub says: String,
    /// Where it was read, the main one first.
    pub sources: Vec<Source>,
    /// What else an upgrade should know, that of `facts` included.
    pub notes: Vec<String>,
    /// What plans go by.
    pub facts: AddonFacts,
    /// Its versions, the newest first.
    pub rows: Vec<Row>,
}

/// Versions of an add-on, and what is said of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// As the data writes them.
    pub versions: String,
    /// The same.
    pub range: VersionRange<AddonVersion>,
    /// The apiservers that they run on; none: no limit is named.
    pub kubernetes: Option<VersionRange<Minor>>,
    /// The minors that they were tested with.
    pub tested: BTreeSet<Minor>,
    /// The minors whose kubeadm installs them.
    pub bundled_with: BTreeSet<Minor>,
    /// A patch to begin with.
    pub latest: Option<AddonVersion>,
    /// Where it was read.
    pub source: Source,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    date: String,
    addons: Vec<AddonTable>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct AddonTable {
    name: String,
    policy: Policy,
    #[serde(default)]
    says: String,
    sources: Vec<Source>,
    #[serde(default)]
    notes: Vec<String>,
    needed_from: Option<NeededTable>,
    #[serde(default)]
    crossings: Vec<CrossingTable>,
    #[serde(default)]
    versions: Vec<VersionTable>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct NeededTable {
    kubernetes: Minor,
    why: String,
    #[serde(default)]
    source: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct CrossingTable {
    version: AddonVersion,
    asks: String,
    #[serde(default)]
    source: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct VersionTable {
    versions: String,
    kubernetes: Option<VersionRange<Minor>>,
    #[serde(default)]
    tested: BTreeSet<Minor>,
    #[serde(default)]
    bundled_with: BTreeSet<Minor>,
    latest: Option<AddonVersion>,
    #[serde(default)]
    source: usize,
}

struct Catalogue {
    date: String,
    entries: Vec<Entry>,
}

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    let File { date, addons } =
        toml::from_str(include_str!("../data/addons.toml")).expect("a test parses the data");
    let mut entries: Vec<Entry> = addons.into_iter().map(entry).collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Catalogue { date, entries }
});

fn entry(table: AddonTable) -> Entry {
    let AddonTable { name, policy, says, sources, mut notes, needed_from, crossings, versions } =
        table;
    let needed_from = needed_from.map(|needed| NeededFrom {
        minor: needed.kubernetes,
        why: needed.why,
        source: source(&sources, needed.source).clone(),
    });
    let crossings = crossings.into_iter().map(|crossing| Crossing {
        version: crossing.version,
        asks: crossing.asks,
        source: source(&sources, crossing.source).clone(),
    });
    let mut facts = AddonFacts { needed_from, crossings: crossings.collect() };
    facts.crossings.sort_by(|a, b| a.version.cmp(&b.version));
    notes.extend(facts.needed_from.iter().map(|needed| {
        format!(
            "{}: it has to be installed before the control plane is of {}",
            needed.why, needed.minor
        )
    }));
    notes.extend(
        facts.crossings.iter().map(|crossing| {
            format!("on the way to {} or newer: {}", crossing.version, crossing.asks)
        }),
    );
    let rows = versions
        .into_iter()
        .map(|row| Row {
            range: range(&row.versions).expect("a test reads every row"),
            versions: row.versions,
            kubernetes: row.kubernetes,
            tested: row.tested,
            bundled_with: row.bundled_with,
            latest: row.latest,
            source: source(&sources, row.source).clone(),
        })
        .collect();
    Entry { name, policy, says, sources, notes, facts, rows }
}

/// The day that the catalogue of add-ons is of.
pub fn date() -> &'static str {
    &CATALOGUE.date
}

/// Everything that the catalogue knows, by name.
pub fn addons() -> &'static [Entry] {
    &CATALOGUE.entries
}

/// What the catalogue knows of an add-on.
pub fn addon(name: &str) -> Option<&'static Entry> {
    let at = addons().binary_search_by(|entry| entry.name.as_str().cmp(name)).ok()?;
    addons().get(at)
}

impl Entry {
    /// Where the entry as a whole was read.
    pub fn source(&self) -> &Source {
        source(&self.sources, 0)
    }

    /// The versions that it knows, in words: `0.11 to 1.21`, `from 2.0`, `any version`.
    pub fn span(&self) -> String {
        let ends = self.rows.last().zip(self.rows.first());
        let Some((oldest, newest)) = ends else { return "any version".to_owned() };
        let line = |version: Option<&AddonVersion>| version.and_then(minor_of);
        match (line(oldest.range.low()), line(newest.range.low()), newest.range.high()) {
            (Some(oldest), Some(newest), Some(_)) => format!("{oldest} to {newest}"),
            (Some(oldest), _, None) => format!("from {oldest}"),
            _ => "any version".to_owned(),
        }
    }

    /// What is said of a version; none when the catalogue does not know the version.
    pub fn claim(&self, version: &AddonVersion) -> Option<Claim> {
        let row = self.rows.iter().find(|row| row.range.contains(version));
        let said = |kubernetes, source: &Source| Claim {
            policy: self.policy,
            kubernetes,
            kubelets: None,
            tested: BTreeSet::new(),
            says: self.says.clone(),
            source: source.clone(),
        };
        match self.policy {
            Policy::PublishedByApi | Policy::AnySupported | Policy::NonePublished => {
                Some(said(VersionRange::any(), self.source()))
            }
            Policy::Recommendation => {
                let source = row.map_or(self.source(), |row| &row.source);
                let says = match row.map(|row| join(&row.bundled_with)) {
                    Some(minors) => format!("kubeadm installs it with {minors}; that is no limit"),
                    None => self.says.clone(),
                };
                Some(Claim { says, ..said(VersionRange::any(), source) })
            }
            Policy::MatchMinor => {
                let minor = minor_of(version)?;
                Some(said(VersionRange::between(minor, minor), &row?.source))
            }
            Policy::Skew => {
                let minor = minor_of(version)?;
                let lag = skew::node_lag_max(minor);
                let up = |minor: Minor, by: u16| Minor { minor: minor.minor + by, ..minor };
                let down = Minor { minor: minor.minor.saturating_sub(lag), ..minor };
                let kubernetes = VersionRange::between(minor, up(minor, lag));
                let kubelets = Some(VersionRange::between(down, up(minor, lag)));
                Some(Claim { kubelets, ..said(kubernetes, &row?.source) })
            }
            Policy::Minimum | Policy::Matrix | Policy::Tested => {
                let row = row?;
                let kubernetes = row.kubernetes.clone().unwrap_or_else(VersionRange::any);
                Some(Claim { tested: row.tested.clone(), ..said(kubernetes, &row.source) })
            }
        }
    }

    /// The versions that could be added to those that a fleet has, the newest first: of each
    /// line of the catalogue of which the fleet has none. `minors` are those that count, for
    /// add-ons that are numbered after them.
    pub fn suggestions(
        &self,
        has: &BTreeSet<&AddonVersion>,
        minors: &BTreeSet<Minor>,
    ) -> Vec<Suggestion> {
        match self.policy {
            Policy::MatchMinor | Policy::Skew => {
                let missing = minors.iter().rev().filter(|minor| {
                    !has.iter().any(|version| minor_of(version).as_ref() == Some(*minor))
                });
                missing
                    .filter_map(|minor| {
                        let first =
                            AddonVersion::new(u64::from(minor.major), u64::from(minor.minor), 0);
                        let kubernetes = self.claim(&first)?.kubernetes;
                        Some(Suggestion { versions: format!("{minor}.x"), kubernetes })
                    })
                    .collect()
            }
            Policy::Minimum | Policy::Matrix | Policy::Tested => {
                let missing = |row: &&Row| !has.iter().any(|version| row.range.contains(version));
                let suggestion = |row: &Row| Suggestion {
                    versions: row.latest.as_ref().map_or(row.versions.clone(), ToString::to_string),
                    kubernetes: tested_or_limit(row),
                };
                self.rows.iter().filter(missing).map(suggestion).collect()
            }
            Policy::Recommendation
            | Policy::PublishedByApi
            | Policy::AnySupported
            | Policy::NonePublished => Vec::new(),
        }
    }
}

/// What a row may be suggested for: what its project names, as a limit or as tested.
fn tested_or_limit(row: &Row) -> VersionRange<Minor> {
    match (row.tested.first(), row.tested.last()) {
        (Some(low), Some(high)) => VersionRange::between(*low, *high),
        _ => row.kubernetes.clone().unwrap_or_else(VersionRange::any),
    }
}

/// The minor that a version is numbered after.
fn minor_of(version: &AddonVersion) -> Option<Minor> {
    let text = version.to_string();
    let mut parts = text.split('.');
    Some(Minor::new(parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

pub(crate) fn join(minors: &BTreeSet<Minor>) -> String {
    minors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(name: &str, version: &str) -> Option<Claim> {
        addon(name).unwrap().claim(&version.parse().unwrap())
    }

    fn limit(name: &str, version: &str) -> String {
        claim(name, version).unwrap().kubernetes.to_string()
    }

    #[test]
    fn every_fact_says_where_it_was_read_and_when() {
        assert_eq!(addons().len(), 21);
        let is_day = |text: &str| text.parse::<refit_model::Date>().is_ok();
        assert!(is_day(date()));
        for entry in addons() {
            assert!(!entry.sources.is_empty(), "{}", entry.name);
            for source in &entry.sources {
                assert!(!source.from.is_empty() && is_day(&source.read), "{}", entry.name);
            }
            let silent = entry.rows.is_empty() && entry.says.is_empty();
            assert!(!silent, "{} says nothing", entry.name);
        }
        let names: Vec<&str> = addons().iter().map(|entry| entry.name.as_str()).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    }

    #[test]
    fn no_two_rows_hold_one_version() {
        for entry in addons() {
            for row in &entry.rows {
                let bounds = [row.range.low(), row.latest.as_ref()];
                for version in bounds.into_iter().flatten() {
                    let holds = entry.rows.iter().filter(|row| row.range.contains(version));
                    assert_eq!(holds.count(), 1, "{} {version}", entry.name);
                    assert!(row.range.contains(version), "{} {version}", entry.name);
                }
            }
        }
    }

    #[test]
    fn each_kind_of_policy_limits_what_it_says() {
        assert_eq!(limit("cert-manager", "1.19.4"), ">=1.31, <=1.35");
        assert_eq!(limit("cluster-autoscaler", "1.34.1"), "=1.34");
        assert_eq!(limit("metrics-server", "0.8.1"), ">=1.31");
        assert_eq!(limit("kube-proxy", "1.34.1"), ">=1.34, <=1.37");
        assert_eq!(limit("kube-proxy", "1.24.1"), ">=1.24, <=1.26");
        let kubelets = claim("kube-proxy", "1.34.1").unwrap().kubelets.unwrap();
        assert_eq!(kubelets.to_string(), ">=1.31, <=1.37");
        assert_eq!(limit("argo-cd", "3.3.0"), "any");
        assert_eq!(join(&claim("argo-cd", "3.3.0").unwrap().tested), "1.32, 1.33, 1.34, 1.35");
        let velero = claim("velero", "1.17.2").unwrap();
        assert_eq!(velero.kubernetes.to_string(), ">=1.18");
        assert_eq!(velero.tested.len(), 4);
        assert_eq!(limit("karpenter", "1.0.4"), ">=1.25, <=1.30");
        assert_eq!(limit("karpenter", "1.0.5"), ">=1.25, <=1.31");
        for name in ["aws-vpc-cni", "aws-ebs-csi-driver", "dex", "coredns"] {
            assert_eq!(limit(name, "1.99.0"), "any", "{name}");
        }
        assert!(claim("coredns", "1.12.4").unwrap().says.contains("with 1.35"));
    }

    #[test]
    fn facts_of_one_addon_may_have_been_read_in_two_places() {
        let read = |version| claim("aws-load-balancer-controller", version).unwrap().source.read;
        assert_eq!((read("2.4.6"), read("2.4.7")), ("2024-12-18".into(), "2026-08-17".into()));
        assert_eq!(limit("aws-load-balancer-controller", "2.4.6"), ">=1.19, <1.25");
    }

    #[test]
    fn what_it_knows_is_said_in_a_few_words() {
        for (name, words) in [
            ("cert-manager", "0.11 to 1.21"),
            ("cilium", "1.12 to 1.18"),
            ("coredns", "1.0 to 1.14"),
            ("cluster-autoscaler", "from 1.12"),
            ("external-dns", "any version"),
            ("dex", "any version"),
        ] {
            assert_eq!(addon(name).unwrap().span(), words, "{name}");
        }
    }

    #[test]
    fn what_it_does_not_know_it_does_not_say() {
        assert_eq!(addon("etcd"), None);
        assert_eq!(addon("Cert-Manager"), None);
        assert_eq!(claim("cert-manager", "1.99.0"), None);
        assert_eq!(claim("argo-cd", "9.0.0"), None);
    }

    #[test]
    fn suggestions_are_lines_that_a_fleet_has_nothing_of() {
        let versions = |name: &str, has: &[&str]| -> Vec<String> {
            let has: Vec<AddonVersion> = has.iter().map(|text| text.parse().unwrap()).collect();
            let minors = BTreeSet::from([Minor::new(1, 34), Minor::new(1, 35)]);
            let found = addon(name).unwrap().suggestions(&has.iter().collect(), &minors);
            found.into_iter().map(|found| found.versions).collect()
        };
        let managers = versions("cert-manager", &["1.20.1"]);
        assert_eq!(managers[..2], ["1.21.1", "1.19.6"]);
        assert_eq!(versions("cluster-autoscaler", &["1.34.0"]), ["1.35.x"]);
        assert_eq!(versions("coredns", &[]), [] as [&str; 0]);
    }
}
