//! Manifests and the files that hold them.

use insta::assert_snapshot;
use refit_config::{FileError, MANIFEST_BYTES_MAX, load};

use crate::{all, fleet, object, plus, told, with};

#[test]
fn a_missing_manifest_directory() {
    assert_snapshot!(with("addons/coredns/addon.toml", r#"version = "1.1.0""#, r#"version = "1.1.5""#), @r#"
    error: there is no directory `addons/coredns/1.1.5`
     --> addons/coredns/addon.toml:3:11
      |
    3 | version = "1.1.5"
      |           ^^^^^^^ its manifests should be there
      |
      = help: did you mean `addons/coredns/1.1.0`?
      = help: put the manifests into `addons/coredns/1.1.5/`
    "#);
}

#[test]
fn a_manifest_directory_outside() {
    assert_snapshot!(with("addons/coredns/addon.toml", r#"version = "1.1.0""#, r#"version = "1.1.0"
manifests = "../ingress/3.0.0""#), @r#"
    error: the manifests' directory `../ingress/3.0.0` leaves the add-on's
     --> addons/coredns/addon.toml:4:13
      |
    4 | manifests = "../ingress/3.0.0"
      |             ^^^^^^^^^^^^^^^^^^ not below the add-on's directory
      |
      = help: write the name of a directory below `addons/coredns/`
    "#);
}

#[test]
fn a_manifest_directory_that_nothing_uses() {
    assert_snapshot!(plus("addons/coredns/1.3.0/dns.yaml", ""), @r#"
    warning: no version of `coredns` uses the directory `addons/coredns/1.3.0`
    --> addons/coredns/addon.toml
     = help: declare the version in `versions`, or remove the directory
    "#);
}

#[test]
fn not_yaml() {
    assert_snapshot!(plus("addons/coredns/1.2.0/more.yaml", "apiVersion: v1\nkind: [ConfigMap\nmetadata: {}\n"), @r#"
    error: `addons/coredns/1.2.0/more.yaml` is not YAML that refit reads
     --> addons/coredns/1.2.0/more.yaml:3:1
      |
    3 | metadata: {}
      | ^^^^^^^^^^^^ illegal placement of ':' indicator
    "#);
}

#[test]
fn an_object_without_a_kind() {
    assert_snapshot!(plus("addons/coredns/1.2.0/more.yaml", "# a comment\napiVersion: v1\nmetadata:\n  name: x\n"), @r#"
    error: the object has no `kind`
     --> addons/coredns/1.2.0/more.yaml:2:1
      |
    2 | apiVersion: v1
      | ^^^^^^^^^^^^^^ this object
    "#);
}

#[test]
fn an_object_without_a_name() {
    assert_snapshot!(plus("addons/coredns/1.2.0/more.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  generateName: x-\n"), @r#"
    error: the ConfigMap has no `metadata.name`
     --> addons/coredns/1.2.0/more.yaml:1:1
      |
    1 | apiVersion: v1
      | ^^^^^^^^^^^^^^ this object
      |
      = help: `generateName` makes another object with every apply; give it a name
    "#);
}

#[test]
fn an_object_twice() {
    assert_snapshot!(plus("addons/coredns/1.2.0/more.yaml", "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: coredns\n  namespace: default\n"), @r#"
    error: ConfigMap default/coredns is declared twice
     --> addons/coredns/1.2.0/more.yaml:2:1
      |
    2 | apiVersion: v1
      | ^^^^^^^^^^^^^^ again here
      |
     ::: addons/coredns/1.2.0/dns.yaml:1:1
      |
    1 | apiVersion: v1
      | -------------- first here
      |
      = help: remove one of them
    "#);
}

#[test]
fn an_object_of_two_addons() {
    assert_snapshot!(plus("addons/ingress/3.0.0/more.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: coredns, namespace: default }\n"), @r#"
    error: ConfigMap default/coredns belongs to two add-ons, coredns and ingress
     --> addons/ingress/3.0.0/more.yaml:1:1
      |
    1 | apiVersion: v1
      | ^^^^^^^^^^^^^^ declared by ingress
      |
     ::: addons/coredns/1.1.0/dns.yaml:1:1
      |
    1 | apiVersion: v1
      | -------------- declared by coredns
      |
      = help: remove it from one of them; each would undo what the other writes
    "#);
}

#[test]
fn a_kustomization() {
    assert_snapshot!(plus("addons/ingress/3.0.0/kustomization.yaml", "resources: []\n"), @r#"
    error: `addons/ingress/3.0.0/kustomization.yaml` is a kustomization, which is not supported yet
    --> addons/ingress/3.0.0/kustomization.yaml
     = help: render it, and put the plain manifests here
    "#);
}

#[test]
fn a_secret_is_not_shown() {
    assert_snapshot!(plus("addons/ingress/3.0.0/secret.yaml", "apiVersion: v1\nkind: Secret\nstringData: { password: hunter2, password: hunter2 }\n"), @r#"
    error: `addons/ingress/3.0.0/secret.yaml` is not YAML that refit reads
    --> addons/ingress/3.0.0/secret.yaml:3:1
     = help: this key stands here twice
     = help: nothing of it is shown, because there is a Secret in it
    "#);
}

#[test]
fn a_directory_without_objects() {
    let mut files = fleet();
    files.insert("addons/coredns/1.1.0/dns.yaml", "# nothing yet\n");
    assert_snapshot!(told(&files), @r#"
    error: there is no object in `addons/coredns/1.1.0`
     --> addons/coredns/addon.toml:3:11
      |
    3 | version = "1.1.0"
      |           ^^^^^^^ has no manifests
      |
      = help: put manifests there that end in .yaml, .yml or .json
    "#);
}

#[test]
fn a_file_of_100_megabytes() {
    let mut files = fleet();
    let error = FileError::TooLarge { size: 100 << 20, limit: MANIFEST_BYTES_MAX };
    files.insert_unreadable("addons/coredns/1.1.0/dns.yaml", error);
    assert_snapshot!(told(&files), @r#"
    error: `addons/coredns/1.1.0/dns.yaml` cannot be read: it has 100 MiB; at most 16 MiB are read
    --> addons/coredns/1.1.0/dns.yaml
     = help: split it, or remove it
    "#);
}

#[test]
fn a_link_that_leaves_the_repository() {
    let mut files = fleet();
    files.insert_unreadable("clusters/a.toml", FileError::LeavesRepository);
    assert_snapshot!(told(&files), @r#"
    error: `clusters/a.toml` cannot be read: it leads out of the repository
    --> clusters/a.toml
     = help: put a copy into the repository; refit reads nothing outside of it
    "#);
}

#[test]
fn a_file_that_is_not_text() {
    let mut files = fleet();
    files.insert("clusters/a.toml", b"[cluster]\nname = \"\xff\"\n".to_vec());
    assert_snapshot!(told(&files), @r#"
    error: `clusters/a.toml` is not text in UTF-8: line 2
    --> clusters/a.toml
     = help: save it as UTF-8
    "#);
}

#[test]
fn aliases_that_stand_for_gigabytes() {
    let mut bomb =
        "apiVersion: v1\nkind: ConfigMap\na0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", [before.as_str(); 9].join(", ")));
    }
    let text = plus("addons/coredns/1.2.0/bomb.yaml", &bomb);
    assert_snapshot!(text, @r#"
    error: `addons/coredns/1.2.0/bomb.yaml` is not YAML that refit reads
     --> addons/coredns/1.2.0/bomb.yaml:8:1
      |
    8 | a5: &a5 [*a4, *a4, *a4, *a4, *a4, *a4, *a4, *a4, *a4]
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ nested too deep, too many objects, or made too large by aliases
    "#);
}

#[test]
fn a_list_is_its_items() {
    let list = "kind: List\napiVersion: v1\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: x}}\n- {apiVersion: v1, kind: Secret, metadata: {name: x}}\n";
    let mut files = fleet();
    files.insert("addons/coredns/1.2.0/list.yaml", list);
    files.insert("addons/coredns/1.2.0/empty.yml", "---\n---\n# nothing\n");
    let loaded = load(&files);
    assert_eq!(all(&loaded), "");
    let fleet = loaded.fleet.unwrap();
    let coredns = &fleet.addons[&"coredns".parse().unwrap()];
    assert_eq!(coredns.versions[&"1.2.0".parse().unwrap()].manifests.objects().len(), 3);
}

#[test]
fn numbers_are_read_as_kubectl_reads_them() {
    let mut files = fleet();
    let text = object("ConfigMap", "x") + "mode: 0644\nflag: yes\ntext: \"yes\"\n";
    files.insert("addons/coredns/1.2.0/more.yaml", text);
    let fleet = load(&files).fleet.unwrap();
    let coredns = &fleet.addons[&"coredns".parse().unwrap()];
    let objects = coredns.versions[&"1.2.0".parse().unwrap()].manifests.objects();
    let value = &objects.iter().find(|manifest| manifest.object.name == "x").unwrap().value;
    assert_eq!(
        (&value["mode"], &value["flag"], &value["text"]),
        (&420.into(), &true.into(), &"yes".into())
    );
}

#[test]
fn deep_and_many_manifests_are_read_or_refused() {
    for text in ["[".repeat(200_000), "{a: ".repeat(200_000), "- ".repeat(200_000)] {
        let mut files = fleet();
        files.insert("addons/coredns/1.2.0/deep.yaml", text.clone());
        files.insert("addons/coredns/1.2.0/deep.json", text);
        assert!(load(&files).fleet.is_none());
    }
    let objects: Vec<String> = (0..20_000).map(|n| object("ConfigMap", &format!("x{n}"))).collect();
    let mut files = fleet();
    files.insert("addons/coredns/1.2.0/many.yaml", objects.join("---\n"));
    assert_eq!(told(&files), "");
}

/// A definition with these versions.
fn crd(versions: &str) -> String {
    format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n\
         metadata: {{name: zones.acme.example}}\nspec:\n  group: acme.example\n  \
         names: {{plural: zones}}\n  versions:\n{versions}"
    )
}

#[test]
fn a_definition_without_a_storage_version() {
    let versions = "    - {name: v1, served: true, storage: false}\n";
    assert_snapshot!(plus("addons/coredns/1.2.0/crd.yaml", &crd(versions)), @r"
    error: no version of the CustomResourceDefinition has `storage: true`
     --> addons/coredns/1.2.0/crd.yaml:1:1
      |
    1 | apiVersion: apiextensions.k8s.io/v1
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ CustomResourceDefinition zones.acme.example, which no apiserver takes
      |
      = help: exactly one version is the storage version
    ");
}

#[test]
fn a_definition_with_two_storage_versions() {
    let versions = "    - {name: v1, storage: true}\n    - {name: v1beta1, storage: true}\n";
    assert_snapshot!(plus("addons/coredns/1.2.0/crd.yaml", &crd(versions)), @r"
    error: 2 versions of the CustomResourceDefinition have `storage: true`: v1, v1beta1
     --> addons/coredns/1.2.0/crd.yaml:1:1
      |
    1 | apiVersion: apiextensions.k8s.io/v1
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ CustomResourceDefinition zones.acme.example, which no apiserver takes
      |
      = help: exactly one version is the storage version
    ");
}

/// The errors of a text, without where they are.
fn errors(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with("error")).collect()
}

#[test]
fn a_key_that_stands_twice() {
    let twice = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  name: b\n";
    let told = plus("addons/coredns/1.2.0/more.yaml", twice);
    assert!(told.contains("this key stands here twice") && told.contains(":5:3"), "{told}");
    assert!(!told.contains("Policy"), "{told}");
    // Of a Secret no line is shown, and the reason is told all the same.
    let secret =
        format!("{}data:\n  password: aHVudGVyMg==\n  password: x\n", object("Secret", "s"));
    let told = plus("addons/coredns/1.2.0/more.yaml", &secret);
    assert!(told.contains("this key stands here twice"), "{told}");
    assert!(
        !told.contains("hunter") && !told.contains("aHVud") && !told.contains("password"),
        "{told}"
    );
}

#[test]
fn a_template_of_a_helm_chart() {
    for text in [
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Values.name }}\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  {{- if .Values.x }}\n  a: b\n  {{- end }}\n",
    ] {
        let told = plus("addons/coredns/1.2.0/more.yaml", text);
        assert!(told.contains("is a template, such as a Helm chart has"), "{told}");
        assert!(told.contains("render it, as with `helm template`"), "{told}");
    }
    // Quoted, as in a dashboard, it is text.
    let fine = format!("{}data:\n  legend: '{{{{pod}}}}'\n", object("ConfigMap", "dashboard"));
    assert_eq!(plus("addons/coredns/1.2.0/more.yaml", &fine), "");
}

#[test]
fn a_control_character_in_a_name() {
    for (key, text) in [
        (
            "metadata.name",
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: \"a\\u001b[31mb\"\n",
        ),
        ("kind", "apiVersion: v1\nkind: \"Config\\u001bMap\"\nmetadata:\n  name: a\n"),
        ("apiVersion", "apiVersion: \"v1\\u0007\"\nkind: ConfigMap\nmetadata:\n  name: a\n"),
        (
            "metadata.namespace",
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  namespace: \"b\\u001b\"\n",
        ),
    ] {
        let told = plus("addons/coredns/1.2.0/more.yaml", text);
        assert!(told.contains(&format!("the `{key}` `")), "{told}");
        assert!(told.contains("has a control character in it"), "{told}");
        assert_eq!(errors(&told).len(), 1, "{told}");
        assert!(!told.contains('\u{1b}') && !told.contains('\u{7}'), "{told:?}");
    }
}
