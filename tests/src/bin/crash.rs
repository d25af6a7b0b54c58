//! Crash safety, as many rounds as one likes: `crash --rounds 50 --seed N`.
//!
//! Prints the seed and a line for each round. Exits with 1 at the first round after which something acknowledged is lost,
//! something is done twice, or two servers differ. In debug builds servers also end at named points of their code.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a command")]

use std::process::ExitCode;

use clap::Parser;
use lictor_tests::crash::rounds;

/// Kills servers under load and checks that nothing acknowledged is lost and nothing is done twice
#[derive(Parser)]
struct Arguments {
    /// How often
    #[arg(long, default_value_t = 50)]
    rounds: usize,
    /// What the crashes are chosen by; a random one by default
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(rand::random);
    println!("seed {seed}");
    match rounds::run(arguments.rounds, seed, &|line| println!("{line}")) {
        Ok(acknowledged) => {
            println!("{} rounds: all of {acknowledged} acknowledged writes are there, once", arguments.rounds);
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            eprintln!("{wrong}");
            ExitCode::FAILURE
        }
    }
}
