//! The command line of refit: arguments, terminal, exit codes, and nothing else.

mod apply;
mod arguments;
mod cli;
mod commands;
mod disk;
mod exit;
mod fleet;
mod output;
mod progress;
mod reach;
mod signals;
mod world;

use std::process::ExitCode;

use crate::arguments::Refused;
use crate::cli::{Cli, Command};
use crate::exit::{Exit, Failure};
use crate::output::Printer;

fn main() -> ExitCode {
    if let Some(exit) = commands::probe_index(std::env::args_os()) {
        return exit.into();
    }
    let cli = match arguments::parse() {
        Ok(cli) => cli,
        Err(Refused::Parser(error)) => {
            // Help and version are answers; everything else is wrong usage.
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            Printer::before_options(arguments::log_format()).parser(&error);
            return code.into();
        }
        Err(Refused::Failure(failure)) => {
            Printer::before_options(arguments::log_format()).failure(&failure);
            return failure.exit.into();
        }
    };
    let printer = Printer::new(&cli.global);
    match run(&cli, &printer) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            printer.failure(&failure);
            failure.exit.into()
        }
    }
}

fn run(cli: &Cli, printer: &Printer) -> Result<Exit, Failure> {
    let directory = &cli.global.chdir;
    match &cli.command {
        Command::Validate(options) => commands::validate(directory, options, printer),
        Command::Init(options) => commands::init(directory, options, printer),
        Command::Observe(options) => commands::observe(directory, options, printer),
        Command::Plan(options) => commands::plan(directory, options, printer),
        Command::Clusters(options) => commands::clusters(directory, options, printer),
        Command::Show(options) => commands::show(directory, options, printer),
        Command::Explain(options) => commands::explain(directory, options, printer),
        Command::Graph(options) => commands::graph(directory, options, printer),
        Command::Apply(options) => apply::apply(directory, options, printer),
        Command::Addons(options) => commands::addons(directory, options, printer),
        Command::Status(options) => commands::status(directory, options, printer),
        Command::History(options) => commands::history(directory, options, printer),
        Command::State(options) => commands::state(directory, options, printer),
        #[cfg(feature = "aws")]
        Command::Permissions(options) => commands::permissions(directory, options, printer),
        Command::Completions(options) => commands::completions(options, printer),
        Command::Man(options) => commands::man(options, printer),
    }
}
