//! What the catalogue adds to the files, and that the files decide.

use insta::assert_snapshot;
use refit_config::{MemoryFiles, load};
use refit_model::{AddonRelease, Fleet, Minor, Origin, Policy};

use crate::{all, fleet, object, replace, told};

/// The fleet with an add-on that the catalogue knows, in one version, with these further lines.
fn plus_addon(name: &str, version: &str, more: &str) -> MemoryFiles {
    let mut files = fleet();
    let toml = format!("[[versions]]\nversion = \"{version}\"\n{more}");
    files.insert(format!("addons/{name}/addon.toml"), toml);
    files.insert(format!("addons/{name}/{version}/x.yaml"), object("ConfigMap", name));
    let set = format!("[addon-sets.more]\n{name} = \"{version}\"");
    replace(&mut files, "releases/r1.toml", "[addon-sets.more]", &set);
    files
}

fn sound(files: &MemoryFiles) -> Fleet {
    let loaded = load(files);
    assert_eq!(all(&loaded), "");
    loaded.fleet.unwrap()
}

fn release(fleet: &Fleet, name: &str, version: &str) -> AddonRelease {
    fleet.addons[&name.parse().unwrap()].versions[&version.parse().unwrap()].clone()
}

#[test]
fn without_a_range_the_catalogue_decides() {
    let fleet = sound(&plus_addon("cert-manager", "1.20.1", ""));
    let AddonRelease { kubernetes, known, .. } = release(&fleet, "cert-manager", "1.20.1");
    assert_eq!(kubernetes.to_string(), ">=1.32, <=1.35");
    let claim = known.claim.unwrap();
    assert_eq!(claim.policy, Policy::Matrix);
    assert_eq!(known.decided_by, Some(Origin::Catalogue(claim.source)));
    let addon = &fleet.addons[&"cert-manager".parse().unwrap()];
    assert!(addon.suggestions.iter().any(|more| more.versions == "1.21.1"));
    assert!(addon.suggestions.iter().all(|more| !more.versions.starts_with("1.20")));
}

#[test]
fn kubelets_come_with_the_catalogues_range_and_not_with_the_files() {
    let kubelets = |more: &str| {
        let fleet = sound(&plus_addon("kube-proxy", "1.35.1", more));
        release(&fleet, "kube-proxy", "1.35.1").kubelets.map(|range| range.to_string())
    };
    assert_eq!(kubelets("").as_deref(), Some(">=1.32, <=1.38"));
    assert_eq!(kubelets("kubelets = \">=1.34\"").as_deref(), Some(">=1.34"));
    assert_eq!(kubelets("kubernetes = \">=1.34\""), None);
}

#[test]
fn a_range_in_the_file_decides_whatever_the_catalogue_says() {
    for (written, range) in [(">=1.30, <=1.40", ">=1.30, <=1.40"), ("any", "any")] {
        let more = format!("kubernetes = \"{written}\"");
        let fleet = sound(&plus_addon("cert-manager", "1.20.1", &more));
        let AddonRelease { kubernetes, known, .. } = release(&fleet, "cert-manager", "1.20.1");
        assert_eq!(kubernetes.to_string(), range);
        let Some(Origin::File(at)) = known.decided_by else { panic!("the file decides") };
        assert_eq!(at.to_string(), "addons/cert-manager/addon.toml:3");
        assert_eq!(known.claim.unwrap().kubernetes.to_string(), ">=1.32, <=1.35");
    }
    let unknown = release(&sound(&fleet()), "ingress", "3.0.0");
    assert_eq!(unknown.known.claim, None);
}

#[test]
fn what_limits_nothing_is_any() {
    for (name, version) in [("dex", "2.41.0"), ("aws-vpc-cni", "1.20.4"), ("argo-cd", "3.4.1")] {
        let release = release(&sound(&plus_addon(name, version, "")), name, version);
        assert_eq!(release.kubernetes.to_string(), "any", "{name}");
    }
}

#[test]
fn an_addon_that_nobody_knows_needs_a_range() {
    assert_snapshot!(told(&plus_addon("shop", "1.2.0", "")), @r#"
    error: nothing says which Kubernetes versions shop 1.2.0 supports
     --> addons/shop/addon.toml:2:11
      |
    2 | version = "1.2.0"
      |           ^^^^^^^ `kubernetes` is missing here
      |
      = help: the catalogue does not know shop
      = help: write for example `kubernetes = ">=1.31, <=1.35"`, or "any"
    "#);
}

#[test]
fn a_version_that_the_catalogue_does_not_know_needs_a_range() {
    assert_snapshot!(told(&plus_addon("cert-manager", "1.99.0", "")), @r#"
    error: nothing says which Kubernetes versions cert-manager 1.99.0 supports
     --> addons/cert-manager/addon.toml:2:11
      |
    2 | version = "1.99.0"
      |           ^^^^^^^^ `kubernetes` is missing here
      |
      = help: the catalogue knows cert-manager 0.11 to 1.21, not this version
      = help: write for example `kubernetes = ">=1.31, <=1.35"`, or "any"
    "#);
}

#[test]
fn a_release_that_the_catalogue_refuses() {
    assert_snapshot!(told(&plus_addon("cert-manager", "1.18.4", "")), @r#"
    error: cert-manager 1.18.4 supports Kubernetes >=1.29, <=1.33, not 1.35
      --> releases/r1.toml:10:16
       |
    10 | cert-manager = "1.18.4"
       |                ^^^^^^^^ with Kubernetes 1.35.1
       |
       = help: no version of cert-manager with manifests supports 1.35
       = help: the catalogue knows 1.21.1 for >=1.33, <=1.36: put its manifests into `addons/cert-manager/1.21.1/`
       = help: the catalogue (cert-manager/website content/docs/releases/README.md @776e5dba, 2026-08-22) says so; `kubernetes` of the version in `addons/cert-manager/addon.toml` overrides it
    "#);
}

#[test]
fn an_api_that_the_release_does_not_serve_warns() {
    let mut files = fleet();
    let text = "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: { name: web, namespace: default }\n";
    files.insert("addons/ingress/3.0.0/budget.yaml", text);
    assert_snapshot!(told(&files), @r#"
    warning: PodDisruptionBudget default/web uses policy/v1beta1, which 1.35 does not serve
      --> addons/ingress/3.0.0/budget.yaml:1:1
       |
     1 | apiVersion: policy/v1beta1
       | ^^^^^^^^^^^^^^^^^^^^^^^^^^ this object
       |
      ::: releases/r1.toml:10:11
       |
    10 | ingress = "3.0.0"
       |           ------- ingress 3.0.0 with 1.35.1
       |
       = help: use policy/v1
    "#);
}

#[test]
fn apis_that_come_and_go_are_kept_with_their_place() {
    let mut files = fleet();
    let text = "# two\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web, namespace: default }\n---\n\
        # a comment\napiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: { name: web, namespace: default }\n";
    files.insert("addons/ingress/3.0.0/more.yaml", text);
    let fleet = load(&files).fleet.unwrap();
    let apis = release(&fleet, "ingress", "3.0.0").known.apis;
    assert_eq!(apis.len(), 1, "{apis:?}");
    assert_eq!(
        apis[0].to_string(),
        "PodDisruptionBudget default/web (addons/ingress/3.0.0/more.yaml:8) uses policy/v1beta1"
    );
    assert_eq!(apis[0].served.removed, Some(Minor::new(1, 25)));
    assert_eq!(apis[0].served.replacement.as_deref(), Some("policy/v1"));
}

#[test]
fn a_window_is_allowed_by_either_file() {
    let allowed = |files: &MemoryFiles, name: &str| {
        sound(files).addons[&name.parse().unwrap()].may_be_unsupported_during_hop
    };
    let mut files = fleet();
    assert!(!allowed(&files, "coredns"));
    let head = "[addon]\nmay-be-unsupported-during-hop = true\n\n[[versions]]\nversion = \"1.1.0\"";
    let first = "[[versions]]\nversion = \"1.1.0\"";
    replace(&mut files, "addons/coredns/addon.toml", first, head);
    assert!(allowed(&files, "coredns"));
    let mut files = fleet();
    let inline = "[[addons]]\nname = \"dex\"\nmay-be-unsupported-during-hop = true\nversions = [{ version = \"2.0.0\" }]\n\n[[channels]]\nname = \"dev\"";
    replace(&mut files, "fleet.toml", "[[channels]]\nname = \"dev\"", inline);
    files.insert("addons/dex/2.0.0/x.yaml", object("ConfigMap", "dex"));
    assert!(allowed(&files, "dex"));
}

#[test]
fn the_ends_of_available_minors_are_known() {
    let ends = sound(&fleet()).end_of_life;
    let days: Vec<String> = ends.iter().map(|(minor, end)| format!("{minor} {}", end.on)).collect();
    assert_eq!(days, ["1.34 2026-10-27", "1.35 2027-02-28"]);
}
