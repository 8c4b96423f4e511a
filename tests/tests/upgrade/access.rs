//! The ways in to a cluster: several kubeconfigs, a plugin that makes the token, a pod's service
//! account, proxies.

use std::fs;
use std::io::{Read, Write, copy};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use refit_tests::real::{RealCluster, say};
use serde_json::{Value, json};

use crate::fleet::{Fleet, Ran, binary};

pub(crate) fn every_way_in(cluster: &RealCluster, fleet: &Fleet) {
    let text = fs::read_to_string(&cluster.kubeconfig_refit).expect("there is a kubeconfig");
    let kubeconfig: Value = serde_saphyr::from_str(&text).expect("it is YAML");
    several_files(fleet, &kubeconfig);
    a_plugin(fleet, &kubeconfig);
    in_a_pod(fleet, &kubeconfig);
    for (scheme, greet) in [("http", connect as Greet), ("socks5", socks as Greet)] {
        let (port, passed) = proxy(greet);
        let mut kubeconfig = kubeconfig.clone();
        let url = format!("{scheme}://127.0.0.1:{port}");
        kubeconfig["clusters"][0]["cluster"]["proxy-url"] = json!(url);
        fleet.write("kubeconfig", &kubeconfig.to_string());
        fleet.run(&["plan", "--kubeconfig", "kubeconfig"]).exits(0);
        assert!(passed.load(Ordering::SeqCst) > 0, "nothing came through {url}");
    }
}

/// Clusters in one file, users and contexts in another, both in KUBECONFIG.
fn several_files(fleet: &Fleet, kubeconfig: &Value) {
    let mut places = kubeconfig.clone();
    let mut people = kubeconfig.clone();
    places["users"] = json!([]);
    places["contexts"] = json!([]);
    people["clusters"] = json!([]);
    fleet.write("places", &places.to_string());
    fleet.write("people", &people.to_string());
    let mut command = fleet.command(&["plan"]);
    let files = ["places", "people"].map(|file| fleet.path().join(file));
    let joined = std::env::join_paths(files).expect("paths can be joined");
    command.env("KUBECONFIG", joined);
    Ran::from(command.output().expect("refit starts")).exits(0);
    command.env("KUBECONFIG", fleet.path().join("people"));
    Ran::from(command.output().expect("refit starts")).exits(3).says(&["RF001"]);
}

/// A command that prints a credential, as those of cloud providers do.
fn a_plugin(fleet: &Fleet, kubeconfig: &Value) {
    let mut kubeconfig = kubeconfig.clone();
    let user = &mut kubeconfig["users"][0]["user"];
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": { "token": user["token"] },
    });
    fleet.write("credential.json", &credential.to_string());
    *user = json!({ "exec": {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "cat",
        "args": [fleet.path().join("credential.json")],
        "interactiveMode": "Never",
    } });
    fleet.write("kubeconfig", &kubeconfig.to_string());
    fleet.run(&["plan", "--kubeconfig", "kubeconfig"]).exits(0);
    kubeconfig["users"][0]["user"]["exec"]["command"] = json!("no-such-plugin");
    fleet.write("kubeconfig", &kubeconfig.to_string());
    let plan = fleet.run(&["plan", "--kubeconfig", "kubeconfig"]).exits(3);
    plan.says(&["RF001", "no-such-plugin"]);
}

/// Without a kubeconfig, as in a pod: what a service account has stands at a place of the kubelet's
/// choosing, which only a mount namespace of its own can have.
fn in_a_pod(fleet: &Fleet, kubeconfig: &Value) {
    const ENTER: [&str; 2] = ["--map-root-user", "--mount"];
    let may_enter = Command::new("unshare").args(ENTER).arg("true").output();
    if !may_enter.is_ok_and(|done| done.status.success()) {
        say("a run in a pod is LEFT OUT, because `unshare` may not make a mount namespace");
        return;
    }
    let server = kubeconfig["clusters"][0]["cluster"].clone();
    let address = server["server"].as_str().expect("the cluster has an address");
    let (host, port) =
        address.trim_start_matches("https://").rsplit_once(':').expect("it has a port");
    let authority = server["certificate-authority"].as_str().expect("it has an authority");
    let token = kubeconfig["users"][0]["user"]["token"].as_str().expect("refit has a token");
    fleet.write("pod/token", token);
    fleet.write("pod/namespace", "default");
    let script = format!(
        "set -e; mount -t tmpfs none /var/run; \
         place=/var/run/secrets/kubernetes.io/serviceaccount; mkdir -p $place; \
         cp pod/token pod/namespace $place; cp {authority} $place/ca.crt; \
         unset KUBECONFIG; export KUBERNETES_SERVICE_HOST={host} KUBERNETES_SERVICE_PORT={port}; \
         exec \"$0\" plan"
    );
    let mut pod = Command::new("unshare");
    pod.args(ENTER).args(["sh", "-c", &script]).arg(binary());
    fleet.in_its_place(pod).exits(0);
}

/// What a proxy asks before it passes bytes on: where to.
type Greet = fn(&mut TcpStream) -> std::io::Result<String>;

/// A proxy on loopback, and how many connections it has passed on.
fn proxy(greet: Greet) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let port = listener.local_addr().expect("it is bound").port();
    let passed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&passed);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let count = Arc::clone(&count);
            thread::spawn(move || pass(client, greet, &count).ok());
        }
    });
    (port, passed)
}

fn pass(mut client: TcpStream, greet: Greet, count: &AtomicUsize) -> std::io::Result<()> {
    let address = greet(&mut client)?;
    let mut server = TcpStream::connect(address)?;
    count.fetch_add(1, Ordering::SeqCst);
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        copy(&mut from_client, &mut to_server).ok();
        to_server.shutdown(Shutdown::Write).ok();
    });
    copy(&mut server, &mut client)?;
    client.shutdown(Shutdown::Write)
}

/// `CONNECT` of HTTP ([RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#name-connect)).
fn connect(client: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let head = String::from_utf8_lossy(&head).into_owned();
    Ok(head.split_whitespace().nth(1).unwrap_or_default().to_owned())
}

/// SOCKS 5 without authentication ([RFC 1928](https://www.rfc-editor.org/rfc/rfc1928)).
fn socks(client: &mut TcpStream) -> std::io::Result<String> {
    let mut hello = [0; 2];
    client.read_exact(&mut hello)?;
    let mut methods = vec![0; hello[1].into()];
    client.read_exact(&mut methods)?;
    client.write_all(&[5, 0])?;
    let mut request = [0; 4];
    client.read_exact(&mut request)?;
    let host = if request[3] == 1 {
        let mut address = [0; 4];
        client.read_exact(&mut address)?;
        address.map(|part| part.to_string()).join(".")
    } else {
        let mut length = [0];
        client.read_exact(&mut length)?;
        let mut name = vec![0; length[0].into()];
        client.read_exact(&mut name)?;
        String::from_utf8_lossy(&name).into_owned()
    };
    let mut port = [0; 2];
    client.read_exact(&mut port)?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    Ok(format!("{host}:{}", u16::from_be_bytes(port)))
}
