//! The command line and the environment, read strictly: whatever refit does not know is an error,
//! because a misspelled option or variable would otherwise change the whole fleet.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};

use clap::{ArgAction, CommandFactory, FromArgMatches};

use crate::cli::{self, Cli, LogFormat};
use crate::exit::{Exit, Failure};

/// What every variable of refit begins with.
const PREFIX: &str = "REFIT_";

/// Variables of options that only a refit with the feature `aws` has.
const OF_AWS: [&str; 6] = [
    "REFIT_BIND_GROUP",
    "REFIT_BIND_SERVICE_ACCOUNT",
    "REFIT_BIND_USER",
    "REFIT_FROM_AWS",
    "REFIT_FROM_CONTEXT",
    "REFIT_TO_PLAN",
];

/// Variables of refit's own build and tests, which may be set while a refit is started.
const OF_DEVELOPERS: [&str; 3] = ["REFIT_CACHE", "REFIT_KEEP_REAL", "REFIT_NO_REAL"];
const OF_TESTS: &str = "REFIT_TEST_";

/// Variables that earlier versions had, and what took their place.
const RENAMED: [(&str, &str); 1] = [(
    "REFIT_OUTPUT",
    "each command has its own: `REFIT_PLAN_OUTPUT`, `REFIT_OBSERVE_OUTPUT` or `REFIT_MAN_OUTPUT`",
)];

/// Why a command line cannot be used.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The parser's words; help and version are among them.
    Parser(clap::Error),
    /// Ours.
    Failure(Failure),
}

/// Parses the command line of this process.
///
/// # Errors
/// When it is wrong usage, or asks for help.
pub(crate) fn parse() -> Result<Cli, Refused> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let command = without_switched_off(Cli::command());
    if let Some(failure) = single_dash(&arguments, &command) {
        return Err(Refused::Failure(failure));
    }
    let known = variables(&command);
    let matches = command.try_get_matches_from(arguments).map_err(Refused::Parser)?;
    let cli = Cli::from_arg_matches(&matches).map_err(Refused::Parser)?;
    let set = std::env::vars_os().map(|(name, _)| name);
    match unknown_variable(set, &known) {
        Some(failure) => Err(Refused::Failure(failure)),
        None => Ok(cli),
    }
}

/// Returns how messages are to be written when the command line as a whole cannot be used.
pub(crate) fn log_format() -> LogFormat {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let given = arguments.windows(2).any(|pair| pair[0] == "--log-format" && pair[1] == "json")
        || arguments.iter().any(|argument| argument == "--log-format=json");
    let set = std::env::var_os("REFIT_LOG_FORMAT").is_some_and(|value| value == "json");
    if given || set { LogFormat::Json } else { LogFormat::Text }
}

/// Takes variables away from flags that they switch off: the parser takes any variable that is set
/// for a flag that is given, which conflicts with others.
fn without_switched_off(command: clap::Command) -> clap::Command {
    command.mut_subcommands(without_switched_off).mut_args(|argument| {
        let is_flag = matches!(argument.get_action(), ArgAction::SetTrue);
        let value = argument.get_env().and_then(std::env::var_os);
        let is_off = value.as_deref().and_then(OsStr::to_str).and_then(cli::switch) == Some(false);
        if is_flag && is_off { argument.env(None::<&'static str>) } else { argument }
    })
}

/// The variables of all options. Of a flag that is switched off, the parser does not know it.
fn variables(command: &clap::Command) -> BTreeSet<String> {
    fn collect(command: &clap::Command, found: &mut BTreeSet<String>) {
        let own = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str());
        found.extend(own.map(str::to_owned));
        command.get_subcommands().for_each(|command| collect(command, found));
    }
    let mut found: BTreeSet<String> = OF_AWS.iter().map(|name| (*name).to_owned()).collect();
    collect(command, &mut found);
    collect(&Cli::command(), &mut found);
    found
}

/// A variable that looks like one of refit's and is none.
fn unknown_variable(
    set: impl Iterator<Item = OsString>,
    known: &BTreeSet<String>,
) -> Option<Failure> {
    let mut unknown: Vec<String> = set
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.starts_with(PREFIX))
        .filter(|name| !known.contains(name))
        .filter(|name| !OF_DEVELOPERS.contains(&name.as_str()) && !name.starts_with(OF_TESTS))
        .collect();
    unknown.sort();
    let name = unknown.first()?;
    let text = format!("the environment variable `{name}` is not one of refit's; nothing was done");
    let failure = Failure::new(Exit::Usage, text);
    let renamed = RENAMED.iter().find(|(old, _)| old == name);
    let short = |name| str::strip_prefix(name, PREFIX).unwrap_or(name);
    let nearest = refit_config::nearest(short(name), known.iter().map(|name| short(name)));
    Some(match (renamed, nearest) {
        (Some((_, now)), _) => failure.hint(now),
        (None, Some(nearest)) => failure.hint(format!("did you mean `{PREFIX}{nearest}`?")),
        (None, None) => failure.hint("unset it; `refit COMMAND --help` names the variables"),
    })
}

/// An option with a long name and one dash, as Terraform and the flags of Go have them: `-out=x`
/// would else be `-o` with the value `ut=x`.
fn single_dash(arguments: &[OsString], command: &clap::Command) -> Option<Failure> {
    let mut long = BTreeSet::new();
    long_options(command, &mut long);
    let options = arguments.iter().skip(1).map(|argument| argument.to_string_lossy());
    for option in options.take_while(|option| *option != "--") {
        let Some(body) = option.strip_prefix('-').filter(|body| !body.starts_with('-')) else {
            continue;
        };
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (body, None),
        };
        let right = match name {
            "out" => "-o".to_owned(),
            name if name.chars().count() > 1 && long.contains(name) => format!("--{name}"),
            _ => continue,
        };
        let text = format!("`{option}`: options with long names begin with two dashes");
        let right = match value {
            Some(value) => format!("{right} {value}"),
            None => right,
        };
        return Some(Failure::new(Exit::Usage, text).hint(format!("write `{right}`")));
    }
    None
}

fn long_options(command: &clap::Command, found: &mut BTreeSet<String>) {
    let own = command.get_arguments().filter_map(|argument| argument.get_long());
    found.extend(own.map(str::to_owned));
    command.get_subcommands().for_each(|command| long_options(command, found));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(arguments: &[&str]) -> Option<String> {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        single_dash(&arguments, &Cli::command()).map(|failure| failure.hints.join("; "))
    }

    #[test]
    fn one_dash_before_a_long_name_is_told() {
        let hint = |option| hint(&["refit", "plan", option]);
        assert_eq!(hint("-out=x.plan").as_deref(), Some("write `-o x.plan`"));
        assert_eq!(hint("-out").as_deref(), Some("write `-o`"));
        assert_eq!(hint("-auto-approve").as_deref(), Some("write `--auto-approve`"));
        assert_eq!(hint("-format=json").as_deref(), Some("write `--format json`"));
        for fine in ["-o", "-oout.plan", "-o=out", "--out", "-q", "-", "--output=x", "out"] {
            assert_eq!(hint(fine), None, "{fine}");
        }
        assert_eq!(super::tests::hint(&["refit", "show", "--", "-out"]), None);
    }

    #[test]
    fn unknown_variables_are_told_with_the_nearest() {
        let known = variables(&Cli::command());
        let failure = |name: &str| unknown_variable([OsString::from(name)].into_iter(), &known);
        let hints = |name: &str| failure(name).map(|failure| failure.hints.join("; "));
        assert_eq!(hints("REFIT_CLUSTRE").as_deref(), Some("did you mean `REFIT_CLUSTER`?"));
        assert!(hints("REFIT_OUTPUT").unwrap().contains("`REFIT_PLAN_OUTPUT`"));
        assert!(hints("REFIT_XYZ").is_some());
        for fine in ["REFIT_CLUSTER", "REFIT_NO_REAL", "REFIT_TO_PLAN", "REFIT_TEST_SEED", "HOME"] {
            assert_eq!(hints(fine), None, "{fine}");
        }
    }
}
