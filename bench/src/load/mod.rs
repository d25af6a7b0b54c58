//! What asks: the load generators that everybody knows, and clients for what those cannot do.
//!
//! - [`dnsperf`] and [`wrk`] are run as they are; [`unbound`] answers beside Lictor as the yardstick of its DNS;
//! - [`callers`] are thousands of blocking HTTP queries on one thread; [`streams`] are the watch streams of hosts.

pub mod callers;
pub mod dnsperf;
pub mod streams;
pub mod unbound;
pub mod wrk;

use std::{process::Command, time::Duration};

use lictor_tests::{process::Process, wait};

use crate::supervise;

/// How long what is measured beside Lictor may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(10);

/// Waits until what was started answers.
pub fn wait_for(what: &str, process: &mut Process, answers: impl Fn() -> bool) {
    wait::until(&format!("{what} answers"), START_LIMIT, || {
        if let Some(status) = process.exit_status() {
            panic!("{what} ended: {status}: {}", process.log());
        }
        wait::ensure(answers(), || process.log())
    });
}

/// A command of a program that [`supervise::can_run`] has looked for.
fn command(program: &str) -> Command {
    Command::new(supervise::program(program).unwrap_or_else(|| program.into()))
}

/// Runs a command to its end and gives what it printed.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}: {text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}
