//! The plan that the README shows is the one that refit prints.

use crate::support::{Fleet, repository, without_ids};

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

#[test]
fn the_guide_to_plans_shows_what_is_printed() {
    let path = repository().join("docs/guides/understanding-a-plan.md");
    let guide = std::fs::read_to_string(path).unwrap();
    let fleet = Fleet::quickstart();
    let mut shown = 0;
    for block in guide.split("```text\n$ refit ").skip(1) {
        let (command, rest) = block.split_once('\n').unwrap();
        let (text, _) = rest.split_once("```").expect("the block ends");
        let args: Vec<&str> = command.split_whitespace().collect();
        let printed = fleet.run(&args).exits(0).stdout;
        // The id of a plan changes with every file.
        let (text, printed) = (without_ids(text.trim_end()), without_ids(&printed));
        assert!(printed.contains(&text), "refit {command} prints:\n{printed}");
        shown += 1;
    }
    assert_eq!(shown, 5);
}
