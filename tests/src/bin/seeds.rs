//! `cargo seeds [FROM [COUNT]]` tries many seeds; `cargo seeds --seed N` tells one's story.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use refit_tests::seeds::{Trouble, sweep, tell};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<u64>().ok());
    let mut out = std::io::stdout();
    let mut say = |text: String| writeln!(out, "{text}").is_ok();
    let begun = Instant::now();
    if arguments.first().map(String::as_str) == Some("--seed") {
        let Some(seed) = number(1) else {
            say("usage: cargo seeds --seed N".to_owned());
            return ExitCode::from(64);
        };
        return match tell(seed, Trouble::of(seed), true) {
            Ok(story) => {
                say(format!(
                    "seed {seed}: {} actions, {} runs, {} crashes",
                    story.actions, story.runs, story.crashes
                ));
                ExitCode::SUCCESS
            }
            Err(wrong) => {
                say(format!("seed {seed}: {wrong}"));
                ExitCode::FAILURE
            }
        };
    }
    let from = number(0).unwrap_or(0);
    let count = number(1).unwrap_or(2_000);
    let (told, failed) = sweep(from..from + count);
    for (seed, wrong) in failed.iter().take(40) {
        say(format!("seed {seed}: {wrong}"));
    }
    let failed_count = failed.len() as u64;
    say(format!(
        "{} passed, {failed_count} failed, in {:.1} s; replay one with `cargo seeds --seed N`",
        told - failed_count,
        begun.elapsed().as_secs_f64()
    ));
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
