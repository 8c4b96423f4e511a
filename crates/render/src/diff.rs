//! What applying a plan changes in the objects of add-ons: live objects against manifests.
//!
//! Both sides are redacted, and of a live object only those fields are compared that the
//! manifest names, or, where refit has applied the object before, that refit owns: what other
//! controllers write is nobody's change.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    ActionKind, AddonName, AddonRelease, AddonState, AddonVersion, ClusterName, FieldDrift, Fleet,
    Manifest, ObjectRef, Observation, Plan, Snapshot, redact,
};
use serde_json::{Map, Value};
use similar::TextDiff;

use crate::page::Page;
use crate::paint::{Paint, Style};
use crate::words::clean;

/// How many unchanged lines stand around a change.
const CONTEXT: usize = 3;

/// A unified diff per add-on that the plan changes; clusters with the same diff share one.
pub fn diff_text(plan: &Plan, fleet: &Fleet, snapshot: &Snapshot, style: Style) -> String {
    let mut shared: BTreeMap<(&AddonName, String, String), Vec<&ClusterName>> = BTreeMap::new();
    for ((cluster, addon), change) in changes(plan) {
        let live = match snapshot.clusters.get(cluster) {
            Some(Observation::Fresh(state)) => state.addons.get(addon),
            Some(Observation::Unreachable { .. }) | None => None,
        };
        let declared = fleet.addons.get(addon);
        let target = change.to.and_then(|to| declared.and_then(|addon| addon.versions.get(to)));
        let body = body(live, target, &change);
        shared.entry((addon, change.title(addon), body)).or_default().push(cluster);
    }
    let mut out = String::new();
    for ((_, title, body), clusters) in &shared {
        if !out.is_empty() {
            out.push('\n');
        }
        let mut page = Page::new(style);
        page.line(0, 2).words(Paint::Heading, title).space(1).put(Paint::Plain, "in").space(1);
        page.names(Paint::Plain, clusters.iter().map(|name| name.as_str()));
        out.push_str(&page.finish());
        for line in body.lines() {
            // An unchanged empty line is one space in a unified diff.
            let line = if line == " " { "" } else { line };
            paint_of(line).write(&visible(line), style, &mut out);
            out.push('\n');
        }
    }
    out
}

/// The line with escapes for what would move a cursor or turn the text: unlike elsewhere it is
/// not left out, because it may be all that changes.
fn visible(line: &str) -> String {
    let mut text = String::new();
    for c in line.chars() {
        let harmless = c == '\t' || (c.is_whitespace() && !c.is_control());
        if harmless || clean(c.encode_utf8(&mut [0; 4])).chars().eq([c]) {
            text.push(c);
        } else {
            text.extend(c.escape_unicode());
        }
    }
    text
}

fn paint_of(line: &str) -> Paint {
    match line.as_bytes().first() {
        _ if line.starts_with("---") || line.starts_with("+++") => Paint::Heading,
        Some(b'+') => Paint::Good,
        Some(b'-') => Paint::Bad,
        Some(b'@' | b'#') => Paint::Dim,
        _ => Paint::Plain,
    }
}

/// What all actions on one add-on of one cluster come to.
#[derive(Default)]
struct Change<'p> {
    from: Option<String>,
    /// None: it is removed.
    to: Option<&'p AddonVersion>,
    deletes: BTreeSet<&'p ObjectRef>,
}

impl Change<'_> {
    fn title(&self, addon: &AddonName) -> String {
        match (&self.from, self.to) {
            (Some(from), Some(to)) if *from == to.to_string() => format!("{addon} {to}"),
            (Some(from), Some(to)) => format!("{addon} {from} -> {to}"),
            (None, Some(to)) => format!("{addon} install {to}"),
            (Some(from), None) => format!("{addon} remove {from}"),
            (None, None) => addon.to_string(),
        }
    }
}

fn changes(plan: &Plan) -> BTreeMap<(&ClusterName, &AddonName), Change<'_>> {
    use refit_model::AddonMark::{Absent, At, Drifted, Foreign};
    let mut changes: BTreeMap<(&ClusterName, &AddonName), Change<'_>> = BTreeMap::new();
    let mut left: BTreeMap<(&ClusterName, &AddonName), BTreeSet<String>> = BTreeMap::new();
    let mut reached: BTreeMap<(&ClusterName, &AddonName), Vec<&AddonVersion>> = BTreeMap::new();
    for action in &plan.actions {
        let (Some(cluster), Some(addon)) = (&action.cluster, action.kind.addon()) else { continue };
        let key = (cluster, addon);
        let change = changes.entry(key).or_default();
        let from = match &action.kind {
            ActionKind::AddonApply { from, to, deletes, addon: _, digest: _ } => {
                reached.entry(key).or_default().push(to);
                change.deletes.extend(deletes);
                match from {
                    Absent => None,
                    At { version, .. } | Drifted { version, .. } => Some(version.to_string()),
                    Foreign { version } => Some(version.clone()),
                }
            }
            ActionKind::AddonAdopt { from, to, addon: _, digest: _, managers: _ } => {
                reached.entry(key).or_default().push(to);
                Some(from.clone())
            }
            ActionKind::AddonRemove { from, objects, addon: _, kept: _ } => {
                change.deletes.extend(objects);
                Some(from.to_string())
            }
            _ => None,
        };
        left.entry(key).or_default().extend(from);
    }
    // Steps on the way are no change of their own: what counts is where the chain begins and
    // ends, and that is what no other step of it leaves or reaches.
    for (key, change) in &mut changes {
        let (left, reached) = (left.remove(key).unwrap_or_default(), reached.remove(key));
        let reached = reached.unwrap_or_default();
        let ends: BTreeSet<String> = reached.iter().map(ToString::to_string).collect();
        change.to =
            reached.iter().find(|to| !left.contains(&to.to_string())).or(reached.first()).copied();
        change.from = left.iter().find(|from| !ends.contains(*from)).or(left.first()).cloned();
    }
    changes
}

fn body(live: Option<&AddonState>, target: Option<&AddonRelease>, change: &Change<'_>) -> String {
    let none = AddonState::default();
    let live = live.unwrap_or(&none);
    let manifests: &[Manifest] = target.map_or(&[], |release| release.manifests.objects());
    let mut body = String::new();
    for FieldDrift { object, field, manager } in &live.drift {
        let by = manager.as_ref().map(|manager| format!(" by {manager}")).unwrap_or_default();
        body.push_str(&clean(&format!("# changed in the cluster: {object} {field}{by}")));
        body.push('\n');
    }
    let found = |object: &ObjectRef| {
        live.live.iter().find(|(other, _)| other.same_object(object)).map(|(_, value)| value)
    };
    for manifest in manifests {
        let Manifest { object, value: wanted, file } = manifest;
        let wanted = redact(wanted);
        match found(object) {
            Some(there) => {
                let there = redact(there);
                let owned = live.members.iter().any(|member| member.same_object(object));
                let there = if owned { there } else { restrict(&there, &wanted) };
                unified(&mut body, &format!("live {object}"), &yaml(&there), file, &yaml(&wanted));
            }
            None => unified(&mut body, "/dev/null", "", file, &yaml(&wanted)),
        }
    }
    for object in &change.deletes {
        if manifests.iter().any(|manifest| manifest.object.same_object(object)) {
            continue;
        }
        let name = format!("live {object}");
        if let Some(there) = found(object) {
            unified(&mut body, &name, &yaml(&redact(there)), "/dev/null", "");
        } else {
            let head = clean(&format!("--- {name}"));
            body.push_str(&format!("{head}\n+++ /dev/null\n# its content was not observed\n"));
        }
    }
    if body.is_empty() {
        body.push_str("# no object changes\n");
    }
    body
}

fn unified(body: &mut String, old_name: &str, old: &str, new_name: &str, new: &str) {
    let diff = TextDiff::from_lines(old, new);
    body.push_str(
        &diff
            .unified_diff()
            .context_radius(CONTEXT)
            .header(&clean(old_name), &clean(new_name))
            .to_string(),
    );
}

/// Of `live`, what `wanted` names too. Lists are compared whole, but elements with a name are
/// reduced to what the element of that name has.
fn restrict(live: &Value, wanted: &Value) -> Value {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => Value::Object(
            live.iter()
                .filter_map(|(key, value)| Some((key.clone(), restrict(value, wanted.get(key)?))))
                .collect(),
        ),
        (Value::Array(live), Value::Array(wanted)) => {
            let same = |element: &Value| {
                let name = element.get("name")?;
                wanted.iter().find(|other| other.get("name") == Some(name))
            };
            let reduce =
                |element: &Value| same(element).map_or(element.clone(), |w| restrict(element, w));
            Value::Array(live.iter().map(reduce).collect())
        }
        _ => live.clone(),
    }
}

/// The value as YAML with sorted keys: it never depends on the order of an API server's answer.
pub fn yaml(value: &Value) -> String {
    let text = serde_saphyr::to_string(&sorted(value));
    // Values of JSON have only string keys and finite numbers: all of that is YAML.
    let text = text.unwrap_or_else(|_| value.to_string());
    format!("{}\n", text.trim_end_matches('\n'))
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| *key);
            let fields = fields.into_iter().map(|(key, value)| (key.clone(), sorted(value)));
            Value::Object(fields.collect::<Map<String, Value>>())
        }
        Value::Array(elements) => Value::Array(elements.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use refit_model::{
        Addon, ClusterIdentity, ClusterState, Digest, Known, ManifestSet, Placement, Timestamp,
        VersionRange,
    };
    use serde_json::json;

    use super::*;
    use crate::sample::{Sample, action, apply, at, object, remove};

    fn manifest(kind: &str, value: Value) -> Manifest {
        Manifest {
            object: object(kind, "coredns"),
            value,
            file: format!("addons/coredns/1.12.4/{}.yaml", kind.to_lowercase()),
        }
    }

    fn deployment(image: &str, extra: &Value) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "coredns"},
            "spec": {"replicas": 2, "extra": extra, "template": {"spec": {"containers": [
                {"name": "coredns", "image": image, "args": ["-conf", "true"]}
            ]}}},
        })
    }

    fn fleet() -> Fleet {
        let release = AddonRelease {
            kubernetes: VersionRange::at_least(refit_model::Minor::new(1, 30)),
            kubelets: None,
            requires: BTreeMap::new(),
            conflicts: BTreeMap::new(),
            upgrade_from: None,
            manifests: ManifestSet::new(vec![
                manifest("Deployment", deployment("coredns:1.12.4", &json!("no"))),
                manifest("Secret", json!({"kind": "Secret", "data": {"key": "aHVudGVyMg=="}})),
            ]),
            known: Known::default(),
        };
        let addon = Addon {
            name: "coredns".parse().unwrap(),
            placement: Placement::default(),
            detect: None,
            prune: BTreeSet::new(),
            may_be_unsupported_during_hop: false,
            one_minor_at_a_time: false,
            suggestions: Vec::new(),
            facts: refit_model::AddonFacts::default(),
            versions: BTreeMap::from([("1.12.4".parse().unwrap(), release)]),
        };
        Fleet {
            name: "acme".parse().unwrap(),
            digest: Digest::of_bytes(b""),
            state_path: "state".into(),
            available: Vec::new(),
            channels: Vec::new(),
            releases: BTreeMap::new(),
            addons: BTreeMap::from([(addon.name.clone(), addon)]),
            end_of_life: BTreeMap::new(),
            clusters: BTreeMap::new(),
        }
    }

    fn state(owned: bool) -> Observation {
        let members = if owned { vec![object("Deployment", "coredns")] } else { Vec::new() };
        let live = AddonState {
            members: members.into_iter().collect(),
            live: vec![
                (object("Deployment", "coredns"), {
                    let mut live = deployment("coredns:1.11.1", &json!("no"));
                    live["spec"]["paused"] = json!(true);
                    live
                }),
                (object("Secret", "coredns"), json!({"kind": "Secret", "data": {"key": "b2xk"}})),
            ],
            ..AddonState::default()
        };
        let legacy = AddonState {
            live: vec![(
                object("ConfigMap", "object-0"),
                json!({"kind": "ConfigMap", "data": {"a": "no\nx: {}"}}),
            )],
            ..AddonState::default()
        };
        Observation::Fresh(Box::new(ClusterState {
            identity: ClusterIdentity { uid: "u".into(), account: None, region: None },
            serves: None,
            control_plane: Vec::new(),
            groups: BTreeMap::new(),
            nodes: BTreeMap::new(),
            pods: Vec::new(),
            workloads: Vec::new(),
            budgets: Vec::new(),
            images: Vec::new(),
            addons: BTreeMap::from([
                ("coredns".parse().unwrap(), live),
                ("legacy".parse().unwrap(), legacy),
            ]),
            lease: None,
        }))
    }

    #[test]
    fn the_same_diff_is_shown_once_and_never_a_secret() {
        let mut sample = Sample::new();
        for name in ["eu-1", "eu-2", "eu-3"] {
            let actions = vec![
                action(name, apply("coredns", at("1.11.1"), "1.12.4")),
                action(name, remove("legacy", "1.0.0", 1, 0)),
            ];
            sample = sample.cluster(name, "1.34.3", "1.34.3", actions);
        }
        let snapshot = Snapshot {
            format_version: Snapshot::FORMAT.into(),
            fleet: "acme".parse().unwrap(),
            taken_at: Timestamp::UNIX_EPOCH,
            clusters: BTreeMap::from([
                ("eu-1".parse().unwrap(), state(true)),
                ("eu-2".parse().unwrap(), state(false)),
                ("eu-3".parse().unwrap(), state(false)),
            ]),
        };
        let text = diff_text(&sample.plan, &fleet(), &snapshot, Style::default());
        assert!(!text.contains("aHVudGVyMg") && !text.contains("b2xk"));
        insta::assert_snapshot!(text, @r#"
        coredns 1.11.1 -> 1.12.4 in eu-2, eu-3
        --- live Deployment kube-system/coredns
        +++ addons/coredns/1.12.4/deployment.yaml
        @@ -11,5 +11,5 @@
               - args:
                 - -conf
                 - "true"
        -        image: coredns:1.11.1
        +        image: coredns:1.12.4
                 name: coredns
        --- live Secret kube-system/coredns
        +++ addons/coredns/1.12.4/secret.yaml
        @@ -1,3 +1,3 @@
         data:
        -  key: (sha256 a26aa66cc68a)
        +  key: (sha256 fb9ef43059be)
         kind: Secret

        coredns 1.11.1 -> 1.12.4 in eu-1
        --- live Deployment kube-system/coredns
        +++ addons/coredns/1.12.4/deployment.yaml
        @@ -4,7 +4,6 @@
           name: coredns
         spec:
           extra: "no"
        -  paused: true
           replicas: 2
           template:
             spec:
        @@ -12,5 +11,5 @@
               - args:
                 - -conf
                 - "true"
        -        image: coredns:1.11.1
        +        image: coredns:1.12.4
                 name: coredns
        --- live Secret kube-system/coredns
        +++ addons/coredns/1.12.4/secret.yaml
        @@ -1,3 +1,3 @@
         data:
        -  key: (sha256 a26aa66cc68a)
        +  key: (sha256 fb9ef43059be)
         kind: Secret

        legacy remove 1.0.0 in eu-1, eu-2, eu-3
        --- live ConfigMap kube-system/object-0
        +++ /dev/null
        @@ -1,5 +0,0 @@
        -data:
        -  a: |-
        -    no
        -    x: {}
        -kind: ConfigMap
        "#);
    }

    #[test]
    fn what_is_not_there_is_new_whole() {
        let absent = action("eu-1", apply("coredns", refit_model::AddonMark::Absent, "1.12.4"));
        let sample = Sample::new().cluster("eu-1", "1.34.3", "1.34.3", vec![absent]);
        let snapshot = Snapshot {
            format_version: Snapshot::FORMAT.into(),
            fleet: "acme".parse().unwrap(),
            taken_at: Timestamp::UNIX_EPOCH,
            clusters: BTreeMap::new(),
        };
        let text = diff_text(&sample.plan, &fleet(), &snapshot, Style::default());
        insta::assert_snapshot!(text, @r#"
        coredns install 1.12.4 in eu-1
        --- /dev/null
        +++ addons/coredns/1.12.4/deployment.yaml
        @@ -0,0 +1,15 @@
        +apiVersion: apps/v1
        +kind: Deployment
        +metadata:
        +  name: coredns
        +spec:
        +  extra: "no"
        +  replicas: 2
        +  template:
        +    spec:
        +      containers:
        +      - args:
        +        - -conf
        +        - "true"
        +        image: coredns:1.12.4
        +        name: coredns
        --- /dev/null
        +++ addons/coredns/1.12.4/secret.yaml
        @@ -0,0 +1,3 @@
        +data:
        +  key: (sha256 fb9ef43059be)
        +kind: Secret
        "#);
    }

    #[test]
    fn what_could_move_a_cursor_is_shown_as_an_escape() {
        assert_eq!(visible("+a: x\u{9b}y\u{202e}\tz\u{3000}"), "+a: x\\u{9b}y\\u{202e}\tz\u{3000}");
    }

    #[test]
    fn yaml_quotes_what_would_read_as_something_else() {
        let texts = [
            "no",
            "true",
            "1.10",
            "~",
            "0x1f",
            "a: b",
            "",
            " x",
            "x ",
            "# x",
            "2026-11-02",
            "\u{1b}[31m",
            "-",
        ];
        for text in texts {
            let value = json!({ "a": text });
            let back: Value = serde_saphyr::from_str(&yaml(&value)).unwrap();
            assert_eq!(back, value, "{}", yaml(&value));
            assert!(!yaml(&value).contains('\u{1b}'));
        }
        for text in ["two\nlines\n", "a \nb", "long ".repeat(60).as_str(), "x\n\n"] {
            let value = json!({ "a": text });
            let back: Value = serde_saphyr::from_str(&yaml(&value)).unwrap();
            assert_eq!(back, value, "{}", yaml(&value));
        }
    }
}
