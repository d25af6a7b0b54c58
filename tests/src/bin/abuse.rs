//! One that means harm, in full: a million names by DNS and by HTTP among all the rest. `abuse --names 1000000`.
//!
//! Prints how another client was answered meanwhile, and what the agent's memory and descriptors did. Exits with 1 if
//! something was wrong. The figures mean something in a release build on a machine that does nothing else.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a command")]

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use lictor_tests::abuse::{Plan, run};

/// Abuses an agent and looks at what becomes of it
#[derive(Parser)]
struct Arguments {
    /// So many names that are nobody's, by DNS and again by HTTP
    #[arg(long, default_value_t = 1_000_000)]
    names: u32,
    /// The most that half of another client's answers may take, in milliseconds
    #[arg(long, default_value_t = 20)]
    median_ms: u64,
    /// The most that memory may grow by, in MiB
    #[arg(long, default_value_t = 50)]
    growth_mib: u64,
}

fn main() -> ExitCode {
    let Arguments { names, median_ms, growth_mib } = Arguments::parse();
    let plan = Plan { names, median: Duration::from_millis(median_ms), growth: growth_mib << 20 };
    let wrong = run(plan, &|line| println!("{line}"));
    wrong.iter().for_each(|line| eprintln!("{line}"));
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
