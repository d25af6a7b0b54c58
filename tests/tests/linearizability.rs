//! Keys are linearizable while servers are killed, paused and cut off. A longer campaign:
//! `cargo run --release -p lictor-tests --bin linearizability -- --seconds 60`.

#![allow(clippy::print_stderr, reason = "a test, also where it is not in a test function")]

use std::{env, time::Duration};

use lictor_tests::{
    linear::campaign,
    namespaces::{Entered, Network, enter},
};

/// How long things go wrong.
const DURATION: Duration = Duration::from_secs(15);
/// Fewer operations would show nothing.
const LEAST_OPERATIONS: usize = 100;

#[test]
fn keys_are_linearizable_whatever_fails() {
    let this = ["--exact", "keys_are_linearizable_whatever_fails", "--nocapture"];
    let network = match enter(this.map(Into::into)) {
        Entered::Inside => Some(Network::of(5)),
        Entered::Ran(status) => {
            assert!(status.success(), "inside namespaces: {status}");
            return;
        }
        Entered::Impossible(reason) => {
            eprintln!("nothing is cut off: {reason}");
            None
        }
    };
    let seed = rand::random();
    eprintln!("seed {seed}");
    let report = campaign::run(seed, DURATION, network.as_ref(), &env::temp_dir());
    eprintln!("{report}");
    assert!(report.violations.is_empty(), "seed {seed}: {report}");
    assert!(report.counts.iter().sum::<usize>() >= LEAST_OPERATIONS, "seed {seed}: too little was done");
}
