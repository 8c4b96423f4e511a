//! Whatever the files hold, loading ends with a fleet or with reasons, and never with a panic.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use proptest::prelude::*;
use refit_config::{Files as _, MemoryFiles, load, render};

/// A fleet's files of all kinds: the fleet's, a release's, a cluster's, an add-on's, manifests.
fn starter() -> Vec<(&'static str, String)> {
    refit_config::starter(&"acme".parse().unwrap())
}

/// Loads, and shows everything that is said.
fn survives(files: &MemoryFiles) {
    let loaded = load(files);
    for diagnostic in &loaded.diagnostics {
        let text = render(diagnostic, &loaded.sources, true);
        assert!(!text.is_empty());
        let place = diagnostic.primary.as_ref().map(|mark| &mark.file);
        assert!(place.is_some(), "no place: {}", diagnostic.message);
        let _ = diagnostic.position(&loaded.sources);
    }
    assert!(loaded.fleet.is_some() || !loaded.diagnostics.is_empty(), "silence is no answer");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(at in 0_usize..6, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut files: MemoryFiles = starter().into_iter().collect();
        files.insert(starter()[at].0, bytes);
        survives(&files);
    }

    #[test]
    fn arbitrary_text_never_panics(at in 0_usize..6, text in "(\\PC|[\\[\\]{}=\"\n.a-c: &*-]){0,80}") {
        let mut files: MemoryFiles = starter().into_iter().collect();
        files.insert(starter()[at].0, text);
        survives(&files);
    }

    #[test]
    fn mutated_files_never_panic(
        at in 0_usize..6,
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..24, "[\\[\\]{}=\",\n.0-9a-z é-]{0,6}"), 1..4),
    ) {
        let mut files: MemoryFiles = starter().into_iter().collect();
        let path = starter()[at].0;
        let mut bytes = files.read(path, u64::MAX).unwrap();
        for (place, length, insert) in edits {
            let start = place.index(bytes.len().max(1)).min(bytes.len());
            let end = (start + length).min(bytes.len());
            bytes.splice(start..end, insert.bytes());
        }
        files.insert(path, bytes);
        survives(&files);
    }

    /// A line that is gone, twice there, or in another place.
    #[test]
    fn moved_lines_never_panic(at in 0_usize..4, from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(), keep in any::<bool>()) {
        let (path, text) = starter().swap_remove(at);
        let mut lines: Vec<&str> = text.lines().collect();
        let from = from.index(lines.len());
        let line = if keep { lines[from] } else { lines.remove(from) };
        lines.insert(to.index(lines.len() + 1), line);
        let mut files: MemoryFiles = starter().into_iter().collect();
        files.insert(path, lines.join("\n"));
        survives(&files);
    }
}
