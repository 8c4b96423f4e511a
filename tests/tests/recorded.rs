//! What apiservers of older minors answer is read as it should be. The answers in
//! `tests/recorded` come from genuine servers, to every request that `refit observe` makes.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;

use refit_config::{MemoryFiles, load};
use refit_kubernetes::Kubeconfigs;
use refit_model::{ClusterState, Fleet, KubeProxy, KubeVersion, PodOwner, ServedVersion};
use refit_provider::{Look, Observe, Scope};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What one server answered.
#[derive(Clone, Deserialize)]
struct Recorded {
    version: KubeVersion,
    answers: BTreeMap<String, Value>,
}

fn recorded() -> Vec<Recorded> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("recorded");
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .expect("there are recordings")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect();
    files.sort();
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("it can be read");
        serde_json::from_str(&text).expect("it is a recording")
    };
    files.iter().map(read).collect()
}

/// Serves the answers over plain HTTP for as long as the test runs.
fn serve(recorded: &Recorded) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let port = listener.local_addr().expect("it is bound").port();
    let answers = recorded.answers.clone();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let answers = answers.clone();
            thread::spawn(move || answer(client, &answers).ok());
        }
    });
    port
}

fn answer(client: TcpStream, answers: &BTreeMap<String, Value>) -> std::io::Result<()> {
    let mut lines = BufReader::new(client.try_clone()?).lines();
    let mut client = client;
    while let Some(first) = lines.next().transpose()? {
        for line in lines.by_ref() {
            if line?.is_empty() {
                break;
            }
        }
        let target = first.split_whitespace().nth(1).unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let missing = status(404, "NotFound");
        let body = answers.get(path).unwrap_or(&missing);
        let code = body["code"].as_u64().unwrap_or(200);
        let body = body.to_string();
        write!(
            client,
            "HTTP/1.1 {code} -\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
    }
    Ok(())
}

/// What an apiserver answers that is no object.
fn status(code: u16, reason: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "metadata": {},
        "message": reason, "reason": reason, "code": code,
    })
}

/// The recorded cluster, with two add-ons: one of a built-in kind, one of a group of its own.
fn fleet(version: &KubeVersion) -> Fleet {
    let mut files = MemoryFiles::new();
    files.insert(
        "fleet.toml".to_owned(),
        format!(
            "[fleet]\nname = \"old\"\n\n[kubernetes]\navailable = [\"{version}\"]\n\n\
             [[channels]]\nname = \"dev\"\nrelease = \"r1\"\n"
        ),
    );
    files.insert(
        "releases/r1.toml".to_owned(),
        format!(
            "[release]\nname = \"r1\"\nkubernetes = \"{version}\"\n\n\
             [addon-sets.base]\nplain = \"1.0.0\"\nmeters = \"1.0.0\"\n"
        ),
    );
    for (addon, api, kind) in
        [("plain", "v1", "ConfigMap"), ("meters", "meters.example.com/v1", "Meter")]
    {
        files.insert(
            format!("addons/{addon}/addon.toml"),
            "[[versions]]\nversion = \"1.0.0\"\nkubernetes = \"any\"\n".to_owned(),
        );
        files.insert(
            format!("addons/{addon}/1.0.0/{addon}.yaml"),
            format!(
                "apiVersion: {api}\nkind: {kind}\n\
                 metadata: {{ name: {addon}, namespace: kube-system }}\n"
            ),
        );
    }
    files.insert(
        "clusters/old.toml".to_owned(),
        "[cluster]\nname = \"old\"\nchannel = \"dev\"\naddon-sets = [\"base\"]\n\n\
         [provider]\nkind = \"aws\"\nregion = \"eu-central-1\"\n\n\
         [control-plane]\nauto-scaling-groups = [\"control-plane\"]\nimage = { name = \"k8s-{version}-*\" }\n"
            .to_owned(),
    );
    load(&files).fleet.expect("the files are those of a fleet")
}

fn look(recorded: &Recorded) -> ClusterState {
    let port = serve(recorded);
    let directory = TempDir::new().expect("there is room for a directory");
    let kubeconfig = directory.path().join("kubeconfig");
    let content = json!({
        "apiVersion": "v1", "kind": "Config",
        "clusters": [{ "name": "old", "cluster": { "server": format!("http://127.0.0.1:{port}") } }],
        "users": [{ "name": "old", "user": {} }],
        "contexts": [{ "name": "old", "context": { "cluster": "old", "user": "old" } }],
    });
    std::fs::write(&kubeconfig, content.to_string()).expect("it can be written");
    let fleet = fleet(&recorded.version);
    let cluster = &fleet.clusters[&"old".parse().expect("it is a name")];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("there is a runtime").block_on(async {
        let kubeconfigs = Kubeconfigs::read(Some(&kubeconfig)).expect("it is a kubeconfig");
        let kubernetes = kubeconfigs.connect("old").await.expect("it has the context");
        let look = Look { cluster, addons: &fleet.addons, scope: &Scope::Everything };
        kubernetes.look(look).await.expect("everything can be read")
    })
}

#[test]
fn older_servers_are_read_as_newer_ones() {
    let recorded = recorded();
    assert!(recorded.len() >= 3, "{} recordings", recorded.len());
    assert_eq!(recorded[0].version.minor().to_string(), "1.29");
    for recorded in recorded {
        let version = &recorded.version;
        let state = look(&recorded);
        assert_eq!(state.serves, Some(ServedVersion::plain(version.clone())));
        assert!(!state.identity.uid.is_empty());

        assert_eq!(state.control_plane.len(), 3, "{version}");
        for member in &state.control_plane {
            assert_eq!(member.api_server.as_ref(), Some(version));
            assert_eq!(member.controller_manager.as_ref(), Some(version));
            assert_eq!(member.scheduler.as_ref(), Some(version));
            assert_eq!(member.etcd_ready, Some(true), "{version}");
        }
        assert_eq!(state.nodes.len(), 5, "{version}");
        for node in state.nodes.values() {
            assert_eq!((&node.kubelet, node.ready), (version, true));
            assert_eq!(node.kube_proxy, KubeProxy::StaticPod(version.clone()));
            assert!(node.instance.is_some() && node.zone.is_some());
        }

        // What the fixtures of the tests on real servers bring.
        let budget = state.budgets.iter().find(|budget| budget.name == "web");
        let budget = budget.expect("there is the budget");
        assert!(budget.expected_pods > 0 && budget.desired_healthy > 0, "{budget:?}");
        let of_workloads: Vec<_> =
            state.pods.iter().filter(|pod| matches!(pod.owner, PodOwner::Workload(_))).collect();
        assert!(of_workloads.len() >= 6, "{version}");
        assert!(of_workloads.iter().all(|pod| pod.ready && pod.node.is_some()), "{version}");
        assert!(of_workloads.iter().any(|pod| !pod.budgets.is_empty()), "{version}");
        assert!(of_workloads.iter().any(|pod| pod.volume.is_some()), "{version}");
        assert!(state.workloads.iter().any(|workload| workload.workload.kind == "DaemonSet"));
    }
}

/// The server of a group's kinds does not answer: the add-on with an object of that group cannot be
/// told, and everything else can.
#[test]
fn a_broken_group_hurts_only_what_is_of_it() {
    let mut recorded = recorded().remove(0);
    let whole = look(&recorded);
    assert!(whole.addons.values().all(|addon| addon.unreadable.is_none()), "{:?}", whole.addons);
    let path = "/apis/meters.example.com/v1".to_owned();
    recorded.answers.insert(path, status(503, "ServiceUnavailable"));
    let state = look(&recorded);
    assert_eq!(state.nodes, whole.nodes);
    let unreadable = |name: &str| {
        let addon = &state.addons[&name.parse().expect("it is a name")];
        addon.unreadable.clone().unwrap_or_default()
    };
    assert_eq!(unreadable("plain"), "");
    assert!(unreadable("meters").contains("meters.example.com/v1"), "{}", unreadable("meters"));
}
