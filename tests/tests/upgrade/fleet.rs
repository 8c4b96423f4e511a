//! A fleet of one real cluster, in a directory of its own, and refit in it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use refit_tests::real::{RealCluster, Servers, servers};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Files that ask something of a cluster, and what refit needs to reach it.
pub(crate) struct Fleet {
    directory: TempDir,
    kubeconfig: PathBuf,
    environment: Vec<(&'static str, String)>,
}

/// The servers, which the tests have built.
pub(crate) fn built() -> &'static Servers {
    servers().expect("the servers can be built")
}

/// The patch releases that there are servers of, oldest first.
pub(crate) fn versions() -> Vec<String> {
    built().apiservers.keys().cloned().collect()
}

/// The binary that `cargo test --workspace` builds beside the tests.
pub(crate) fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a process has an executable");
    let profile = test.ancestors().nth(2).expect("tests are in target/<profile>/deps");
    let binary = profile.join("refit");
    assert!(
        binary.exists(),
        "{} is missing: run `cargo test --workspace`, which builds it",
        binary.display()
    );
    binary
}

impl Fleet {
    /// Files that ask the oldest version of the cluster, which it has.
    pub(crate) fn new(cluster: &RealCluster, pools: &[&str]) -> Self {
        let directory = TempDir::new().expect("there is room for a directory");
        let fleet = Self {
            directory,
            kubeconfig: cluster.kubeconfig_refit.clone(),
            environment: cluster.aws_environment(),
        };
        let available = list(&versions());
        fleet.write(
            "fleet.toml",
            &format!(
                "[fleet]\nname = \"real\"\n\n[kubernetes]\navailable = [{available}]\n\n\
                 [[channels]]\nname = \"dev\"\nrelease = \"r1\"\n"
            ),
        );
        fleet.ask_for(&versions()[0], &[]);
        let groups = list(&cluster.control_plane_groups());
        let mut text = format!(
            "[cluster]\nname = \"{}\"\nchannel = \"dev\"\naddon-sets = [\"base\"]\n\n\
             [provider]\nkind = \"aws\"\nregion = \"{}\"\n\n\
             [control-plane]\nauto-scaling-groups = [{groups}]\n{MACHINES}",
            cluster.name,
            fleet.region(),
        );
        for pool in pools {
            let group = cluster.group_of(pool);
            write!(
                text,
                "\n[[node-pools]]\nname = \"{pool}\"\nauto-scaling-groups = [\"{group}\"]\n{MACHINES}",
            )
            .expect("a string has room");
        }
        fleet.write(&format!("clusters/{}.toml", cluster.name), &text);
        fleet
    }

    /// The release that the cluster follows, with this version, and add-ons of these.
    pub(crate) fn ask_for(&self, version: &str, addons: &[(&str, &str)]) {
        let mut text =
            format!("[release]\nname = \"r1\"\nkubernetes = \"{version}\"\n\n[addon-sets.base]\n");
        for (name, version) in addons {
            writeln!(text, "{name} = \"{version}\"").expect("a string has room");
        }
        self.write("releases/r1.toml", &text);
    }

    /// An add-on: its `addon.toml`, and by version its manifests.
    pub(crate) fn addon(&self, name: &str, toml: &str, versions: &[(&str, &str)]) {
        self.write(&format!("addons/{name}/addon.toml"), toml);
        for (version, manifests) in versions {
            self.write(&format!("addons/{name}/{version}/{name}.yaml"), manifests);
        }
    }

    /// Grants what `refit permissions` says for the files as they are, and nothing else.
    pub(crate) fn grant(&self, cluster: &RealCluster) -> Vec<Value> {
        let printed = self.run(&["permissions", "kubernetes", "--user", "refit"]).exits(0);
        let objects: Vec<Value> =
            serde_saphyr::from_multiple(&printed.stdout).expect("it prints YAML");
        assert!(objects.len() > 2, "{}", printed.stdout);
        cluster.apply(&objects).expect("rights can be granted");
        let wish = json!({ "do": "allow", "key": "refit", "actions": self.actions() });
        cluster.admin(wish).expect("the account can be told");
        objects
    }

    /// What the policy allows that `refit permissions` prints.
    pub(crate) fn actions(&self) -> Vec<String> {
        let printed = self.run(&["permissions", "aws"]).exits(0);
        let policy: Value = serde_json::from_str(&printed.stdout).expect("it prints JSON");
        let statements = policy["Statement"].as_array().expect("a policy has statements");
        let actions = statements.iter().filter_map(|each| each["Action"].as_array()).flatten();
        actions.filter_map(|action| action.as_str().map(str::to_owned)).collect()
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self.path().join(file);
        let parent = path.parent().expect("a file is in a directory");
        std::fs::create_dir_all(parent).expect("the directory can be made");
        std::fs::write(path, text).expect("the file can be written");
    }

    /// Changes a file by replacing what stands there once.
    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path().join(file)).expect("the file is there");
        assert!(text.contains(from), "`{from}` is not in {file}:\n{text}");
        self.write(file, &text.replacen(from, to, 1));
    }

    /// refit with these arguments, ready to run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments);
        self.place(&mut command);
        command
    }

    /// Where the fleet is, with what refit needs to reach it, and nothing else.
    fn place(&self, command: &mut Command) {
        let kept: BTreeMap<_, _> =
            std::env::vars().filter(|(key, _)| key == "PATH" || key == "TMPDIR").collect();
        command
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env_clear()
            .envs(kept)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", self.path())
            .env("USER", "tester")
            .envs(self.environment.iter().map(|(key, value)| (*key, value.as_str())));
    }

    /// Runs refit and waits for it.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().expect("refit starts");
        Ran::from(output)
    }

    /// Runs something else, as refit is run.
    pub(crate) fn in_its_place(&self, command: Command) -> Ran {
        Ran::from(self.placed(command).output().expect("it starts"))
    }

    /// Something else, ready to run as refit is run, with the variables that it was given.
    pub(crate) fn placed(&self, mut command: Command) -> Command {
        let given: Vec<_> = command
            .get_envs()
            .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
            .collect();
        self.place(&mut command);
        command.envs(given);
        command
    }

    /// Nothing is left to do.
    pub(crate) fn is_done(&self) {
        let again = self.run(&["plan", "--detailed-exitcode"]);
        assert_eq!(again.code, Some(0), "{}", again.text());
    }

    fn region(&self) -> &str {
        let found = self.environment.iter().find(|(key, _)| *key == "AWS_REGION");
        &found.expect("the world has a region").1
    }
}

/// What control planes and pools have in common.
const MACHINES: &str = "image = { name = \"k8s-{version}-x86_64-*\" }\n\
                        drain-timeout = \"2m\"\nnode-ready-timeout = \"2m\"\n";

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// How a command ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// Both streams, for a test that fails.
    pub(crate) fn text(&self) -> String {
        format!("exit code {:?}\n{}\n{}", self.code, self.stdout, self.stderr)
    }

    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.text());
        self
    }

    /// All of this is in what it said, on either stream. Lines may break anywhere.
    #[track_caller]
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let said = flat(&self.text());
        for part in parts {
            assert!(said.contains(&flat(part)), "`{part}` is not there:\n{}", self.text());
        }
        self
    }
}
