//! A campaign for linearizability as long as one likes: `linearizability --seconds 60 --seed N`.
//!
//! Prints the seed, the faults, the counts and the verdict. Exits with 1 if the history is not linearizable; the histories
//! of the keys in question are then in `--directory`. The agents' data is in the directory for temporary files: with `TMPDIR` on a
//! file system in memory, more is done in the same time.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a command")]

use std::{env, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use lictor_tests::{
    linear::campaign,
    namespaces::{Entered, Network, enter},
};

/// Checks that keys are linearizable while servers are killed, paused and cut off
#[derive(Parser)]
struct Arguments {
    /// How long things go wrong
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// What the requests and the faults are chosen by; a random one by default
    #[arg(long)]
    seed: Option<u64>,
    /// Where histories of keys that are not linearizable are written
    #[arg(long, default_value_os_t = env::temp_dir())]
    directory: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let network = match enter(env::args_os().skip(1)) {
        Entered::Inside => Some(Network::of(5)),
        Entered::Ran(status) => return ExitCode::from(u8::from(!status.success())),
        Entered::Impossible(reason) => {
            eprintln!("nothing is cut off: {reason}");
            None
        }
    };
    let seed = arguments.seed.unwrap_or_else(rand::random);
    println!("seed {seed}");
    let duration = Duration::from_secs(arguments.seconds);
    let report = campaign::run(seed, duration, network.as_ref(), &arguments.directory);
    println!("{report}");
    ExitCode::from(u8::from(!report.violations.is_empty()))
}
