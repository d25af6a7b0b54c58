//! A million keys: what snapshots, restarts and a new server cost. `large --keys 1000000`.
//!
//! Prints a table. Exits with 1 if something is lost, or a write waited longer than the limit while a snapshot was made,
//! sent or installed. The figures mean something in a release build on a machine that does nothing else.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a command")]

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use lictor_tests::large::steps::{self, Plan};

/// Fills three servers with keys and measures snapshots, restarts and a new server
#[derive(Parser)]
struct Arguments {
    /// So many keys, of 100 bytes each
    #[arg(long, default_value_t = 1_000_000)]
    keys: usize,
    /// So many of Raft's own snapshots are waited for
    #[arg(long, default_value_t = 3)]
    builds: usize,
    /// The longest that a write may wait while a snapshot is made, sent or installed, in milliseconds
    #[arg(long, default_value_t = 200)]
    limit_ms: u64,
}

fn main() -> ExitCode {
    let Arguments { keys, builds, limit_ms } = Arguments::parse();
    match steps::run(Plan { keys, snapshots: None, builds }, &|line| println!("{line}")) {
        Ok(longest) if longest <= Duration::from_millis(limit_ms) => {
            println!("the longest pause with a snapshot: {longest:.1?}");
            ExitCode::SUCCESS
        }
        Ok(longest) => {
            eprintln!("a write waited {longest:.1?} because of a snapshot; the limit is {limit_ms} ms");
            ExitCode::FAILURE
        }
        Err(wrong) => {
            eprintln!("{wrong}");
            ExitCode::FAILURE
        }
    }
}
