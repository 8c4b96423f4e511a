//! What a cluster's file says of findings: `[[accept]]`.

use refit_config::load;
use refit_model::Code;

use crate::{fleet, replace, with};

fn accept(finding: &str, until: &str, reason: &str) -> String {
    format!(
        "[[accept]]\nfinding = \"{finding}\"\nsubject = \"shop/cart\"\nuntil = \"{until}\"\nreason = \"{reason}\"\n\n[provider]"
    )
}

fn told(finding: &str, until: &str, reason: &str) -> String {
    with("clusters/a.toml", "[provider]", &accept(finding, until, reason))
}

#[test]
fn a_finding_is_accepted_until_a_day_with_a_reason() {
    let mut files = fleet();
    let table = accept("RF012", "2026-12-31", "its operator moves the pods");
    replace(&mut files, "clusters/a.toml", "[provider]", &table);
    let fleet = load(&files).fleet.unwrap();
    let accepts = &fleet.clusters[&"a".parse().unwrap()].accepts;
    assert_eq!(accepts.len(), 1);
    assert_eq!(accepts[0].value.finding, Code::RF012);
    assert_eq!(accepts[0].value.subject, "shop/cart");
    assert_eq!(accepts[0].value.until.to_string(), "2026-12-31");
    assert_eq!(accepts[0].value.reason, "its operator moves the pods");
}

#[test]
fn what_cannot_be_accepted_says_why() {
    assert!(told("RF004", "2026-12-31", "x").starts_with("error: RF004 cannot be accepted"));
    assert!(told("RF004", "2026-12-31", "x").contains("these can: RF012, RF014,"));
    assert!(
        told("RF999", "2026-12-31", "x").starts_with("error: `RF999` is not the code of a finding")
    );
    assert!(
        told("RF012", "soon", "x").starts_with("error: `soon` is not a day such as `2027-01-04`")
    );
    let empty = told("RF012", "2026-12-31", " ");
    assert!(empty.starts_with("error: the reason of an accepted finding is empty"), "{empty}");
}
