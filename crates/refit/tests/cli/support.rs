//! Fleets in temporary directories, and the binary started on them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// So fast that waiting costs nothing: what is left is computing.
pub(crate) const FAST: [&str; 2] = ["--simulation-speed", "100000"];

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A command in a directory, with nothing of the caller's environment but `PATH`.
pub(crate) fn refit(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_refit"));
    command
        .args(args)
        .current_dir(directory)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("USER", "tester")
        .stdin(Stdio::null());
    command
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn of(mut command: Command) -> Self {
        let output = command.output().unwrap();
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// What it said contains all of this.
    #[track_caller]
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "`{part}` is not in stderr:\n{}", self.stderr);
        }
        self
    }

    /// Its data contains all of this.
    #[track_caller]
    pub(crate) fn shows(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stdout.contains(part), "`{part}` is not there: {self:?}");
        }
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!("{error}\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr)
        })
    }
}

/// A fleet's directory.
pub(crate) struct Fleet {
    directory: TempDir,
}

impl Fleet {
    /// What `refit init` writes: one cluster with four workers.
    pub(crate) fn starter() -> Self {
        let fleet = Self { directory: tempfile::tempdir().unwrap() };
        fleet.run(&["init"]).exits(0);
        fleet
    }

    /// The starter with a second cluster, whose only budget never allows an eviction.
    pub(crate) fn with_blocked_cluster() -> Self {
        let fleet = Self::starter();
        let cluster = fleet.read("clusters/dev-1.toml").replace("dev-1", "dev-2");
        fleet.write(
            "clusters/dev-2.toml",
            &replaced(&cluster, "min-available = 3", "min-available = 4"),
        );
        fleet
    }

    /// `examples/quickstart`, as it is before anything has run.
    pub(crate) fn quickstart() -> Self {
        fn copy(from: &Path, to: &Path) {
            fs::create_dir_all(to).unwrap();
            for entry in fs::read_dir(from).unwrap() {
                let entry = entry.unwrap();
                let name = entry.file_name();
                if entry.file_type().unwrap().is_dir() {
                    if name != "state" {
                        copy(&entry.path(), &to.join(name));
                    }
                } else if entry.path().extension().is_none_or(|extension| extension != "plan") {
                    fs::copy(entry.path(), to.join(name)).unwrap();
                }
            }
        }
        let fleet = Self { directory: tempfile::tempdir().unwrap() };
        copy(&repository().join("examples/quickstart"), fleet.path());
        fleet
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    #[track_caller]
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap()
    }

    #[track_caller]
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.file(name), text).unwrap();
    }

    /// Edits a file; the text must be there.
    #[track_caller]
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        self.write(name, &replaced(&self.read(name), from, to));
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        refit(self.path(), args)
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        Ended::of(self.command(args))
    }

    /// `refit apply` without waiting, with these arguments.
    pub(crate) fn apply(&self, args: &[&str]) -> Ended {
        self.run(&[&["apply"], args, &FAST].concat())
    }

    /// Starts a command that goes on while the test does.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let directory = tempfile::tempdir().unwrap();
        let file = |name| File::create(directory.path().join(name)).unwrap();
        let child = self.command(args).stdout(file("out")).stderr(file("err")).spawn().unwrap();
        Running { child, directory }
    }

    /// Everything in the directory: names, and for files their digests.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, String> {
        fn walk(directory: &Path, found: &mut BTreeMap<PathBuf, String>) {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    found.insert(path.clone(), "directory".to_owned());
                    walk(&path, found);
                } else {
                    let bytes = fs::read(&path).unwrap();
                    found.insert(path, refit_model::Digest::of_bytes(&bytes).to_string());
                }
            }
        }
        let mut found = BTreeMap::new();
        walk(self.path(), &mut found);
        found
    }

    pub(crate) fn history(&self) -> Vec<Value> {
        let history = self.run(&["history", "--format", "json"]).exits(0).json();
        history.as_array().unwrap().clone()
    }

    /// The id of the newest run.
    #[track_caller]
    pub(crate) fn last_run(&self) -> String {
        self.history()[0]["run"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn nothing_is_left_to_do(&self) {
        self.run(&["plan", "--detailed-exitcode"]).exits(0).shows(&["No changes."]);
    }

    pub(crate) fn observed(&self) -> Value {
        self.run(&["observe"]).exits(0).json()
    }

    /// What must be the same after a run as before: the sizes of groups and what is suspended.
    pub(crate) fn shape(&self) -> BTreeMap<String, Value> {
        let mut shape = BTreeMap::new();
        for (cluster, seen) in self.observed()["clusters"].as_object().unwrap() {
            for (name, group) in seen["fresh"]["groups"].as_object().unwrap() {
                let kept = serde_json::json!({
                    "desired": group["desired"], "min": group["min"], "max": group["max"],
                    "suspended": group["suspended"],
                    "instances": group["instances"].as_array().unwrap().len(),
                });
                shape.insert(format!("{cluster}/{name}"), kept);
            }
        }
        assert!(!shape.is_empty());
        shape
    }

    /// Nothing that a run does on its way is still there.
    #[track_caller]
    pub(crate) fn is_tidy(&self, before: &BTreeMap<String, Value>) {
        assert_eq!(&self.shape(), before, "groups are not what they were");
        let snapshot = self.observed();
        let now: &str = snapshot["taken-at"].as_str().unwrap();
        for (cluster, seen) in snapshot["clusters"].as_object().unwrap() {
            let seen = &seen["fresh"];
            no_node_is_cordoned(cluster, seen);
            for (name, group) in seen["groups"].as_object().unwrap() {
                assert_eq!(group["tags"], serde_json::json!({}), "tags of {cluster}/{name}");
                for instance in group["instances"].as_array().unwrap() {
                    assert_eq!(instance["protected"], false, "{cluster}/{name}: {instance}");
                }
            }
            if let Some(until) = seen["lease"]["until"].as_str() {
                assert!(until <= now, "{cluster}: the lease is held: {}", seen["lease"]);
            }
        }
    }

    /// No node of any cluster is cordoned or carries an annotation of a run.
    #[track_caller]
    pub(crate) fn nothing_is_cordoned(&self) {
        for (cluster, seen) in self.observed()["clusters"].as_object().unwrap() {
            no_node_is_cordoned(cluster, &seen["fresh"]);
        }
    }
}

#[track_caller]
fn no_node_is_cordoned(cluster: &str, seen: &Value) {
    let nodes = seen["nodes"].as_object().unwrap();
    assert!(!nodes.is_empty());
    for (name, node) in nodes {
        // Of an instance that is gone, and soon gone itself.
        if node["instance"].is_null() && node["ready"] == false {
            continue;
        }
        assert_eq!(node["unschedulable"], false, "{cluster}/{name} is cordoned");
        assert_eq!(node["annotations"], serde_json::json!({}), "annotations of {cluster}/{name}");
    }
}

#[track_caller]
pub(crate) fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "`{from}` is not in:\n{text}");
    text.replace(from, to)
}

/// A command that goes on while the test does. It ends with the test.
pub(crate) struct Running {
    child: Child,
    directory: TempDir,
}

impl Running {
    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(self.directory.path().join("out")).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.directory.path().join("err")).unwrap()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has said this.
    #[track_caller]
    pub(crate) fn until_it_says(&mut self, part: &str) {
        let begun = Instant::now();
        while !self.stderr().contains(part) {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && begun.elapsed() < Duration::from_mins(1),
                "it has not said `{part}` ({ended:?}):\n{}",
                self.stderr()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it has said so many lines, or has ended.
    #[track_caller]
    pub(crate) fn until_lines(&mut self, lines: usize) {
        let begun = Instant::now();
        while self.stderr().lines().count() < lines && self.child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_mins(1), "it hangs:\n{}", self.stderr());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sends a signal, as `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Kills it as SIGKILL does; whether it still lived.
    pub(crate) fn kill(mut self) -> bool {
        let ended = self.child.try_wait().unwrap();
        self.child.kill().ok();
        let status = self.child.wait().unwrap();
        ended.is_none() && status.code().is_none()
    }

    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < Duration::from_secs(90), "it hangs:\n{}", self.stderr());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[track_caller]
    pub(crate) fn ends(mut self) -> Ended {
        let status = self.wait();
        Ended { code: status.code(), stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Fails unless the value is what the schema says.
#[track_caller]
pub(crate) fn validate(schema: &str, value: &Value) {
    let text = fs::read_to_string(repository().join("schemas").join(schema)).unwrap();
    let validator = jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap();
    let problems: Vec<String> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(problems.is_empty(), "{schema}: {problems:#?}");
}

/// Fails when a line is wider than that.
#[track_caller]
pub(crate) fn fits(text: &str, columns: usize) {
    for line in text.lines() {
        assert!(line.chars().count() <= columns, "wider than {columns}: {line}");
    }
}

/// The text with `plan ...` for each id of a plan.
pub(crate) fn without_ids(text: &str) -> String {
    let is_id = |word: &str| word.len() == 12 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let mut out = String::new();
    for (at, part) in text.split("plan ").enumerate() {
        let masked = part.get(..12).filter(|word| at > 0 && is_id(word));
        out.push_str(if at > 0 { "plan " } else { "" });
        out.push_str(&masked.map_or_else(|| part.to_owned(), |id| part.replacen(id, "...", 1)));
    }
    out
}

/// Fails when there is an escape sequence.
#[track_caller]
pub(crate) fn is_plain(text: &str) {
    assert!(!text.contains('\u{1b}'), "escape sequences:\n{text:?}");
}

/// Says what a test leaves out, past the capture of its output.
pub(crate) fn note(text: &str) {
    writeln!(std::io::stderr(), "note: {text}").ok();
}
