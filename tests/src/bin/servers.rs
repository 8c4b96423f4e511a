//! `cargo servers` builds the servers that the tests need, and says where they are.
//! `cargo servers up [FIXTURE...]` starts a cluster to play with: three instances of the control
//! plane, a pool of three nodes. It ends with a line on standard input, or with this process.

use std::io::Write;
use std::process::ExitCode;

use refit_tests::real::{Error, Pool, RealCluster, Spec, servers};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.split_first() {
        None => build(),
        Some((up, fixtures)) if up == "up" => play(fixtures),
        Some(_) => {
            say("usage: cargo servers [up [FIXTURE...]]");
            return ExitCode::from(64);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "{error}"));
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Error> {
    let servers = servers().map_err(|error| Error::World(error.to_string()))?;
    say(&format!("{servers:#?}"));
    Ok(())
}

fn play(fixtures: &[String]) -> Result<(), Error> {
    let spec = Spec::new("play").pool(Pool::new("general"));
    let spec = fixtures.iter().fold(spec, |spec, fixture| spec.fixture(fixture));
    let cluster = RealCluster::start(&spec)?;
    say(&format!("export KUBECONFIG={}", cluster.kubeconfig.display()));
    for (name, value) in cluster.aws_environment() {
        say(&format!("export {name}={value}"));
    }
    say(&format!("# process {}", cluster.process_id()));
    // Also when there is nothing to read: the end of the input.
    drop(std::io::stdin().read_line(&mut String::new()));
    Ok(())
}

fn say(text: &str) {
    drop(writeln!(std::io::stdout(), "{text}"));
}
