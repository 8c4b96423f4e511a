//! The guide to a kops-like cluster, as it is written: every block of `sh` in it, in its order.

use std::fs;
use std::path::Path;
use std::process::Command;

use refit_tests::real::{Pool, RealCluster, Spec};

use crate::fleet::{Fleet, binary};

/// The blocks of a document that a shell can run.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match (inside, line) {
            (false, "```sh") => {
                blocks.push(String::new());
                inside = true;
            }
            (true, "```") => inside = false,
            (true, line) => {
                if let Some(block) = blocks.last_mut() {
                    block.push_str(line);
                    block.push('\n');
                }
            }
            (false, _) => {}
        }
    }
    blocks
}

pub(crate) fn the_tutorial_works_as_it_is_written() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guides/kops.md");
    let blocks = blocks(&fs::read_to_string(guide).expect("the guide is there"));
    assert!(blocks.len() >= 4, "{blocks:?}");
    let spec = Spec::new("prod").pool(Pool::new("workers").sizes(1, 2, 4)).fixture("deployments");
    let cluster = RealCluster::start(&spec).expect("the cluster starts");
    let fleet = Fleet::new(&cluster, &["workers"]);
    fleet.grant(&cluster);
    // The guide begins with nothing.
    for directory in ["clusters", "releases"] {
        fs::remove_dir_all(fleet.path().join(directory)).expect("it can be removed");
    }
    fs::remove_file(fleet.path().join("fleet.toml")).expect("it can be removed");
    let refit = binary();
    let beside = refit.parent().expect("a binary is in a directory").display();
    for block in blocks {
        let mut shell = Command::new("sh");
        shell.args(["-euxc", &format!("PATH=\"{beside}:$PATH\"\n{block}")]);
        let ran = fleet.in_its_place(shell);
        assert_eq!(ran.code, Some(0), "{block}\n{}", ran.text());
    }
    let nodes = cluster.ready_nodes().expect("nodes are listed");
    assert!(nodes.values().all(|version| version.starts_with("v1.36.")), "{nodes:?}");
}
