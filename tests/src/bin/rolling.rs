//! Rolling restarts of servers under load: `cargo run --release -p lictor-tests --bin rolling -- --rounds 50`.
//!
//! Prints a line for each restart. Exits with 1 when a lookup failed, an acknowledged write is lost, or writes stood still
//! for two seconds.

#![allow(clippy::print_stdout, reason = "it is a command")]

use std::process::ExitCode;

use clap::Parser;
use lictor_tests::rolling::{self, LONGEST_STALL};

/// Restarts servers one after the other while a sidecar is asked and written to
#[derive(Parser)]
struct Arguments {
    /// How often each of the three
    #[arg(long, default_value_t = 50)]
    rounds: usize,
}

fn main() -> ExitCode {
    let report = rolling::run(Arguments::parse().rounds, LONGEST_STALL, &|line| println!("{line}"));
    println!("{report}");
    ExitCode::from(u8::from(!report.wrong.is_empty()))
}
