//! The plan that the README shows is the one that refit prints.

use crate::support::{Fleet, repository};

#[test]
fn the_readme_shows_a_real_plan() {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let (_, rest) = readme.split_once("```text\n").expect("the README shows a plan");
    let (shown, _) = rest.split_once("```").expect("the block ends");
    assert!(shown.lines().count() > 20, "the block is a plan");
    let printed = Fleet::quickstart().run(&["plan"]).exits(0).stdout;
    assert!(
        printed.starts_with(shown.trim_end()),
        "the README shows another plan than this one:\n{printed}"
    );
}
