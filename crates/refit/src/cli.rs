//! Commands and options. Every option also has a `REFIT_*` variable.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::builder::styling::{AnsiColor, Effects, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use refit_model::{ChannelName, ClusterName, FleetName, Only, Period, PoolName, Timestamp};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().effects(Effects::BOLD))
    .usage(AnsiColor::Green.on_default().effects(Effects::BOLD))
    .literal(AnsiColor::Cyan.on_default().effects(Effects::BOLD))
    .placeholder(AnsiColor::Cyan.on_default());

/// Upgrades fleets of Kubernetes clusters: plan, review, apply
///
/// You declare in TOML which Kubernetes version and which add-ons each cluster should run.
/// `refit plan` looks at the clusters and works out the whole way from here to there; people
/// review it; `refit apply` carries out exactly that, and can be stopped and started at any time.
#[derive(Debug, Parser)]
#[command(
    name = "refit",
    version,
    styles = STYLES,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "Examples:
  refit init                      write a small fleet to begin with
  refit plan -o next.plan         show what would be done, and save it
  refit apply next.plan           do exactly that
  refit apply --auto-approve      plan and apply in one go, as CI does after a merge

Exit codes: 0 done, 1 failed, 2 changes pending (--detailed-exitcode), 3 blocked by a
finding, 5 plan is stale, 6 partly applied, 7 locked by another run, 64 wrong usage,
130 interrupted."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The fleet's directory
    #[arg(long, global = true, value_name = "DIR", default_value = ".", env = "REFIT_CHDIR", value_hint = ValueHint::DirPath, hide_env_values = true)]
    pub(crate) chdir: PathBuf,
    /// When to use colour; NO_COLOR is honoured
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        env = "REFIT_COLOR",
        hide_env_values = true
    )]
    pub(crate) color: ColorChoice,
    /// Say less: only results and errors
    #[arg(
        short,
        long,
        global = true,
        env = "REFIT_QUIET", value_parser = boolean,
        hide_env_values = true,
        conflicts_with = "verbose"
    )]
    pub(crate) quiet: bool,
    /// Say more: every name of a long list, every finding, and every step of a run
    #[arg(short, long, global = true, env = "REFIT_VERBOSE", value_parser = boolean, hide_env_values = true)]
    pub(crate) verbose: bool,
    /// How progress is written to standard error where there is no terminal
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "text",
        env = "REFIT_LOG_FORMAT",
        hide_env_values = true
    )]
    pub(crate) log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines with times
    Text,
    /// One JSON event per line
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs, by the schemas in schemas/
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a small commented fleet to begin with
    Init(Init),
    /// Check the files alone: every problem at once, each with its line
    Validate(Validate),
    /// Look at the clusters and save what was seen; never writes to a cluster
    Observe(Observe),
    /// Show what would be done, and save it
    Plan(PlanOptions),
    /// List the clusters: what they run, and what a plan would do
    Clusters(Clusters),
    /// Show a saved plan, or a past run
    Show(Show),
    /// Tell why a plan is as it is: why each action, in this order, to this version
    Explain(Explain),
    /// Draw a plan's actions and what they wait for
    Graph(Graph),
    /// Carry out a plan
    Apply(Apply),
    /// Show what is known of add-ons, and what decides which minors they support
    Addons(Addons),
    /// Show what the last run does, waits for, or failed at
    Status(Status),
    /// List past runs
    History(History),
    /// Look into the state store
    State(State),
    /// Print the roles and the policy that suffice for refit
    #[cfg(feature = "aws")]
    Permissions(Permissions),
    /// Print a completion script for a shell
    Completions(Completions),
    /// Print manual pages
    Man(Man),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  refit init                      in this directory
  refit --chdir fleet init --name acme
  refit init --from-context prod-eu-1")]
pub(crate) struct Init {
    /// The fleet's name
    #[arg(
        long,
        value_name = "NAME",
        default_value = "my-fleet",
        env = "REFIT_NAME",
        hide_env_values = true
    )]
    pub(crate) name: FleetName,
    /// Write down what this cluster runs, so that the first plan is empty
    #[cfg(feature = "aws")]
    #[arg(long, value_name = "CONTEXT", env = "REFIT_FROM_CONTEXT", hide_env_values = true)]
    pub(crate) from_context: Option<String>,
    /// The region of its machines, if its nodes do not tell
    #[cfg(feature = "aws")]
    #[arg(
        long,
        value_name = "REGION",
        requires = "from_context",
        env = "REFIT_FROM_AWS",
        hide_env_values = true
    )]
    pub(crate) from_aws: Option<String>,
    #[cfg(feature = "aws")]
    #[command(flatten)]
    pub(crate) reaching: Reaching,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  refit validate && refit plan")]
pub(crate) struct Validate {
    #[command(flatten)]
    pub(crate) output: FormatOption,
}

#[derive(Debug, Args)]
pub(crate) struct FormatOption {
    /// How to show it
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "text",
        env = "REFIT_FORMAT",
        hide_env_values = true
    )]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  refit observe -o snapshot.json
  refit plan --snapshot snapshot.json     the same plan, offline")]
pub(crate) struct Observe {
    /// Where to save the snapshot; `-` or nothing: standard output
    #[arg(short, long, value_name = "FILE", env = "REFIT_OBSERVE_OUTPUT", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) reaching: Reaching,
    /// How many clusters to look at at once
    #[arg(long, value_name = "N", default_value_t = 10, env = "REFIT_OBSERVE_PARALLELISM", hide_env_values = true, value_parser = number::<1, 1000>)]
    pub(crate) parallelism: u32,
}

/// How real clusters are reached.
#[derive(Debug, Default, Args)]
pub(crate) struct Reaching {
    /// The kubeconfig, instead of those of KUBECONFIG or ~/.kube/config
    #[arg(long, value_name = "FILE", env = "REFIT_KUBECONFIG", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// Which clusters a plan is about.
#[derive(Debug, Default, Args)]
pub(crate) struct Selecting {
    /// Only this cluster, with `*` for anything; may be given several times
    #[arg(
        long,
        value_name = "NAME",
        env = "REFIT_CLUSTER",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub(crate) cluster: Vec<String>,
    /// Only clusters of this channel; may be given several times
    #[arg(
        long,
        value_name = "NAME",
        env = "REFIT_CHANNEL",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub(crate) channel: Vec<ChannelName>,
    /// Only clusters with this label; given several times, with all of them
    #[arg(
        long,
        value_name = "KEY=VALUE",
        env = "REFIT_LABEL",
        hide_env_values = true,
        value_delimiter = ',',
        value_parser = label
    )]
    pub(crate) label: Vec<(String, String)>,
    /// Only clusters of this wave of their channel, counted from 1; may be given several times
    #[arg(
        long,
        value_name = "N",
        env = "REFIT_WAVE",
        hide_env_values = true,
        value_delimiter = ',',
        value_parser = number::<1, 10_000>
    )]
    pub(crate) wave: Vec<u32>,
    /// Not this cluster, with `*` for anything; may be given several times
    #[arg(
        long,
        value_name = "NAME",
        env = "REFIT_EXCLUDE",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub(crate) exclude: Vec<String>,
    /// Change nothing but these parts: `control-plane`, `nodes` or `add-ons`
    #[arg(long, value_name = "PARTS", env = "REFIT_ONLY", hide_env_values = true)]
    pub(crate) only: Option<Only>,
}

/// What both `plan` and `apply` take.
#[derive(Debug, Default, Args)]
pub(crate) struct Planning {
    #[command(flatten)]
    pub(crate) selecting: Selecting,
    /// Replace all nodes of a pool, whatever they run; may be given several times
    #[arg(long, value_name = "CLUSTER/POOL", env = "REFIT_REPLACE", hide_env_values = true, value_delimiter = ',', value_parser = cluster_and_pool)]
    pub(crate) replace: Vec<(ClusterName, PoolName)>,
    /// Let a cluster go back to older versions, one minor at most; `*` stands for anything, of the
    /// clusters that are selected; may be given several times
    #[arg(
        long,
        value_name = "CLUSTER",
        env = "REFIT_DOWNGRADE",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub(crate) downgrade: Vec<String>,
    /// Take newer images of the same version for a change
    #[arg(long, env = "REFIT_REFRESH_IMAGES", value_parser = boolean, hide_env_values = true)]
    pub(crate) refresh_images: bool,
    /// The time to hold freezes and the ends of minors' maintenance against, as
    /// 2026-11-21T09:00:00Z; without it: when the clusters were looked at
    #[arg(long, value_name = "TIME", env = "REFIT_NOW", hide_env_values = true, value_parser = time)]
    pub(crate) now: Option<Timestamp>,
}

/// What a flag's variable may have. Empty is as good as not set: it is how CI systems unset one.
fn boolean(text: &str) -> Result<bool, String> {
    switch(text)
        .ok_or_else(|| "write 1, true, yes or on; or 0, false, no, off or nothing".to_owned())
}

/// Returns whether the text says yes or no; `None` if it says neither.
pub(crate) fn switch(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" | "" => Some(false),
        _ => None,
    }
}

fn number<const MIN: u32, const MAX: u32>(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (MIN..=MAX).contains(number));
    number.ok_or_else(|| format!("write a whole number from {MIN} to {MAX}"))
}

fn time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "write a date and time as `2026-11-21T09:00:00Z`".to_owned())
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn cluster_and_pool(text: &str) -> Result<(ClusterName, PoolName), String> {
    let (cluster, pool) = text.split_once('/').ok_or("write it as CLUSTER/POOL")?;
    Ok((
        cluster.parse().map_err(|error| format!("{error}"))?,
        pool.parse().map_err(|error| format!("{error}"))?,
    ))
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  refit plan                              look, plan, show
  refit plan -o next.plan --diff          save it, and show changed objects line by line
  refit plan --snapshot snapshot.json     without looking at any cluster
  refit plan --replace prod-eu-1/workers  roll a pool that needs no new version
  refit plan --cluster 'prod-*' --exclude prod-us-1
  refit plan --channel stable --wave 1    the canaries
  refit plan --label region=eu-west-1
  refit plan --downgrade prod-us-1        go back to what the files declare

Planning needs no lock and writes to no cluster. Exit code 3 means that a finding blocks a
cluster; the others are planned all the same.")]
pub(crate) struct PlanOptions {
    /// Save the plan, for `refit apply FILE`
    #[arg(short, long, value_name = "FILE", env = "REFIT_PLAN_OUTPUT", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Show what changes in the objects of add-ons, line by line
    #[arg(long, env = "REFIT_DIFF", value_parser = boolean, hide_env_values = true)]
    pub(crate) diff: bool,
    /// Exit with 2 when there are changes, 0 when there are none
    #[arg(long, env = "REFIT_DETAILED_EXITCODE", value_parser = boolean, hide_env_values = true)]
    pub(crate) detailed_exitcode: bool,
    #[command(flatten)]
    pub(crate) source: PlanSource,
    #[command(flatten)]
    pub(crate) format: FormatOption,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  refit clusters
  refit clusters --channel stable --wave 1
  refit clusters --snapshot snapshot.json --format json

It observes and plans as `refit plan` does, and writes nothing. A cluster that cannot be read, or that
a finding blocks, is listed like any other: the exit code is 0.")]
pub(crate) struct Clusters {
    #[command(flatten)]
    pub(crate) selecting: Selecting,
    #[command(flatten)]
    pub(crate) observing: Observing,
    #[command(flatten)]
    pub(crate) format: FormatOption,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  refit show next.plan
  refit show next.plan --format json
  refit show 20261102T091402-3f9a         a run that `refit history` lists")]
pub(crate) struct Show {
    /// A saved plan's file, or a run's id
    #[arg(value_name = "FILE|RUN", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) what: String,
    #[command(flatten)]
    pub(crate) format: FormatOption,
}

/// What a plan is made from, where it is not a saved one.
#[derive(Debug, Args)]
pub(crate) struct PlanSource {
    #[command(flatten)]
    pub(crate) planning: Planning,
    #[command(flatten)]
    pub(crate) observing: Observing,
}

/// How the clusters of a plan are seen.
#[derive(Debug, Args)]
pub(crate) struct Observing {
    /// Plan from a saved snapshot instead of looking
    #[arg(long, value_name = "FILE", env = "REFIT_SNAPSHOT", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub(crate) snapshot: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) reaching: Reaching,
    /// How many clusters to look at at once
    #[arg(long, value_name = "N", default_value_t = 10, env = "REFIT_OBSERVE_PARALLELISM", hide_env_values = true, value_parser = number::<1, 1000>)]
    pub(crate) parallelism: u32,
}

/// What decides what is planned, and says nothing where the plan is a saved one.
const DECIDES: [&str; 11] = [
    "snapshot",
    "replace",
    "downgrade",
    "refresh_images",
    "now",
    "cluster",
    "channel",
    "label",
    "wave",
    "exclude",
    "only",
];

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  refit explain prod-eu-1                 the cluster's way, its wave, what blocks it
  refit explain prod-eu-1/coredns         each action on a part: why, when, why this version
  refit explain 3f9a12 next.plan          one action of a saved plan, by the beginning of its id
  refit explain prod-eu-1/control-plane --format json

A part is a node pool, an add-on or `control-plane`. Without a plan it looks and plans as `refit
plan` does, and saves nothing. With a saved one it reads the files beside it, if they are those
that the plan was made from, to tell what was not chosen.")]
pub(crate) struct Explain {
    /// An action's id or the beginning of it, a cluster, or CLUSTER/PART
    #[arg(value_name = "ACTION|CLUSTER", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) what: String,
    /// A saved plan; without one, plans
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = DECIDES)]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) source: PlanSource,
    #[command(flatten)]
    pub(crate) format: FormatOption,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// For Graphviz
    Dot,
    /// For Markdown, in a block of the language `mermaid`
    Mermaid,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  refit graph | dot -Tsvg > plan.svg
  refit graph next.plan --format mermaid

An arrow leads from an action to one that waits for it, with the reason. `refit explain ACTION`
tells the rest: nodes carry the ids.")]
pub(crate) struct Graph {
    /// A saved plan; without one, plans
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = DECIDES)]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) source: PlanSource,
    /// The language to draw in
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "dot",
        env = "REFIT_GRAPH_FORMAT",
        hide_env_values = true
    )]
    pub(crate) format: GraphFormat,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  refit apply next.plan           carry out a saved plan; it was approved by being saved
  refit apply                     plan, ask, apply; goes on with a run that was interrupted
  refit apply --auto-approve      the same without asking, for CI

Ctrl-C once: finish the nodes that are being replaced, start nothing. Twice: put back what is
half done. Three times: leave at once. SIGTERM: leave within --grace. In every case the same
command goes on later.")]
pub(crate) struct Apply {
    /// A saved plan; without one, plans and asks
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    /// Do not ask
    #[arg(long, env = "REFIT_AUTO_APPROVE", value_parser = boolean, hide_env_values = true)]
    pub(crate) auto_approve: bool,
    #[command(flatten)]
    pub(crate) planning: Planning,
    #[command(flatten)]
    pub(crate) reaching: Reaching,
    /// How many actions may run at once
    #[arg(long, value_name = "N", default_value_t = 10, env = "REFIT_PARALLELISM", hide_env_values = true, value_parser = number::<1, 1000>)]
    pub(crate) parallelism: u32,
    /// How long to wait while another run holds the state store
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "0s",
        env = "REFIT_LOCK_TIMEOUT",
        hide_env_values = true
    )]
    pub(crate) lock_timeout: Period,
    /// Set damaged journals aside and go on without them: what their runs left half done is part of
    /// the new plan
    #[arg(long, env = "REFIT_SET_ASIDE_DAMAGED", value_parser = boolean, hide_env_values = true)]
    pub(crate) set_aside_damaged: bool,
    /// Write every event of the run to this file, one JSON object per line
    #[arg(long, value_name = "FILE", env = "REFIT_EVENTS", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub(crate) events: Option<PathBuf>,
    /// How long leaving may take after SIGTERM
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "8s",
        env = "REFIT_GRACE",
        hide_env_values = true
    )]
    pub(crate) grace: Period,
    /// How many times faster than real time a simulated fleet lives
    #[arg(long, value_name = "N", default_value_t = 1000, env = "REFIT_SIMULATION_SPEED", hide_env_values = true, value_parser = number::<1, 100_000>)]
    pub(crate) simulation_speed: u32,
}

impl Apply {
    pub(crate) fn lock_timeout(&self) -> Duration {
        self.lock_timeout.as_duration()
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  refit addons                            the catalogue, and what the fleet has
  refit addons cert-manager               every version, what is said of it, and where
  refit addons cert-manager --format json

The catalogue decides where an addon.toml gives no `kubernetes` range. It needs no fleet.")]
pub(crate) struct Addons {
    /// One add-on, by the name of its directory
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) format: FormatOption,
}

#[derive(Debug, Args)]
#[command(
    after_help = "It reads the journal only: it needs no lock, and can be asked while a run lives."
)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) format: FormatOption,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    #[command(flatten)]
    pub(crate) format: FormatOption,
}

#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct State {
    #[command(subcommand)]
    pub(crate) command: StateCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StateCommand {
    /// List runs, blobs and their sizes
    List(FormatOption),
    /// Show a run's journal, or a blob
    Show {
        /// A run's id, or at least six digits of a blob's digest
        #[arg(value_name = "RUN|DIGEST", value_parser = NonEmptyStringValueParser::new())]
        name: String,
    },
    /// Remove the journals of runs that ended long ago, and damaged ones that were set aside; those
    /// that have not ended stay
    #[command(after_help = "Examples:
  refit state prune --keep 90d
  refit state prune --keep-runs 50

`refit apply` keeps the newest 500 runs that have ended by itself.")]
    Prune(Prune),
    /// Remove what a dead process left of its lock; refuses while one holds it
    Unlock,
}

/// Which runs stay.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Prune {
    /// Keep the runs that ended within this time
    #[arg(long, value_name = "DURATION", env = "REFIT_KEEP", hide_env_values = true)]
    pub(crate) keep: Option<Period>,
    /// Keep so many runs, the newest
    #[arg(long, value_name = "N", env = "REFIT_KEEP_RUNS", hide_env_values = true, value_parser = number::<0, 1_000_000>)]
    pub(crate) keep_runs: Option<u32>,
}

#[cfg(feature = "aws")]
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  refit permissions kubernetes --group platform | kubectl apply -f -
  refit permissions kubernetes --to-plan --service-account ci/refit-plan
  refit permissions aws > policy.json"
)]
pub(crate) struct Permissions {
    #[command(subcommand)]
    pub(crate) command: PermissionsCommand,
}

#[cfg(feature = "aws")]
#[derive(Debug, Subcommand)]
pub(crate) enum PermissionsCommand {
    /// Print a ClusterRole and a Role with their bindings, for the add-ons of this fleet, as YAML
    Kubernetes {
        /// Only what observing and planning take
        #[arg(long, env = "REFIT_TO_PLAN", value_parser = boolean, hide_env_values = true)]
        to_plan: bool,
        /// Bind them to this user, by the name that authentication gives
        #[arg(long, value_name = "NAME", env = "REFIT_BIND_USER", hide_env_values = true, default_value = "refit", conflicts_with_all = ["group", "service_account"])]
        user: String,
        /// Bind them to this group of users
        #[arg(
            long,
            value_name = "NAME",
            env = "REFIT_BIND_GROUP",
            hide_env_values = true,
            conflicts_with = "service_account"
        )]
        group: Option<String>,
        /// Bind them to this service account
        #[arg(
            long,
            value_name = "NAMESPACE/NAME",
            env = "REFIT_BIND_SERVICE_ACCOUNT",
            hide_env_values = true
        )]
        service_account: Option<String>,
    },
    /// Print an IAM policy, as JSON
    Aws {
        /// Only what observing and planning take
        #[arg(long, env = "REFIT_TO_PLAN", value_parser = boolean, hide_env_values = true)]
        to_plan: bool,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  refit completions bash > /etc/bash_completion.d/refit")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  refit man | man -l -
  refit man --output /usr/local/share/man/man1")]
pub(crate) struct Man {
    /// Write one page per command into this directory
    #[arg(short, long, value_name = "DIR", env = "REFIT_MAN_OUTPUT", hide_env_values = true, value_hint = ValueHint::DirPath)]
    pub(crate) output: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn a_variable_has_one_meaning() {
        fn collect(command: &clap::Command, found: &mut BTreeMap<String, BTreeSet<String>>) {
            for argument in command.get_arguments() {
                if let Some(name) = argument.get_env().and_then(|name| name.to_str()) {
                    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                    found.entry(name.to_owned()).or_default().insert(help);
                }
            }
            command.get_subcommands().for_each(|command| collect(command, found));
        }
        let mut found = BTreeMap::new();
        collect(&super::Cli::command(), &mut found);
        for (name, meanings) in found {
            assert_eq!(meanings.len(), 1, "{name}: {meanings:?}");
        }
    }

    #[test]
    fn every_option_has_a_variable() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments() {
                let by_clap = ["help", "version"].contains(&argument.get_id().as_str());
                if !by_clap && argument.get_long().is_some() {
                    let variable = argument.get_env().and_then(|name| name.to_str()).unwrap_or("");
                    assert!(
                        variable.starts_with("REFIT_"),
                        "{} {}",
                        command.get_name(),
                        argument.get_id()
                    );
                }
            }
            command.get_subcommands().for_each(check);
        }
        check(&super::Cli::command());
    }
}
