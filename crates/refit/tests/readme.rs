//! The plan that the README shows is the one that refit prints.

use std::path::{Path, PathBuf};
use std::process::Command;

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            if entry.file_name() != "state" {
                copy(&entry.path(), &target);
            }
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn the_readme_shows_a_real_plan() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let (_, rest) = readme.split_once("```text\n").expect("the README shows a plan");
    let (shown, _) = rest.split_once("```").expect("the block ends");
    let fleet = tempfile::tempdir().unwrap();
    copy(&root.join("examples/quickstart"), fleet.path());
    let output = Command::new(env!("CARGO_BIN_EXE_refit"))
        .args(["plan", "--chdir"])
        .arg(fleet.path())
        .env_remove("COLUMNS")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(shown.lines().count() > 20, "the block is a plan");
    assert!(
        printed.starts_with(shown.trim_end()),
        "the README shows another plan than this one:\n{printed}"
    );
}
