//! refit with a bug: planner, engine and providers as they are, and in between somebody who does
//! something else than what was decided, or shows something else than what is there.
//!
//! The SDK of AWS takes what it needs from the environment, so this runs in a process of its own:
//! the tests' executable once more, with [`BUG`] set.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use refit_aws::Aws;
use refit_config::{Loaded, MemoryFiles, load};
use refit_engine::{Engine, Settings};
use refit_kubernetes::Kubeconfigs;
use refit_model::{
    Action, Addon, AddonName, CallError, Cluster, ClusterState, ErrorClass, Fleet, GroupOp,
    InstanceId, NodeOp, Op, Provider, RunId, SavedPlan, Stop, TargetHealth, Token,
};
use refit_provider::{Act, Answer, JoinedActor, JoinedObserver, Look, Observe};
use refit_runtime::{Clock, Drive, SystemClock};
use refit_store::{MemoryStore, NewRun, StateStore};
use refit_tests::real::Admin;
use serde_json::{Value, json};

const BUG: &str = "REFIT_TEST_BUG";
const ADMIN: &str = "REFIT_TEST_ADMIN";

/// The plan that is carried out, in the fleet's directory.
pub(crate) const PLAN: &str = "buggy.plan";

/// What an engine could do wrong that is easily overlooked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// It deletes pods: a deletion asks no budget.
    DeletesPods,
    /// It takes the surge back by setting desired to a number: the group then chooses who goes.
    LowersByNumber,
    /// It ends instances that are in their target groups, and so still get connections.
    SkipsTheGate,
}

const ALL: [Bug; 3] = [Bug::DeletesPods, Bug::LowersByNumber, Bug::SkipsTheGate];

/// The bug that this process is to have; none: it runs the tests.
pub(crate) fn asked_for() -> Option<Bug> {
    let name = std::env::var(BUG).ok()?;
    let known = ALL.into_iter().find(|bug| format!("{bug:?}") == name);
    Some(known.unwrap_or_else(|| panic!("{BUG} is none of {ALL:?}")))
}

/// A process that carries [`PLAN`] out with a bug, and leaves in good order when its standard input
/// is closed.
pub(crate) fn command(bug: Bug, admin: &Admin) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a process has an executable"));
    command.env(BUG, format!("{bug:?}")).env(ADMIN, admin.address());
    command
}

/// Carries the plan out that lies in this directory.
pub(crate) fn carry_out(bug: Bug) {
    let admin = Admin::at(&std::env::var(ADMIN).expect("the world's door is given"));
    let mut files = MemoryFiles::new();
    read(Path::new("."), "", &mut files);
    let Loaded { fleet, .. } = load(&files);
    let fleet = Arc::new(fleet.expect("the fleet can be read"));
    let bytes = fs::read(PLAN).expect("there is a plan");
    let saved = SavedPlan::from_bytes(&bytes).expect("the plan can be read");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("there is a runtime").block_on(drive(bug, admin, fleet, saved));
}

fn read(directory: &Path, prefix: &str, files: &mut MemoryFiles) {
    for entry in fs::read_dir(directory).expect("the directory can be read").flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let path = entry.path();
        if path.is_dir() {
            read(&path, &format!("{name}/"), files);
        } else {
            files.insert(name, fs::read(&path).expect("the file can be read"));
        }
    }
}

async fn drive(bug: Bug, admin: Admin, fleet: Arc<Fleet>, saved: SavedPlan) {
    let (name, cluster) = fleet.clusters.iter().next().expect("there is a cluster");
    let Provider::Aws(found) = &cluster.provider else { panic!("the cluster is a real one") };
    let kubeconfigs = Kubeconfigs::read(None).expect("there is a kubeconfig");
    let kubernetes = kubeconfigs.connect(&found.context).await.expect("there is a context");
    let (kubernetes, aws) = (Arc::new(kubernetes), Aws::new(found).await);
    let rude = Arc::new(Rude {
        bug,
        admin,
        observes: JoinedObserver::new(Arc::clone(&kubernetes) as Arc<dyn Observe>, aws.clone()),
        acts: JoinedActor::new(kubernetes, aws),
        skipped: Mutex::default(),
    });
    let clock = Arc::new(SystemClock);
    let run: RunId = "buggy".parse().expect("it is an id");
    let mut store = MemoryStore::new();
    let opened = store.open_run(NewRun {
        run: run.clone(),
        fleet: fleet.name.clone(),
        plan: saved.id.clone(),
        plan_bytes: saved.to_bytes(),
        who: "tester".to_owned(),
        at: clock.now(),
    });
    let (stop, stops) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        // Nobody writes to it: this waits for its end.
        drop(std::io::read_to_string(std::io::stdin()));
        stop.send(Stop::Leave).ok();
    });
    let settings = Settings { run: run.clone(), who: "tester".to_owned(), parallelism: 1 };
    let drive = Drive {
        engine: Engine::new(saved.plan, settings),
        run,
        store: &mut store,
        last_seq: opened.expect("the run can be opened").last_seq,
        fleet: Arc::clone(&fleet),
        observers: BTreeMap::from([(name.clone(), Arc::clone(&rude) as Arc<dyn Observe>)]),
        actors: BTreeMap::from([(name.clone(), rude as Arc<dyn Act>)]),
        clock,
        stops,
        grace: Duration::from_secs(20),
        reporters: Vec::new(),
    };
    drive.run().await.expect("the plan can be carried out");
}

/// Where the bug is.
struct Rude {
    bug: Bug,
    admin: Admin,
    observes: JoinedObserver<Aws>,
    acts: JoinedActor<Aws>,
    /// The instances that are said to have left their target groups.
    skipped: Mutex<BTreeSet<InstanceId>>,
}

impl Rude {
    fn aws(&self, action: &str, parameters: &Value) -> Result<Value, CallError> {
        self.ask(json!({
            "do": "aws", "key": "harness", "service": "autoscaling", "action": action,
            "parameters": parameters,
        }))
        .map(|mut answer| answer["ok"].take())
    }

    fn ask(&self, operation: Value) -> Result<Value, CallError> {
        let answer = self.admin.ask(operation);
        answer.map_err(|error| CallError::new(ErrorClass::Transient, error))
    }

    fn lower(&self, group: &str) -> Result<(), CallError> {
        let asked = json!({ "AutoScalingGroupNames": [group] });
        let found = self.aws("DescribeAutoScalingGroups", &asked)?;
        let desired = found["AutoScalingGroups"][0]["DesiredCapacity"].as_u64();
        let desired = desired.expect("a group has a desired capacity");
        let wish = json!({ "AutoScalingGroupName": group, "DesiredCapacity": desired - 1 });
        self.aws("SetDesiredCapacity", &wish).map(drop)
    }

    fn skipped(&self) -> std::sync::MutexGuard<'_, BTreeSet<InstanceId>> {
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observe for Rude {
    fn look<'a>(&'a self, look: Look<'a>) -> Answer<'a, ClusterState> {
        Box::pin(async move {
            let mut state = self.observes.look(look).await?;
            let skipped = self.skipped();
            let instances = state.groups.values_mut().flat_map(|group| &mut group.instances);
            for instance in instances.filter(|instance| skipped.contains(&instance.id)) {
                instance.target_health = Some(TargetHealth::Unused);
            }
            Ok(state)
        })
    }
}

impl Act for Rude {
    fn submit<'a>(
        &'a self,
        cluster: &'a Cluster,
        addons: &'a BTreeMap<AddonName, Addon>,
        op: &'a Op,
        token: &'a Token,
    ) -> Answer<'a, ()> {
        let result = match (self.bug, op) {
            (Bug::DeletesPods, Op::Node { op: NodeOp::Evict { pod }, .. }) => {
                let path = format!("/api/v1/namespaces/{}/pods/{}", pod.namespace, pod.name);
                let wish = json!({ "do": "kube", "method": "DELETE", "path": path, "body": null });
                self.ask(wish).map(drop)
            }
            (
                Bug::LowersByNumber,
                Op::Group { group, op: GroupOp::Terminate { decrement: true, .. } },
            ) => self.lower(group.as_str()),
            (Bug::SkipsTheGate, Op::Group { op: GroupOp::Deregister { instance }, .. }) => {
                self.skipped().insert(instance.clone());
                Ok(())
            }
            _ => return self.acts.submit(cluster, addons, op, token),
        };
        Box::pin(async { result })
    }

    fn missing<'a>(
        &'a self,
        addons: &'a BTreeMap<AddonName, Addon>,
        actions: &'a [&'a Action],
    ) -> Answer<'a, Vec<String>> {
        self.acts.missing(addons, actions)
    }
}
