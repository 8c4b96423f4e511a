//! One real cluster and the account that it lives in: `tests/servers/world` as a child process.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::build::sources;
use super::{Error, say, servers};

/// So many clusters live at once in this process; whoever wants another one waits. Each takes
/// about 1.2 GB with a control plane of three, and a third of a core.
pub const CLUSTERS_MAX: usize = 5;

/// Servers that end when their standard input does are given this long.
const END: Duration = Duration::from_secs(10);

/// The variable that keeps what the servers wrote after they have ended.
const KEEP: &str = "REFIT_KEEP_REAL";

/// A group of workers. Its Auto Scaling group is `<name>.<cluster>`.
#[derive(Clone, Debug)]
pub struct Pool {
    name: String,
    zones: Vec<String>,
    sizes: (u32, u32, u32),
    labels: BTreeMap<String, String>,
}

impl Pool {
    /// A pool over the first two zones: at least 1, 3 now, at most 6.
    pub fn new(name: &str) -> Self {
        let zones = ["a", "b"].map(|zone| format!("{REGION}{zone}")).to_vec();
        Self { name: name.to_owned(), zones, sizes: (1, 3, 6), labels: BTreeMap::new() }
    }

    /// Its zones, by their letters.
    #[must_use]
    pub fn zones(mut self, letters: &[&str]) -> Self {
        self.zones = letters.iter().map(|letter| format!("{REGION}{letter}")).collect();
        self
    }

    /// At least, at the start, at most.
    #[must_use]
    pub fn sizes(mut self, min: u32, desired: u32, max: u32) -> Self {
        self.sizes = (min, desired, max);
        self
    }

    /// A label that its nodes have.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }
}

/// The region that all is in.
const REGION: &str = "eu-central-1";

/// What a cluster is to be at its start.
#[derive(Clone, Debug)]
pub struct Spec {
    name: String,
    minor: String,
    control_plane: bool,
    pools: Vec<Pool>,
    fixtures: Vec<String>,
}

impl Spec {
    /// A cluster of the oldest minor with a control plane of three instances, and nothing else.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            minor: "1.35".to_owned(),
            control_plane: true,
            pools: Vec::new(),
            fixtures: Vec::new(),
        }
    }

    /// Its minor version at the start, `1.36`.
    #[must_use]
    pub fn minor(mut self, minor: &str) -> Self {
        minor.clone_into(&mut self.minor);
        self
    }

    /// One apiserver that belongs to no instance, as somebody else's control plane would be.
    #[must_use]
    pub fn without_control_plane(mut self) -> Self {
        self.control_plane = false;
        self
    }

    /// One pool more.
    #[must_use]
    pub fn pool(mut self, pool: Pool) -> Self {
        self.pools.push(pool);
        self
    }

    /// One file of `tests/servers/fixtures` more, without its ending; its workloads are ready
    /// before the test begins.
    #[must_use]
    pub fn fixture(mut self, name: &str) -> Self {
        self.fixtures.push(name.to_owned());
        self
    }
}

/// An answer of the Kubernetes API, whatever it says.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u64,
    /// The object.
    pub body: Value,
}

/// The door of a world for its harness, which other processes may use as well.
#[derive(Clone, Debug)]
pub struct Admin {
    address: String,
}

impl Admin {
    /// The one at an address, as [`address`](Self::address) tells it.
    pub fn at(address: &str) -> Self {
        Self { address: address.to_owned() }
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// An operation of the world: see `tests/servers/world/admin.py`, which has them all. For
    /// example `{"do": "throttle", "action": "SetDesiredCapacity", "times": 2}`.
    pub fn ask(&self, operation: Value) -> Result<Value, Error> {
        self.ask_within(operation, Duration::from_mins(2))
    }

    /// The same for one that may take longer.
    #[expect(clippy::needless_pass_by_value, reason = "callers write json!({...}) in the call")]
    pub fn ask_within(&self, operation: Value, limit: Duration) -> Result<Value, Error> {
        let refused = |reason: String| Error::Refused { operation: operation.to_string(), reason };
        let answer = post(&self.address, &operation.to_string(), limit);
        let answer = answer.map_err(|error| refused(error.to_string()))?;
        let mut answer: Value =
            serde_json::from_str(&answer).map_err(|error| refused(error.to_string()))?;
        match answer.get_mut("ok") {
            Some(ok) => Ok(ok.take()),
            None => Err(refused(answer["error"].as_str().unwrap_or_default().to_owned())),
        }
    }
}

/// An error that AWS answered, or why there was no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsError {
    /// `ValidationError`, `Throttling`, ...; for a lost answer `ConnectionClosedError`; `World` when
    /// the world itself is broken.
    pub code: String,
    /// In words.
    pub message: String,
}

/// A cluster that runs until this is dropped; also when this process is killed.
#[derive(Debug)]
pub struct RealCluster {
    /// As in the [`Spec`].
    pub name: String,
    /// Of a user who may do everything. Its context is called as the cluster.
    pub kubeconfig: PathBuf,
    /// Of the user `refit`, who may do nothing until a test grants it.
    pub kubeconfig_refit: PathBuf,
    /// EC2, Auto Scaling, Elastic Load Balancing and STS.
    pub aws_endpoint: String,
    /// All requests to AWS, one JSON object a line: `caller` (the access key), `service`,
    /// `action`, `parameters`, `status`, `error`, `fault`.
    pub request_log: PathBuf,
    /// What each server printed.
    pub logs: PathBuf,
    /// Where the harness asks for things.
    pub door: Admin,
    world: Child,
    // Closed to end the world.
    stdin: Option<ChildStdin>,
    // After the world, which writes into it.
    _directory: TempDir,
    _permit: Permit,
}

impl RealCluster {
    /// Builds the servers if need be, starts a cluster, and waits until its nodes and workloads
    /// are ready: about 20 seconds.
    pub fn start(spec: &Spec) -> Result<Self, Error> {
        let servers = servers().map_err(|error| Error::World(format!("no servers: {error}")))?;
        let permit = Permit::take();
        let directory = tempfile::Builder::new()
            .prefix("refit-real-")
            .tempdir()
            .map_err(Error::file("creating a directory for the servers"))?;
        let version = servers
            .version_of(&spec.minor)
            .ok_or_else(|| Error::World(format!("no servers of {}", spec.minor)))?;
        let keep = std::env::var_os(KEEP).is_some();
        let data = directory.path().join("world");
        let apiservers: BTreeMap<String, &PathBuf> = servers
            .apiservers
            .iter()
            .map(|(version, path)| {
                (version.rsplit_once('.').map_or("", |(minor, _)| minor).to_owned(), path)
            })
            .collect();
        let zones = ["a", "b", "c"].map(|zone| format!("{REGION}{zone}"));
        let settings = json!({
            "name": spec.name,
            "version": version,
            "region": REGION,
            "control_plane": spec.control_plane,
            "zones": zones,
            "pools": spec.pools.iter().map(|pool| json!({
                "name": pool.name,
                "zones": pool.zones,
                "min": pool.sizes.0,
                "desired": pool.sizes.1,
                "max": pool.sizes.2,
                "labels": pool.labels,
            })).collect::<Vec<_>>(),
            "fixtures": spec.fixtures,
            "versions": servers.apiservers.keys().collect::<Vec<_>>(),
            "data": data,
            "binaries": {
                "etcd": servers.etcd,
                "kwok": servers.kwok,
                "controller_manager": servers.controller_manager,
                "scheduler": servers.scheduler,
                "apiservers": apiservers,
            },
            "pace": {},
            "keep": keep,
        });
        let file = directory.path().join("settings.json");
        fs::write(&file, settings.to_string()).map_err(Error::file("writing the settings"))?;
        let (mut world, found) = start_world(&servers.python, &file)?;
        let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
        let stdin = world.stdin.take();
        let mut directory = directory;
        directory.disable_cleanup(keep);
        if keep {
            say(&format!("{} is kept, because {KEEP} is set", directory.path().display()));
        }
        Ok(Self {
            name: spec.name.clone(),
            kubeconfig: text("kubeconfig").into(),
            kubeconfig_refit: text("kubeconfig-refit").into(),
            aws_endpoint: text("aws"),
            request_log: text("request-log").into(),
            logs: text("logs").into(),
            door: Admin::at(text("admin").trim_start_matches("http://")),
            world,
            stdin,
            _directory: directory,
            _permit: permit,
        })
    }

    /// The environment in which the SDK of AWS finds the account, as the caller `refit`.
    pub fn aws_environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.aws_endpoint.clone()),
            ("AWS_ACCESS_KEY_ID", "refit".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "refit".to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
    }

    /// The name of a pool's Auto Scaling group.
    pub fn group_of(&self, pool: &str) -> String {
        format!("{pool}.{}", self.name)
    }

    /// The names of the control plane's Auto Scaling groups, one a zone.
    pub fn control_plane_groups(&self) -> [String; 3] {
        ["a", "b", "c"].map(|zone| format!("control-plane-{REGION}{zone}.{}", self.name))
    }

    /// An operation of the world: see [`Admin::ask`].
    pub fn admin(&self, operation: Value) -> Result<Value, Error> {
        self.door.ask(operation)
    }

    /// Fills the cluster with nodes and pods that nobody plays; the seconds that it took.
    pub fn crowd(&self, nodes: u64, pods: u64) -> Result<f64, Error> {
        let operation = json!({ "do": "crowd", "nodes": nodes, "pods": pods });
        let filled = self.door.ask_within(operation, Duration::from_mins(20))?;
        Ok(filled.as_f64().unwrap_or_default())
    }

    /// A request to Kubernetes as the administrator, whatever the answer.
    pub fn kube(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, Error> {
        let operation = json!({ "do": "kube", "method": method, "path": path, "body": body });
        let mut answer = self.admin(operation)?;
        let status = answer["status"].as_u64().unwrap_or_default();
        Ok(Answer { status, body: answer["body"].take() })
    }

    /// The items of a list of Kubernetes, `/api/v1/nodes`.
    pub fn list(&self, path: &str) -> Result<Vec<Value>, Error> {
        let mut answer = self.kube("GET", path, None)?;
        match answer.body["items"].take() {
            Value::Array(items) => Ok(items),
            _ => Err(Error::Refused { operation: path.to_owned(), reason: format!("{answer:?}") }),
        }
    }

    /// Applies objects as `kubectl apply --server-side` does.
    pub fn apply(&self, objects: &[Value]) -> Result<(), Error> {
        self.admin(json!({ "do": "apply", "objects": objects })).map(drop)
    }

    /// Applies a file of `tests/servers/fixtures`.
    pub fn fixture(&self, name: &str) -> Result<(), Error> {
        self.admin(json!({ "do": "fixture", "name": name })).map(drop)
    }

    /// The names of nodes that are Ready, and the version of their kubelets.
    pub fn ready_nodes(&self) -> Result<BTreeMap<String, String>, Error> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let nodes = self.list("/api/v1/nodes")?;
        let ready = nodes.iter().filter(|node| is_ready(node));
        Ok(ready
            .map(|node| {
                let version = &node["status"]["nodeInfo"]["kubeletVersion"];
                (text(&node["metadata"]["name"]), text(version))
            })
            .collect())
    }

    /// What each apiserver says at `/version`, by its instance.
    pub fn api_server_versions(&self) -> Result<BTreeMap<String, String>, Error> {
        let versions = self.admin(json!({ "do": "api_server_versions" }))?;
        serde_json::from_value(versions)
            .map_err(|error| Error::World(format!("versions of apiservers: {error}")))
    }

    /// The audit logs of all apiservers that ever ran, at level Metadata.
    pub fn audit_logs(&self) -> Result<Vec<PathBuf>, Error> {
        let logs = self.admin(json!({ "do": "audit_logs" }))?;
        serde_json::from_value(logs).map_err(|error| Error::World(format!("audit logs: {error}")))
    }

    /// One call to AWS as the harness, which faults do not hit.
    pub fn aws(&self, service: &str, action: &str, parameters: &Value) -> Result<Value, AwsError> {
        self.aws_as("harness", service, action, parameters)
    }

    /// One call to AWS with some access key, without retries.
    pub fn aws_as(
        &self,
        key: &str,
        service: &str,
        action: &str,
        parameters: &Value,
    ) -> Result<Value, AwsError> {
        let operation = json!({
            "do": "aws", "key": key, "service": service, "action": action, "parameters": parameters,
        });
        let mut answer = self
            .admin(operation)
            .map_err(|error| AwsError { code: "World".to_owned(), message: error.to_string() })?;
        if let Some(ok) = answer.get_mut("ok") {
            return Ok(ok.take());
        }
        let text = |key: &str| answer["error"][key].as_str().unwrap_or_default().to_owned();
        Err(AwsError { code: text("Code"), message: text("Message") })
    }

    /// An Auto Scaling group, as DescribeAutoScalingGroups has it.
    pub fn group(&self, name: &str) -> Result<Value, Error> {
        let found = self.groups(&[name.to_owned()])?.pop();
        found.ok_or_else(|| Error::World(format!("there is no group {name}")))
    }

    /// Those of these Auto Scaling groups that are there.
    pub fn groups(&self, names: &[String]) -> Result<Vec<Value>, Error> {
        let asked = json!({ "AutoScalingGroupNames": names });
        match self.aws("autoscaling", "DescribeAutoScalingGroups", &asked) {
            Ok(Value::Object(mut answer)) => match answer.remove("AutoScalingGroups") {
                Some(Value::Array(groups)) => Ok(groups),
                other => Err(Error::World(format!("groups {names:?}: {other:?}"))),
            },
            answer => Err(Error::World(format!("groups {names:?}: {answer:?}"))),
        }
    }

    /// All requests to AWS so far.
    pub fn requests(&self) -> Result<Vec<Value>, Error> {
        let text = fs::read_to_string(&self.request_log)
            .map_err(Error::file("reading the log of requests"))?;
        // The last line may be half written.
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// The process that all servers are children of.
    pub fn process_id(&self) -> u32 {
        self.world.id()
    }
}

impl Drop for RealCluster {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let begun = Instant::now();
        while begun.elapsed() < END && matches!(self.world.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        kill_group(&mut self.world);
    }
}

/// Looks again and again until there is something, or panics with what it waited for.
#[track_caller]
pub fn eventually<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < within, "{what}: not within {} s", within.as_secs());
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Whether the condition Ready of a node or a pod is true.
fn is_ready(thing: &Value) -> bool {
    let conditions = thing["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// Starts the world in a process group of its own, and waits for the line that says where it is.
fn start_world(python: &Path, settings: &Path) -> Result<(Child, Value), Error> {
    let log = settings.with_file_name("world.log");
    let errors = fs::File::create(&log).map_err(Error::file("creating the world's log"))?;
    let mut command = Command::new(python);
    command
        .args(["-m", "world"])
        .arg(settings)
        .current_dir(sources())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(errors);
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut world = command.spawn().map_err(Error::file("starting the world"))?;
    let mut line = String::new();
    if let Some(stdout) = world.stdout.take() {
        // An error is an empty line too.
        drop(BufReader::new(stdout).read_line(&mut line));
    }
    if let Ok(found) = serde_json::from_str(&line) {
        return Ok((world, found));
    }
    kill_group(&mut world);
    let said = fs::read_to_string(&log).unwrap_or_default();
    Err(Error::World(format!("it did not start:\n{said}")))
}

/// The end of a process and of its group, however it was left.
fn kill_group(process: &mut Child) {
    let group = format!("-{}", process.id());
    // Most often the group is empty, and kill says so.
    let kill = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
    drop(kill);
    drop(process.kill());
    drop(process.wait());
}

/// One HTTP request with a body of JSON; the body of the answer, which comes within a limit.
fn post(address: &str, body: &str, limit: Duration) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(limit))?;
    write!(
        stream,
        "POST / HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// Leave to run one cluster.
#[derive(Debug)]
struct Permit;

static RUNNING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

impl Permit {
    fn take() -> Self {
        let (running, freed) = &RUNNING;
        let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
        while *running >= CLUSTERS_MAX {
            running = freed.wait(running).unwrap_or_else(PoisonError::into_inner);
        }
        *running += 1;
        Self
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let (running, freed) = &RUNNING;
        *running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        freed.notify_one();
    }
}
