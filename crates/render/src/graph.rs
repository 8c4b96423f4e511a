//! A plan as a drawing: its actions by cluster, the ends of waves, and what waits for what.
//!
//! Ids of nodes are those of the actions and clusters, so that two plans can be compared.

use std::collections::{BTreeMap, BTreeSet};

use refit_model::{
    Action, ActionId, Because, ClusterName, ClusterPlan, ClusterStatus, Finding, Plan,
};

use crate::time::duration;
use crate::way::from_text;
use crate::words::{clean, join};

/// The plan in the language of Graphviz.
pub fn graph_dot(plan: &Plan) -> String {
    let mut out = format!("digraph {} {{\n", dot(&format!("plan {}", plan.id())));
    out.push_str("  rankdir=LR;\n  node [shape=box];\n");
    for cluster in clusters(plan) {
        let Drawn { name, title, actions, blocked } = cluster;
        out.push_str(&format!("  subgraph {} {{\n", dot(&format!("cluster {name}"))));
        out.push_str(&format!("    label={};\n", dot(&title)));
        for action in actions {
            out.push_str(&format!("    {} [label={}];\n", dot(action.id.as_str()), box_of(action)));
        }
        if let Some(blocked) = blocked {
            let id = dot(&format!("blocked {name}"));
            out.push_str(&format!("    {id} [label={}, style=dashed];\n", dot(&blocked)));
        }
        out.push_str("  }\n");
    }
    for action in ends_of_waves(plan) {
        let (id, label) = (dot(action.id.as_str()), dot(&action.kind.to_string()));
        out.push_str(&format!("  {id} [label={label}, shape=doubleoctagon];\n"));
    }
    for (from, to, labels) in edges(plan) {
        let (from, to) = (dot(from.as_str()), dot(to.as_str()));
        out.push_str(&format!("  {from} -> {to} [label={}];\n", dot(&labels.join("\n"))));
    }
    out.push_str("}\n");
    out
}

/// The plan in the language of Mermaid, for a block in Markdown.
pub fn graph_mermaid(plan: &Plan) -> String {
    let mut out = "flowchart LR\n".to_owned();
    for cluster in clusters(plan) {
        let Drawn { name, title, actions, blocked } = cluster;
        let id = plain(name.as_str());
        out.push_str(&format!("  subgraph c_{id}[{}]\n", mermaid(&title)));
        for action in actions {
            let label = mermaid(&lines_of(action).join("\n"));
            out.push_str(&format!("    a_{}[{label}]\n", plain(action.id.as_str())));
        }
        if let Some(blocked) = blocked {
            out.push_str(&format!("    b_{id}[{}]\n", mermaid(&blocked)));
        }
        out.push_str("  end\n");
    }
    for action in ends_of_waves(plan) {
        let label = mermaid(&action.kind.to_string());
        out.push_str(&format!("  a_{}{{{{{label}}}}}\n", plain(action.id.as_str())));
    }
    for (from, to, labels) in edges(plan) {
        let (from, to) = (plain(from.as_str()), plain(to.as_str()));
        let label = mermaid(&labels.join("\n"));
        out.push_str(&format!("  a_{from} -->|{label}| a_{to}\n"));
    }
    out
}

/// A cluster with something to draw.
struct Drawn<'p> {
    name: &'p ClusterName,
    title: String,
    actions: Vec<&'p Action>,
    /// What blocks it.
    blocked: Option<String>,
}

/// The clusters with actions, and those that are blocked, by name.
fn clusters(plan: &Plan) -> Vec<Drawn<'_>> {
    let mut by_cluster: BTreeMap<&ClusterName, Vec<&Action>> = BTreeMap::new();
    for action in &plan.actions {
        if let Some(cluster) = &action.cluster {
            by_cluster.entry(cluster).or_default().push(action);
        }
    }
    let drawn = plan.clusters.iter().filter_map(|cluster| {
        let actions = by_cluster.remove(&cluster.name).unwrap_or_default();
        let blocked = blocked(plan, cluster);
        (!actions.is_empty() || blocked.is_some()).then(|| Drawn {
            name: &cluster.name,
            title: title(cluster),
            actions,
            blocked,
        })
    });
    drawn.collect()
}

fn title(cluster: &ClusterPlan) -> String {
    let (from, to) = (from_text(cluster), cluster.to.to_string());
    if from == to {
        format!("{} {to}", cluster.name)
    } else {
        format!("{} {from} -> {to}", cluster.name)
    }
}

/// The codes of what blocks a cluster.
fn blocked(plan: &Plan, cluster: &ClusterPlan) -> Option<String> {
    if cluster.status != ClusterStatus::Blocked {
        return None;
    }
    let blocks =
        |finding: &&Finding| finding.severity.blocks() && finding.subject.cluster == cluster.name;
    let codes: BTreeSet<String> =
        plan.findings.iter().filter(blocks).map(|finding| finding.code.to_string()).collect();
    Some(format!("blocked: {}", join(codes, ", ")))
}

fn lines_of(action: &Action) -> [String; 2] {
    let last = format!("{} · ~ {}", action.id, duration(action.estimate));
    [clean(&action.kind.to_string()), last]
}

fn box_of(action: &Action) -> String {
    dot(&lines_of(action).join("\n"))
}

fn ends_of_waves(plan: &Plan) -> impl Iterator<Item = &Action> {
    plan.actions.iter().map(Box::as_ref).filter(|action| action.cluster.is_none())
}

/// The edges by their ends, each once, with every reason.
fn edges(plan: &Plan) -> Vec<(&ActionId, &ActionId, Vec<String>)> {
    let mut found: BTreeMap<(&ActionId, &ActionId), BTreeSet<String>> = BTreeMap::new();
    for edge in &plan.edges {
        found.entry((&edge.from, &edge.to)).or_default().insert(short(&edge.because));
    }
    found.into_iter().map(|((from, to), why)| (from, to, why.into_iter().collect())).collect()
}

/// A reason in a few words; `refit explain` has all of them.
fn short(because: &Because) -> String {
    match because {
        Because::Skew { .. } => "skew policy".to_owned(),
        Because::AddonCompatibility { addon, version, minor, .. } => {
            format!("{addon} {version}: not {minor}")
        }
        Because::AddonKubelets { addon, version, minor, .. } => {
            format!("{addon} {version}: no kubelets of {minor}")
        }
        Because::AddonApi { addon, version, minor, .. } => {
            format!("{addon} {version}: API not in {minor}")
        }
        Because::AddonNeeded { addon, minor } => format!("{addon} before {minor}"),
        Because::AddonDependency { addon, requires } => format!("{addon} requires {requires}"),
        Because::AddonConflict { addon, conflicts } => {
            format!("{addon} conflicts with {conflicts}")
        }
        Because::StoredVersion { crd, stored, .. } => format!("{crd}: stored in {stored}"),
        Because::Placement { addon, .. } => format!("placed by {addon}"),
        Because::StepByStep => "step by step".to_owned(),
        Because::OneAtATime => "one at a time".to_owned(),
        Because::PinFirst => "pins first".to_owned(),
        Because::Downgrade => "nodes first on the way back".to_owned(),
        Because::Wave { channel, wave } => format!("wave {wave} of {channel}"),
    }
}

/// A quoted string of Graphviz. A newline ends a line of a label.
fn dot(text: &str) -> String {
    let mut out = String::from("\"");
    for line in text.split('\n').enumerate().flat_map(|(at, line)| {
        let between = if at > 0 { "\\n" } else { "" };
        [between.to_owned(), clean(line).replace('\\', "\\\\").replace('"', "\\\"")]
    }) {
        out.push_str(&line);
    }
    out.push('"');
    out
}

/// A quoted string of Mermaid, which knows HTML's entities and no backslash.
fn mermaid(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '\n' => out.push_str("<br/>"),
            '"' => out.push_str("#quot;"),
            '#' => out.push_str("#35;"),
            '&' => out.push_str("#amp;"),
            '<' => out.push_str("#lt;"),
            '>' => out.push_str("#gt;"),
            '`' => out.push_str("#96;"),
            c => out.push_str(&clean(&c.to_string())),
        }
    }
    out.push('"');
    out
}

/// A name as an id of Mermaid: what is no letter or digit becomes its number, so that different
/// names stay different.
fn plain(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c);
        } else {
            out.push_str(&format!("_{:x}_", u32::from(c)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use refit_model::{ActionKind, AddonMark, Because, Edge, Severity};

    use super::*;
    use crate::sample::{Sample, action, adopt, apply, at, hop};

    /// A statement of Graphviz, as far as a plan's drawing has them.
    #[derive(Debug, PartialEq, Eq)]
    enum Statement {
        Node(String, BTreeMap<String, String>),
        Edge(String, String, String),
        Subgraph(String, Vec<Statement>),
        Attribute(String, String),
    }

    /// What a parser of the language of Graphviz reads: words, strings and signs.
    fn tokens(text: &str) -> Vec<String> {
        let mut tokens = Vec::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                c if c.is_whitespace() => {}
                '"' => {
                    let mut token = String::from("\"");
                    loop {
                        match rest.next().expect("a string ends") {
                            '\\' => match rest.next().expect("something is escaped") {
                                'n' => token.push('\n'),
                                c @ ('"' | '\\') => token.push(c),
                                c => panic!("\\{c} means something else"),
                            },
                            '"' => break,
                            '\n' => panic!("a string goes over the end of its line"),
                            c => token.push(c),
                        }
                    }
                    tokens.push(token);
                }
                '-' => {
                    assert_eq!(rest.next(), Some('>'), "an arrow");
                    tokens.push("->".to_owned());
                }
                c if c.is_ascii_alphabetic() => {
                    let mut token = String::from(c);
                    while let Some(c) = rest.next_if(char::is_ascii_alphanumeric) {
                        token.push(c);
                    }
                    tokens.push(token);
                }
                c @ ('{' | '}' | '[' | ']' | '=' | ';' | ',') => tokens.push(c.to_string()),
                c => panic!("{c:?} stands outside of a string"),
            }
        }
        tokens
    }

    /// Reads the statements up to the brace that closes them.
    fn statements(tokens: &mut std::slice::Iter<'_, String>) -> Vec<Statement> {
        let mut found = Vec::new();
        loop {
            let first = tokens.next().expect("a brace closes").as_str();
            match first {
                "}" => return found,
                "subgraph" => {
                    let name = string(tokens.next());
                    assert_eq!(tokens.next().map(String::as_str), Some("{"));
                    found.push(Statement::Subgraph(name, statements(tokens)));
                }
                word if !word.starts_with('"') => match tokens.next().map(String::as_str) {
                    Some("=") => {
                        let value = tokens.next().expect("a value").clone();
                        end(tokens);
                        found.push(Statement::Attribute(word.to_owned(), value));
                    }
                    Some("[") => {
                        attributes(tokens);
                    }
                    other => panic!("{word} {other:?}"),
                },
                name => match tokens.next().map(String::as_str) {
                    Some("[") => {
                        found.push(Statement::Node(name[1..].to_owned(), attributes(tokens)));
                    }
                    Some("->") => {
                        let to = string(tokens.next());
                        assert_eq!(tokens.next().map(String::as_str), Some("["));
                        let label = attributes(tokens)["label"][1..].to_owned();
                        found.push(Statement::Edge(name[1..].to_owned(), to, label));
                    }
                    other => panic!("{name} {other:?}"),
                },
            }
        }
    }

    fn string(token: Option<&String>) -> String {
        token.and_then(|token| token.strip_prefix('"')).expect("a string").to_owned()
    }

    fn end(tokens: &mut std::slice::Iter<'_, String>) {
        assert_eq!(tokens.next().map(String::as_str), Some(";"));
    }

    fn attributes(tokens: &mut std::slice::Iter<'_, String>) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        loop {
            let name = tokens.next().expect("a name").clone();
            assert_eq!(tokens.next().map(String::as_str), Some("="));
            found.insert(name, tokens.next().expect("a value").clone());
            match tokens.next().map(String::as_str) {
                Some(",") => {}
                Some("]") => break,
                other => panic!("{other:?}"),
            }
        }
        end(tokens);
        found
    }

    fn parse(text: &str) -> Vec<Statement> {
        let tokens = tokens(text);
        let mut tokens = tokens.iter();
        assert_eq!(tokens.next().map(String::as_str), Some("digraph"));
        string(tokens.next());
        assert_eq!(tokens.next().map(String::as_str), Some("{"));
        let found = statements(&mut tokens);
        assert_eq!(tokens.next(), None, "nothing follows the graph");
        found
    }

    /// Two clusters in two waves, and one that is blocked.
    fn sample() -> Plan {
        let steps = |name: &str| {
            vec![
                action(name, apply("coredns", at("1.11.1"), "1.12.4")),
                action(name, hop("1.32.9", "1.33.5")),
            ]
        };
        let mut sample = Sample::new()
            .cluster("eu-1", "1.32.9", "1.33.5", steps("eu-1"))
            .cluster("us-1", "1.32.9", "1.33.5", steps("us-1"))
            .stands("us-2", ClusterStatus::Blocked, "1.32.9", "1.33.5")
            .finding(Severity::Blocked, "us-2", "shop/cart", "allows no disruption", "")
            .finding(Severity::Note, "us-2", "workers", "has no node", "");
        let (last, first) = (sample.id("eu-1", "control-plane"), sample.id("us-1", "coredns"));
        let kind = ActionKind::FinishWave {
            channel: "beta".parse().unwrap(),
            wave: 1,
            max_failed_clusters: 0,
        };
        let mut finish = action("none", kind);
        finish.cluster = None;
        let because = Arc::new(Because::Wave { channel: "beta".parse().unwrap(), wave: 1 });
        for (from, to) in [(last, finish.id), (finish.id, first)] {
            sample.plan.edges.push(Edge { from, to, because: because.clone() });
        }
        sample.plan.actions.push(finish.into());
        sample.plan.actions.sort_by_key(|a| a.id);
        sample.plan
    }

    #[test]
    fn dot_has_clusters_waves_and_reasons() {
        let plan = sample();
        let read = parse(&graph_dot(&plan));
        let names: Vec<&str> = read
            .iter()
            .filter_map(|statement| match statement {
                Statement::Subgraph(name, _) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        // Graphviz draws a box around a subgraph whose name begins like that.
        assert_eq!(names, ["cluster eu-1", "cluster us-1", "cluster us-2"]);
        let edges = read.iter().filter(|s| matches!(s, Statement::Edge(..))).count();
        assert_eq!(edges, plan.edges.len());
        insta::assert_snapshot!(graph_dot(&plan), @r#"
        digraph "plan 681c8914cb25" {
          rankdir=LR;
          node [shape=box];
          subgraph "cluster eu-1" {
            label="eu-1 1.32.9 -> 1.33.5";
            "83c88a69ecd2" [label="control-plane 1.32.9 -> 1.33.5\n83c88a69ecd2 · ~ 24 min"];
            "fc176dd97a51" [label="coredns 1.11.1 -> 1.12.4\nfc176dd97a51 · ~ 2 min"];
          }
          subgraph "cluster us-1" {
            label="us-1 1.32.9 -> 1.33.5";
            "3c23e8bee053" [label="coredns 1.11.1 -> 1.12.4\n3c23e8bee053 · ~ 2 min"];
            "68c84ce073bc" [label="control-plane 1.32.9 -> 1.33.5\n68c84ce073bc · ~ 24 min"];
          }
          subgraph "cluster us-2" {
            label="us-2 1.32.9 -> 1.33.5";
            "blocked us-2" [label="blocked: RF012", style=dashed];
          }
          "7a01746a5257" [label="end of wave 1 of beta", shape=doubleoctagon];
          "3c23e8bee053" -> "68c84ce073bc" [label="coredns 1.11.1: not 1.33"];
          "7a01746a5257" -> "3c23e8bee053" [label="wave 1 of beta"];
          "83c88a69ecd2" -> "7a01746a5257" [label="wave 1 of beta"];
          "fc176dd97a51" -> "83c88a69ecd2" [label="coredns 1.11.1: not 1.33"];
        }
        "#);
    }

    #[test]
    fn mermaid_says_the_same() {
        insta::assert_snapshot!(graph_mermaid(&sample()), @r#"
        flowchart LR
          subgraph c_eu_2d_1["eu-1 1.32.9 -#gt; 1.33.5"]
            a_83c88a69ecd2["control-plane 1.32.9 -#gt; 1.33.5<br/>83c88a69ecd2 · ~ 24 min"]
            a_fc176dd97a51["coredns 1.11.1 -#gt; 1.12.4<br/>fc176dd97a51 · ~ 2 min"]
          end
          subgraph c_us_2d_1["us-1 1.32.9 -#gt; 1.33.5"]
            a_3c23e8bee053["coredns 1.11.1 -#gt; 1.12.4<br/>3c23e8bee053 · ~ 2 min"]
            a_68c84ce073bc["control-plane 1.32.9 -#gt; 1.33.5<br/>68c84ce073bc · ~ 24 min"]
          end
          subgraph c_us_2d_2["us-2 1.32.9 -#gt; 1.33.5"]
            b_us_2d_2["blocked: RF012"]
          end
          a_7a01746a5257{{"end of wave 1 of beta"}}
          a_3c23e8bee053 -->|"coredns 1.11.1: not 1.33"| a_68c84ce073bc
          a_7a01746a5257 -->|"wave 1 of beta"| a_3c23e8bee053
          a_83c88a69ecd2 -->|"wave 1 of beta"| a_7a01746a5257
          a_fc176dd97a51 -->|"coredns 1.11.1: not 1.33"| a_83c88a69ecd2
        "#);
    }

    #[test]
    fn ids_do_not_depend_on_what_else_is_planned() {
        let alone = Sample::new().example("eu-1").plan;
        let both = Sample::new().example("aa").example("eu-1").plan;
        for draw in [graph_dot, graph_mermaid] {
            let (alone, both) = (draw(&alone), draw(&both));
            // What is drawn of the cluster, and its edges.
            for line in alone.lines().skip(1) {
                assert!(both.lines().any(|other| other == line), "{line}");
            }
            assert_eq!(draw(&Sample::new().example("eu-1").plan), alone);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_said_stays_in_its_string(version in "\\PC{0,40}", other in ".{0,40}") {
            let kinds = [
                adopt("coredns", &version, "1.12.4"),
                apply("dns", AddonMark::Foreign { version: other }, "1.0.0"),
            ];
            let actions = kinds.map(|kind| action("eu-1", kind)).to_vec();
            let plan = Sample::new().cluster("eu-1", "1.33.5", "1.33.5", actions).plan;
            let read = parse(&graph_dot(&plan));
            let Some(Statement::Subgraph(_, inside)) =
                read.iter().find(|s| matches!(s, Statement::Subgraph(..))) else {
                panic!("there is a cluster")
            };
            let nodes = inside.iter().filter(|s| matches!(s, Statement::Node(..))).count();
            prop_assert_eq!(nodes, 2);
            // In Mermaid, a string ends with its quote, and a line with its statement.
            for line in graph_mermaid(&plan).lines() {
                prop_assert!([0, 2].contains(&line.matches('"').count()), "{}", line);
                prop_assert!(!line.chars().any(char::is_control));
            }
        }
    }
}
