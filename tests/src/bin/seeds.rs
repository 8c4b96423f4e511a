//! `cargo seeds [--tale TALE] [FROM [COUNT]]` tries many seeds, of one tale or of all;
//! `cargo seeds [--tale TALE] --seed N` tells one story.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use refit_tests::seeds::{Tale, Trouble, sweep, tell};

const USAGE: &str = "usage: cargo seeds [--tale up|on-delete|back|ahead] [FROM [COUNT] | --seed N]";

/// What is asked for.
struct Wish {
    tales: Vec<Tale>,
    seed: Option<u64>,
    from: u64,
    count: u64,
}

impl Wish {
    /// None where nobody can tell what is meant.
    fn of(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut wish = Self { tales: Tale::ALL.to_vec(), seed: None, from: 0, count: 2_000 };
        let mut numbers = Vec::new();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--tale" => {
                    let name = arguments.next()?;
                    wish.tales = vec![Tale::ALL.into_iter().find(|tale| tale.name() == name)?];
                }
                "--seed" => wish.seed = Some(arguments.next()?.parse().ok()?),
                number => numbers.push(number.parse::<u64>().ok()?),
            }
        }
        match numbers[..] {
            [] => {}
            [from] => wish.from = from,
            [from, count] => (wish.from, wish.count) = (from, count),
            _ => return None,
        }
        Some(wish)
    }
}

fn main() -> ExitCode {
    let mut out = std::io::stdout();
    let mut say = |text: String| writeln!(out, "{text}").is_ok();
    let Some(Wish { tales, seed, from, count }) = Wish::of(std::env::args().skip(1)) else {
        say(USAGE.to_owned());
        return ExitCode::from(64);
    };
    let mut code = ExitCode::SUCCESS;
    if let Some(seed) = seed {
        let tale = tales.first().copied().unwrap_or(Tale::Up);
        match tell(seed, tale, Trouble::of(seed), true) {
            Ok(story) => say(format!(
                "seed {seed}: {} actions, {} runs, {} crashes",
                story.actions, story.runs, story.crashes
            )),
            Err(wrong) => {
                code = ExitCode::FAILURE;
                say(format!("seed {seed}: {wrong}"))
            }
        };
        return code;
    }
    for tale in tales {
        let begun = Instant::now();
        let name = tale.name();
        let (told, failed) = sweep(from..from + count, tale);
        for (seed, wrong) in failed.iter().take(40) {
            say(format!("cargo seeds --tale {name} --seed {seed}    # {wrong}"));
        }
        let failed = failed.len() as u64;
        say(format!(
            "{name}: {} passed, {failed} failed, in {:.1} s",
            told - failed,
            begun.elapsed().as_secs_f64()
        ));
        if failed > 0 {
            code = ExitCode::FAILURE;
        }
    }
    code
}
