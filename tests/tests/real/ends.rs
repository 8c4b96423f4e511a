//! Nothing that was started outlives who started it.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use refit_tests::real::{RealCluster, Spec, eventually, wanted};

/// The processes of a group, as ps names them.
fn processes(group: u32) -> Vec<String> {
    let output = Command::new("ps").args(["-A", "-o", "pgid=,stat=,args="]).output().unwrap();
    let group = group.to_string();
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::trim)
        // Who has ended and was not asked how, is no process any more.
        .filter(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some(&group) && !words.next().is_some_and(|stat| stat.starts_with('Z'))
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_cluster_ends_with_its_value() {
    if !wanted("a_cluster_ends_with_its_value") {
        return;
    }
    let cluster = RealCluster::start(&Spec::new("short").without_control_plane()).unwrap();
    let (group, logs) = (cluster.process_id(), cluster.logs.clone());
    let address = cluster.aws_endpoint.trim_start_matches("http://").to_owned();
    // The world, etcd, an apiserver, controllers, scheduler, kwok.
    assert_eq!(processes(group).len(), 6, "{:#?}", processes(group));
    assert!(logs.join("etcd.log").is_file() && TcpStream::connect(&address).is_ok());
    drop(cluster);
    assert_eq!(processes(group), [""; 0]);
    assert!(!logs.exists() && TcpStream::connect(&address).is_err());
}

#[test]
fn a_cluster_ends_with_its_parent_that_was_killed() {
    if !wanted("a_cluster_ends_with_its_parent_that_was_killed") {
        return;
    }
    let mut parent = Command::new(env!("CARGO_BIN_EXE_servers"))
        .arg("up")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines().map_while(Result::ok);
    let group: u32 = lines
        .find_map(|line| line.strip_prefix("# process ").map(|id| id.parse().unwrap()))
        .expect("the parent says which process holds the cluster");
    // The world, etcd, three apiservers, controllers, scheduler, kwok.
    assert_eq!(processes(group).len(), 8, "{:#?}", processes(group));
    parent.kill().unwrap();
    parent.wait().unwrap();
    eventually("all servers end", Duration::from_secs(15), || {
        processes(group).is_empty().then_some(())
    });
}
