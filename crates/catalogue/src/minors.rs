//! The minors of Kubernetes and how long they are maintained.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use refit_model::{Date, EndOfLife, Minor, Source};
use serde::Deserialize;

use crate::source;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    #[expect(dead_code, reason = "for whoever reads the file")]
    date: String,
    sources: Vec<Source>,
    minors: Vec<MinorTable>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct MinorTable {
    minor: Minor,
    #[expect(dead_code, reason = "for whoever reads the file")]
    released: String,
    end_of_life: Option<String>,
    #[serde(default)]
    source: usize,
}

static MINORS: LazyLock<BTreeMap<Minor, EndOfLife>> = LazyLock::new(|| {
    let File { date: _, sources, minors } =
        toml::from_str(include_str!("../data/kubernetes.toml")).expect("a test parses the data");
    let ends = minors.into_iter().filter_map(|table| {
        let on: Date = table.end_of_life?.parse().expect("a test reads every date");
        Some((table.minor, EndOfLife { on, source: source(&sources, table.source).clone() }))
    });
    ends.collect()
});

/// When the maintenance of a minor ends or has ended, as far as it was published.
pub fn end_of_life(minor: Minor) -> Option<&'static EndOfLife> {
    MINORS.get(&minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minors_end_one_after_the_other() {
        let days: Vec<Date> = MINORS.values().map(|end| end.on).collect();
        assert!(days.len() > 20 && days.is_sorted_by(|a, b| a < b), "{days:?}");
        let end = end_of_life(Minor::new(1, 33)).unwrap();
        assert_eq!(end.on.to_string(), "2026-06-28");
        assert_eq!(end_of_life(Minor::new(1, 37)), None, "it is not published yet");
    }
}
