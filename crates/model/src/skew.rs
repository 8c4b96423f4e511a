//! The [version skew policy](https://kubernetes.io/releases/version-skew-policy/), as data.
//!
//! It compares minors. Every function answers for one pair of components that can reach each
//! other; which pairs that are is the caller's knowledge.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Minor;

/// A rule of the policy.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum SkewRule {
    /// The newest and the oldest apiserver of a cluster are at most one minor apart.
    ApiServers,
    /// A control plane goes minor by minor.
    MinorByMinor,
    /// A kubelet is not newer than any apiserver it can reach, and at most three minors older
    /// than the newest (two, when the kubelet is before 1.25; KEP-3935).
    Kubelet,
    /// The same for kube-proxy.
    KubeProxy,
    /// kube-proxy and the kubelet beside it are at most three minors apart (two before 1.25).
    KubeProxyAndKubelet,
    /// Controller-manager and scheduler are not newer than the apiservers they can reach, and
    /// at most one minor older.
    Controllers,
}

impl fmt::Display for SkewRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ApiServers => "apiservers are at most one minor apart",
            Self::MinorByMinor => "a control plane goes minor by minor",
            Self::Kubelet => {
                "a kubelet is never newer than an apiserver and at most 3 minors older (2 before 1.25)"
            }
            Self::KubeProxy => {
                "kube-proxy is never newer than an apiserver and at most 3 minors older (2 before 1.25)"
            }
            Self::KubeProxyAndKubelet => {
                "kube-proxy and kubelet are at most 3 minors apart (2 before 1.25)"
            }
            Self::Controllers => {
                "controller-manager and scheduler are never newer than an apiserver and at most 1 minor older"
            }
        })
    }
}

impl SkewRule {
    /// Returns the rule as it binds a component of this minor: how many minors it may lag behind depends
    /// on that.
    pub fn for_component(self, component: Minor) -> String {
        let lag = node_lag_max(component);
        match self {
            Self::Kubelet => {
                format!("a kubelet is never newer than an apiserver and at most {lag} minors older")
            }
            Self::KubeProxy => {
                format!(
                    "kube-proxy is never newer than an apiserver and at most {lag} minors older"
                )
            }
            Self::KubeProxyAndKubelet => {
                format!("kube-proxy and kubelet are at most {lag} minors apart")
            }
            Self::ApiServers | Self::MinorByMinor | Self::Controllers => self.to_string(),
        }
    }
}

/// The last minor before KEP-3935 widened what a kubelet and a kube-proxy may lag behind.
const LAST_NARROW: Minor = Minor::new(1, 24);

/// How many minors a kubelet or kube-proxy may be behind the newest apiserver.
pub fn node_lag_max(component: Minor) -> u16 {
    if component <= LAST_NARROW { 2 } else { 3 }
}

/// Whether a kubelet may talk to an apiserver.
pub fn kubelet_fits(kubelet: Minor, api_server: Minor) -> bool {
    kubelet <= api_server && kubelet.behind(api_server) <= node_lag_max(kubelet)
}

/// Whether a kubelet, or a kube-proxy, that was there from the beginning may stay beside an apiserver.
///
/// It fits, or it is no further from it than from one of the apiservers that there were `at_first`, in
/// the same direction: then those did not fit either, and nothing becomes worse.
pub fn kubelet_may_stay(
    kubelet: Minor,
    api_server: Minor,
    at_first: impl IntoIterator<Item = Minor>,
) -> bool {
    let no_worse =
        |first| if kubelet > api_server { first <= api_server } else { first >= api_server };
    kubelet_fits(kubelet, api_server) || at_first.into_iter().any(no_worse)
}

/// Whether a kube-proxy may talk to an apiserver: the same bounds as a kubelet's.
pub fn kube_proxy_fits(kube_proxy: Minor, api_server: Minor) -> bool {
    kubelet_fits(kube_proxy, api_server)
}

/// Whether a kube-proxy may run beside a kubelet.
pub fn kube_proxy_fits_kubelet(kube_proxy: Minor, kubelet: Minor) -> bool {
    let apart = kube_proxy.behind(kubelet).max(kubelet.behind(kube_proxy));
    apart <= node_lag_max(kube_proxy)
}

/// Whether a controller-manager, scheduler or cloud-controller may talk to an apiserver.
pub fn controller_fits(controller: Minor, api_server: Minor) -> bool {
    controller <= api_server && controller.behind(api_server) <= 1
}

/// Whether two apiservers may serve one cluster.
pub fn api_servers_fit(a: Minor, b: Minor) -> bool {
    a.behind(b).max(b.behind(a)) <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn m(minor: u16) -> Minor {
        Minor::new(1, minor)
    }

    #[test]
    fn every_pair_is_as_the_policy_has_it() {
        for api in 20..=37 {
            for node in 18..=38 {
                let lag = i32::from(api) - i32::from(node);
                let allowed = if node < 25 { 2 } else { 3 };
                assert_eq!(
                    kubelet_fits(m(node), m(api)),
                    (0..=allowed).contains(&lag),
                    "{node} {api}"
                );
                assert_eq!(kube_proxy_fits_kubelet(m(node), m(api)), lag.abs() <= allowed);
                assert_eq!(controller_fits(m(node), m(api)), (0..=1).contains(&lag));
                assert_eq!(api_servers_fit(m(node), m(api)), (-1..=1).contains(&lag));
            }
        }
    }

    #[test]
    fn a_rule_names_the_lag_of_the_component_that_it_binds() {
        for rule in [SkewRule::Kubelet, SkewRule::KubeProxy, SkewRule::KubeProxyAndKubelet] {
            assert!(rule.for_component(m(24)).contains("at most 2 minors"), "{rule}");
            assert!(rule.for_component(m(25)).contains("at most 3 minors"), "{rule}");
            assert!(rule.to_string().ends_with("(2 before 1.25)"), "{rule}");
        }
        assert_eq!(SkewRule::MinorByMinor.for_component(m(24)), SkewRule::MinorByMinor.to_string());
    }

    #[test]
    fn what_is_wrong_may_only_come_nearer() {
        let may_stay = |node, api| kubelet_may_stay(m(node), m(api), [m(32), m(33)]);
        // A newer one: with every apiserver up to it.
        assert_eq!(
            [30, 31, 32, 33, 34].map(|api| may_stay(35, api)),
            [false, false, true, true, true]
        );
        // An older one: with those that there were.
        assert_eq!([31, 32, 33, 34].map(|api| may_stay(28, api)), [true, true, true, false]);
        for (node, api) in (28..38).flat_map(|node| (28..38).map(move |api| (node, api))) {
            let fitted = [32, 33].iter().all(|first| kubelet_fits(m(node), m(*first)));
            assert!(
                !(fitted && may_stay(node, api)) || kubelet_fits(m(node), m(api)),
                "{node} {api}"
            );
        }
    }

    #[test]
    fn another_major_never_fits() {
        assert!(!kubelet_fits(m(34), Minor::new(2, 0)));
        assert!(!api_servers_fit(m(34), Minor::new(2, 34)));
    }
}
