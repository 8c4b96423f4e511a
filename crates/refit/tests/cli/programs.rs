//! What programs read: logs in JSON, and data by the schemas.

use serde_json::Value;

use crate::support::{Ended, FAST, Fleet, validate};

/// Every line of standard error is JSON by its schema.
#[track_caller]
fn lines(ended: &Ended) -> Vec<Value> {
    let each = ended.stderr.lines().map(|line| {
        let value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        validate("log.schema.json", &value);
        value
    });
    each.collect()
}

#[test]
fn a_log_in_json_is_json_in_every_line() {
    let fleet = Fleet::starter();
    let log = ["--log-format", "json"];
    let run = |args: &[&str]| fleet.run(&[args, &log].concat());
    let applied = lines(&run(&[&["apply", "--auto-approve"], &FAST[..]].concat()).exits(0));
    assert!(applied.iter().any(|line| line["kind"].is_object()), "events");
    assert!(applied.iter().any(|line| line["level"] == "info"), "messages");
    lines(&run(&["apply", "--auto-approve"]).exits(0));
    let failed = lines(&run(&["apply", "missing.plan"]).exits(1));
    assert_eq!(failed[0]["level"], "error");
    assert!(failed[0]["causes"].is_array(), "{failed:?}");
    for wrong in [&["plan", "--nope"][..], &["plan", "-out=x"], &["nope"]] {
        let said = lines(&run(wrong).exits(64));
        assert_eq!(said.len(), 1, "{said:?}");
        assert_eq!(said[0]["level"], "error");
    }
    lines(&run(&["show", "nope"]).exits(64));
    lines(&run(&["status"]).exits(0));
    lines(&run(&["state", "list"]).exits(0));
    fleet.edit("clusters/dev-1.toml", "addon-sets =", "addon-set =");
    let said = lines(&run(&["validate"]).exits(1));
    assert!(
        said.iter().any(|line| line["message"].as_str().unwrap().contains("clusters/dev-1.toml"))
    );
}

#[test]
fn a_status_is_where_the_run_stands() {
    let fleet = Fleet::starter();
    let status = || {
        let status = fleet.run(&["status", "--format", "json"]).exits(0).json();
        validate("status.schema.json", &status);
        status
    };
    let none = status();
    assert!(none.get("run").is_none(), "{none}");
    assert_eq!(none["clusters"], serde_json::json!([]));

    let mut running = fleet.start(&["apply", "--auto-approve", "--simulation-speed", "20"]);
    running.until_it_says("control-plane 1.35.8 -> 1.36.4  starts");
    let now = status();
    assert_eq!(now["run"], Value::from(fleet.last_run()));
    assert!(now.get("outcome").is_none(), "{now}");
    let cluster = &now["clusters"][0];
    assert_eq!((&cluster["name"], cluster["total"].as_u64()), (&Value::from("dev-1"), Some(3)));
    let states: Vec<_> =
        cluster["actions"].as_array().unwrap().iter().map(|a| &a["state"]).collect();
    assert!(states.contains(&&Value::from("running")), "{now}");
    assert!(now.get("records").is_none(), "the journal is `refit show`");
    assert!(running.kill());

    fleet.apply(&["--auto-approve"]).exits(0);
    let ended = status();
    assert_eq!(ended["outcome"], "done");
    assert_eq!(ended["clusters"][0]["done"], 3);
}
