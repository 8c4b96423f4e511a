//! The servers: pinned in `tests/servers`, built once, kept outside of the checkout.
//!
//! Each of them is a directory `<name>-<digest>` in the cache, where the digest is that of its
//! pins and of how it is built; another pin is another directory, and a change of one server
//! builds no other. A mark is made in it when it is whole. A lock lets one process build while the
//! others wait.
//!
//! From nothing, on 2 cores that do nothing else: etcd 1 minute, the servers of the oldest
//! Kubernetes 5, each further kube-apiserver 3, kwok 1, Python's packages half a minute. The
//! Go modules are about 1 GB, the result 500 MB. A second call looks at six directories.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Instant;

use refit_model::Digest;

use super::{Error, say};

/// The minors whose kube-apiserver is there, oldest first. Controllers and scheduler are those of
/// the first, which the skew policy lets be older than the apiserver.
const MINORS: [&str; 3] = ["1.35", "1.36", "1.37"];

/// The Go module of all servers of Kubernetes.
const KUBERNETES: &str = "k8s.io/kubernetes";

/// What a build does to its sources; a change of it builds anew.
const RECIPE: &str = "2";

/// Where the built servers are.
#[derive(Clone, Debug)]
pub struct Servers {
    /// kube-apiserver by version, oldest first.
    pub apiservers: BTreeMap<String, PathBuf>,
    /// The directory with the manifests of its add-ons by version: `coredns.yaml`, and
    /// `metrics-server.yaml`.
    pub addons: BTreeMap<String, PathBuf>,
    /// The CustomResourceDefinitions of external-snapshotter by version, in one file each.
    pub snapshotter: BTreeMap<String, PathBuf>,
    /// kube-controller-manager of the oldest version.
    pub controller_manager: PathBuf,
    /// kube-scheduler of the oldest version.
    pub scheduler: PathBuf,
    /// etcd.
    pub etcd: PathBuf,
    /// kwok.
    pub kwok: PathBuf,
    /// Python with what the world needs.
    pub python: PathBuf,
}

impl Servers {
    /// The version that is built of a minor, `1.36.3` for `1.36`.
    pub fn version_of(&self, minor: &str) -> Option<&str> {
        let prefix = format!("{minor}.");
        self.apiservers.keys().find(|version| version.starts_with(&prefix)).map(String::as_str)
    }
}

/// The directory that tools and servers are kept in, outside of the checkout.
pub fn cache() -> PathBuf {
    let of = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    of("REFIT_CACHE").unwrap_or_else(|| {
        let home = of("HOME").unwrap_or_else(std::env::temp_dir);
        of("XDG_CACHE_HOME").unwrap_or_else(|| home.join(".cache")).join("refit")
    })
}

/// The directory with the pins and the world.
pub(super) fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("servers")
}

/// All servers; what is not built yet is built now.
pub fn servers() -> Result<&'static Servers, &'static Error> {
    static SERVERS: OnceLock<Result<Servers, Error>> = OnceLock::new();
    SERVERS.get_or_init(|| build_all(&cache().join("servers"))).as_ref()
}

fn build_all(cache: &Path) -> Result<Servers, Error> {
    let lock = cache.join("lock");
    fs::create_dir_all(cache).map_err(Error::file(format!("creating {}", cache.display())))?;
    let file = File::create(&lock).map_err(Error::file(format!("creating {}", lock.display())))?;
    // Released when the file is closed, so also when this process is killed.
    file.lock().map_err(Error::file(format!("locking {}", lock.display())))?;

    let python = venv(cache)?;
    let etcd =
        go_module(cache, "etcd", "go.etcd.io/etcd/server/v3", &["go.etcd.io/etcd/server/v3"])?;
    let (mut apiservers, mut addons) = (BTreeMap::new(), BTreeMap::new());
    let mut kubernetes = Vec::new();
    for minor in MINORS {
        let oldest = minor == MINORS[0];
        let mut packages = vec!["k8s.io/kubernetes/cmd/kube-apiserver"];
        if oldest {
            packages.push("k8s.io/kubernetes/cmd/kube-controller-manager");
            packages.push("k8s.io/kubernetes/cmd/kube-scheduler");
        }
        let name = format!("kubernetes-{minor}");
        let version = required(&name, KUBERNETES)?;
        let directory = go_module(cache, &name, KUBERNETES, &packages)?;
        let version = version.trim_start_matches('v').to_owned();
        apiservers.insert(version.clone(), directory.join("kube-apiserver"));
        addons.insert(version, manifests(cache, &name)?);
        kubernetes.push(directory);
    }
    let kwok = go_module(cache, "kwok", "sigs.k8s.io/kwok", &["sigs.k8s.io/kwok/cmd/kwok"])?;
    Ok(Servers {
        apiservers,
        addons,
        snapshotter: snapshotter(cache)?,
        controller_manager: kubernetes[0].join("kube-controller-manager"),
        scheduler: kubernetes[0].join("kube-scheduler"),
        etcd: etcd.join("server"),
        kwok: kwok.join("kwok"),
        python: python.join("bin/python"),
    })
}

/// The version of a module that the go.mod of a server requires.
fn required(server: &str, module: &str) -> Result<String, Error> {
    let text = read(&sources().join(server).join("go.mod"))?;
    let prefix = format!("{module} v");
    text.lines()
        .map(|line| line.trim().trim_start_matches("require "))
        .find_map(|line| line.strip_prefix(&prefix))
        .and_then(|rest| rest.split_whitespace().next())
        .map(|version| format!("v{version}"))
        .ok_or_else(|| Error::Build {
            what: format!("reading the pins of {server}"),
            output: format!("its go.mod does not require {module}"),
        })
}

/// Builds packages of a Go module in the version that is pinned. Kubernetes says at /version what
/// the linker is told; kwok, which is made of the same parts, does not start without a version.
fn go_module(cache: &Path, name: &str, of: &str, packages: &[&str]) -> Result<PathBuf, Error> {
    let module = sources().join(name);
    let version = required(name, of)?;
    let pins = [read(&module.join("go.mod"))?, read(&module.join("go.sum"))?, packages.join(" ")];
    let machine = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    once(cache, name, &[&pins[0], &pins[1], &pins[2], &machine], |into| {
        let go = Command::new("go").arg("version").output();
        go.map_err(|error| Error::Missing {
            tool: "Go",
            reason: error.to_string(),
            hint: "install Go 1.26 or later from https://go.dev/dl",
        })?;
        let variables = "k8s.io/component-base/version";
        let mut parts = version.trim_start_matches('v').split('.');
        let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let flags = format!(
            "-s -w -X {variables}.gitVersion={version} -X {variables}.gitMajor={major} \
             -X {variables}.gitMinor={minor}"
        );
        let mut command = Command::new("go");
        command
            .current_dir(&module)
            .args(["build", "-trimpath", "-ldflags", &flags, "-o"])
            .arg(format!("{}/", into.display()))
            .args(packages)
            .env("CGO_ENABLED", "0")
            .env("GOWORK", "off");
        run(&format!("go build {}", packages.join(" ")), &mut command).map(drop)
    })
}

/// The manifests of CoreDNS and metrics-server that Kubernetes carries, with what its scripts would
/// fill in. The APIService is left out: nothing on loopback can serve it.
fn manifests(cache: &Path, server: &str) -> Result<PathBuf, Error> {
    const FILLED: [(&str, &str); 8] = [
        ("__DNS__DOMAIN__", "cluster.local"),
        ("__DNS__MEMORY__LIMIT__", "170Mi"),
        ("__DNS__SERVER__", "10.96.0.10"),
        ("# __MACHINE_GENERATED_WARNING__", ""),
        ("{{ base_metrics_server_cpu }}", "40m"),
        ("{{ base_metrics_server_memory }}", "40Mi"),
        ("{{ metrics_server_memory_per_node }}", "4"),
        ("{{ metrics_server_min_cluster_size }}", "16"),
    ];
    const METRICS_SERVER: [&str; 5] = [
        "auth-delegator.yaml",
        "auth-reader.yaml",
        "metrics-server-deployment.yaml",
        "metrics-server-service.yaml",
        "resource-reader.yaml",
    ];
    let module = sources().join(server);
    let pins = [read(&module.join("go.mod"))?, format!("{FILLED:?} {METRICS_SERVER:?}")];
    once(cache, &format!("{server}-addons"), &[&pins[0], &pins[1]], |into| {
        let mut command = Command::new("go");
        command.current_dir(&module).env("GOWORK", "off");
        let found = run("go list", command.args(["list", "-m", "-f", "{{.Dir}}", KUBERNETES]))?;
        let source = Path::new(found.trim()).join("cluster/addons");
        let coredns = read(&source.join("dns/coredns/coredns.yaml.base"))?;
        let mut parts = Vec::new();
        for file in METRICS_SERVER {
            parts.push(read(&source.join("metrics-server").join(file))?);
        }
        for (file, text) in
            [("coredns.yaml", coredns), ("metrics-server.yaml", parts.join("\n---\n"))]
        {
            let filled = FILLED.iter().fold(text, |text, (gap, value)| text.replace(gap, value));
            let file = into.join(file);
            fs::write(&file, filled).map_err(Error::file(format!("writing {}", file.display())))?;
        }
        Ok(())
    })
}

/// The CustomResourceDefinitions that clients of external-snapshotter carry, in every version that
/// is pinned.
fn snapshotter(cache: &Path) -> Result<BTreeMap<String, PathBuf>, Error> {
    const NAME: &str = "snapshotter";
    const MODULES: [&str; 2] = ["client/v4", "client/v8"];
    const PARTS: [&str; 3] = ["classes", "contents", "s"];
    let of = |module: &str| format!("github.com/kubernetes-csi/external-snapshotter/{module}");
    let module = sources().join(NAME);
    let pins = [read(&module.join("go.mod"))?, read(&module.join("go.sum"))?];
    let mut files = BTreeMap::new();
    let directory = once(cache, NAME, &[&pins[0], &pins[1]], |into| {
        for each in MODULES.map(of) {
            let mut command = Command::new("go");
            command.current_dir(&module).env("GOWORK", "off");
            let found = run("go mod download", command.args(["mod", "download", "-json", &each]))?;
            let found: serde_json::Value = serde_json::from_str(&found).map_err(|error| {
                Error::Build { what: "go mod download".to_owned(), output: error.to_string() }
            })?;
            let source = Path::new(found["Dir"].as_str().unwrap_or_default()).join("config/crd");
            let mut parts = Vec::new();
            for part in PARTS {
                let file = format!("snapshot.storage.k8s.io_volumesnapshot{part}.yaml");
                parts.push(read(&source.join(file))?);
            }
            let version = found["Version"].as_str().unwrap_or_default().trim_start_matches('v');
            let file = into.join(format!("{version}.yaml"));
            fs::write(&file, parts.join("\n---\n"))
                .map_err(Error::file(format!("writing {}", file.display())))?;
        }
        Ok(())
    })?;
    for module in MODULES.map(of) {
        let version = required(NAME, &module)?.trim_start_matches('v').to_owned();
        files.insert(version.clone(), directory.join(format!("{version}.yaml")));
    }
    Ok(files)
}

/// Python with the pinned packages, in an environment of its own.
fn venv(cache: &Path) -> Result<PathBuf, Error> {
    let missing = |reason: String| Error::Missing {
        tool: "Python",
        reason,
        hint: "install Python 3.11 or later with its venv module (Debian: python3-venv)",
    };
    let requirements = sources().join("requirements.txt");
    let pins = read(&requirements)?;
    let python = Command::new("python3")
        .args(["-c", "import sys; print(sys.version, sys.executable)"])
        .output();
    let python = python.map_err(|error| missing(error.to_string()))?;
    let python = String::from_utf8_lossy(&python.stdout).into_owned();
    once(cache, "python", &[&pins, &python], |into| {
        let mut command = Command::new("python3");
        run("python3 -m venv", command.args(["-m", "venv"]).arg(into))
            .map_err(|error| missing(error.to_string()))?;
        let mut command = Command::new(into.join("bin/python"));
        command.args(["-m", "pip", "install", "--quiet", "--no-deps", "--requirement"]);
        run("pip install", command.arg(&requirements)).map(drop)
    })
}

/// The directory of one server: as it is when it is whole, or built.
fn once(
    cache: &Path,
    name: &str,
    pins: &[&str],
    build: impl FnOnce(&Path) -> Result<(), Error>,
) -> Result<PathBuf, Error> {
    let digest = Digest::of_bytes([&[RECIPE], pins].concat().join("\0").as_bytes());
    let directory = cache.join(format!("{name}-{}", digest.short()));
    let whole = directory.join(".whole");
    if whole.is_file() {
        return Ok(directory);
    }
    let begun = Instant::now();
    say(&format!("building {name} in {}", directory.display()));
    if directory.exists() {
        fs::remove_dir_all(&directory)
            .map_err(Error::file(format!("removing {}", directory.display())))?;
    }
    fs::create_dir_all(&directory)
        .map_err(Error::file(format!("creating {}", directory.display())))?;
    build(&directory)?;
    File::create(&whole).map_err(Error::file(format!("creating {}", whole.display())))?;
    say(&format!("built {name} in {} s", begun.elapsed().as_secs()));
    Ok(directory)
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(Error::file(format!("reading {}", path.display())))
}

/// Runs a step to its end: its output, or what it said when it fails.
fn run(what: &str, command: &mut Command) -> Result<String, Error> {
    let output = command.output().map_err(Error::file(format!("starting {what}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let last: Vec<&str> = said.lines().rev().take(30).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    Err(Error::Build { what: what.to_owned(), output: last.join("\n") })
}
