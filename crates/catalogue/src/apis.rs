//! From when to when apiservers serve an API.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use refit_model::{Minor, Served, Source};
use serde::Deserialize;

use crate::source;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    #[expect(dead_code, reason = "for whoever reads the file")]
    date: String,
    sources: Vec<Source>,
    apis: Vec<ApiTable>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct ApiTable {
    api: String,
    kinds: Vec<String>,
    introduced: Option<Minor>,
    deprecated: Option<Minor>,
    removed: Option<Minor>,
    #[serde(default)]
    planned: bool,
    replacement: Option<String>,
    #[serde(default)]
    source: usize,
}

/// By API and kind.
type Apis = BTreeMap<(String, String), Served>;

static APIS: LazyLock<Apis> = LazyLock::new(|| {
    let File { date: _, sources, apis } =
        toml::from_str(include_str!("../data/apis.toml")).expect("a test parses the data");
    let mut all = BTreeMap::new();
    for table in apis {
        let served = Served {
            introduced: table.introduced,
            deprecated: table.deprecated,
            removed: table.removed,
            planned: table.planned,
            replacement: table.replacement,
            source: source(&sources, table.source).clone(),
        };
        for kind in table.kinds {
            all.insert((table.api.clone(), kind), served.clone());
        }
    }
    all
});

/// When the kind of an API (`policy/v1beta1`, `v1`) is served; none when every minor since 1.16
/// serves it, or when it is none of Kubernetes' own.
pub fn served(api_version: &str, kind: &str) -> Option<&'static Served> {
    APIS.get(&(api_version.to_owned(), kind.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minors(api: &str, kind: &str) -> Vec<u16> {
        let served = served(api, kind).unwrap();
        (16..45).filter(|minor| served.is_in(Minor::new(1, *minor))).collect()
    }

    #[test]
    fn well_known_removals_are_known() {
        let budget = served("policy/v1beta1", "PodDisruptionBudget").unwrap();
        assert_eq!(budget.removed, Some(Minor::new(1, 25)));
        assert_eq!(budget.replacement.as_deref(), Some("policy/v1"));
        assert_eq!(minors("policy/v1beta1", "PodDisruptionBudget").last(), Some(&24));
        assert_eq!(minors("extensions/v1beta1", "Ingress").last(), Some(&21));
        assert_eq!(minors("extensions/v1beta1", "Deployment"), [] as [u16; 0]);
        assert_eq!(minors("autoscaling/v2beta2", "HorizontalPodAutoscaler").last(), Some(&25));
        let flows = served("flowcontrol.apiserver.k8s.io/v1beta3", "FlowSchema").unwrap();
        assert_eq!(flows.removed, Some(Minor::new(1, 32)));
    }

    #[test]
    fn what_is_served_from_a_minor_on_is_not_served_before() {
        assert_eq!(minors("autoscaling/v2", "HorizontalPodAutoscaler")[0], 23);
        assert_eq!(minors("resource.k8s.io/v1", "ResourceClaim")[0], 34);
    }

    #[test]
    fn what_is_only_planned_excludes_nothing() {
        let claim = served("resource.k8s.io/v1beta1", "ResourceClaim").unwrap();
        assert!(claim.planned && claim.is_in(Minor::new(1, 44)));
        assert!(claim.may_be_gone_in(Minor::new(1, 38)));
    }

    #[test]
    fn what_every_minor_serves_and_what_is_not_kubernetes_is_not_listed() {
        for (api, kind) in [
            ("v1", "ConfigMap"),
            ("apps/v1", "Deployment"),
            ("cert-manager.io/v1", "Certificate"),
            ("policy/v1beta1", "Deployment"),
        ] {
            assert_eq!(served(api, kind), None, "{api} {kind}");
        }
    }

    #[test]
    fn every_row_is_sound() {
        assert!(APIS.len() > 120, "{}", APIS.len());
        for ((api, kind), served) in APIS.iter() {
            let what = format!("{api} {kind}");
            assert!(served.introduced.is_some() || served.removed.is_some(), "{what}");
            assert!(served.removed.is_none_or(|gone| served.introduced < Some(gone)), "{what}");
            assert!(served.deprecated.is_none_or(|minor| Some(minor) < served.removed), "{what}");
            assert!(!served.planned || served.removed > Some(Minor::new(1, 37)), "{what}");
            assert_ne!(served.replacement.as_deref(), Some(api.as_str()), "{what}");
        }
    }
}
