//! `lictor demo`: the whole thing at work on this machine, step by step.
//!
//! Three servers, two sidecars and two instances of a service run as real processes of this same program on
//! loopback. `plan.rs` says who listens where, `process.rs` starts and ends them, `steps.rs` is what is shown and what must
//! hold, `report.rs` prints it. Whatever happens (a failed step, a signal), every process is ended and the
//! temporary directory removed before `run` returns.

mod dns;
mod failure;
mod lookups;
mod observe;
mod plan;
mod ports;
mod process;
mod report;
mod scratch;
mod steps;

use std::{io, process::ExitCode, time::Duration};

use anyhow::Context;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};

use crate::arguments::DemoFlags;
use failure::{Failure, NotYet};
use plan::Plan;
use process::Processes;
use report::Report;
use scratch::Scratch;

/// How long a step waits for one thing before it has failed.
const WAIT_LIMIT: Duration = Duration::from_secs(30);
/// From one look to the next while waiting.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Lines of a process's log that are printed when a step failed.
const LOG_TAIL_LINES: usize = 20;

/// What the steps work on.
struct Demo {
    plan: Plan,
    processes: Processes,
    report: Report,
}

impl Demo {
    /// Looks again and again until `look` has seen what `what` says.
    ///
    /// # Errors
    /// It was not seen within [`WAIT_LIMIT`], or a process ended by itself meanwhile.
    async fn wait_until<T>(
        &mut self,
        what: &str,
        mut look: impl AsyncFnMut(&Plan) -> Result<T, NotYet>,
    ) -> Result<T, Failure> {
        self.report.waiting(what)?;
        let deadline = Instant::now() + WAIT_LIMIT;
        loop {
            let not_yet = match look(&self.plan).await {
                Ok(seen) => return Ok(seen),
                Err(not_yet) => not_yet,
            };
            if let Some((process, status)) = self.processes.ended()? {
                return Err(Failure::Ended { process, status });
            }
            if Instant::now() >= deadline {
                return Err(Failure::TimedOut { what: what.into(), limit: WAIT_LIMIT, not_yet });
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

/// Runs the demo; with `-keep` until a signal.
///
/// # Errors
/// It could not begin: no temporary directory, no free ports. A failed step is printed and is the exit code.
pub async fn run(flags: DemoFlags) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let scratch =
        Scratch::new().context("cannot make a directory for the demo; set TMPDIR to one that can be written")?;
    let program = std::env::current_exe().context("cannot tell which program this is")?;
    let mut demo = Demo {
        plan: Plan::new(scratch.path()).context("cannot find free ports on loopback")?,
        processes: Processes::new(program, scratch.path()),
        report: Report::new(),
    };
    let outcome = tokio::select! {
        outcome = steps::run(&mut demo) => Some(outcome),
        () = signals.next() => None,
    };
    let told = tell(outcome, &mut demo, &mut signals, flags.keep).await;
    demo.processes.kill_all().await;
    // Not an `io::Error`: output that broke off is a failure of the demo, whoever read it.
    told.map_err(|error| anyhow::anyhow!("cannot print: {error}"))
}

/// Prints how it ended and gives the exit code; with `keep`, after a signal.
async fn tell(
    outcome: Option<Result<(), Failure>>,
    demo: &mut Demo,
    signals: &mut Signals,
    keep: bool,
) -> io::Result<ExitCode> {
    match outcome {
        None => demo.report.interrupted()?,
        Some(Err(failure)) => {
            let process = failure.process().map(str::to_string);
            let tail = process.map(|name| (name.clone(), demo.processes.log_tail(&name, LOG_TAIL_LINES)));
            demo.report.failed(failure, tail)?;
        }
        Some(Ok(())) => {
            demo.report.passed(keep)?;
            if keep {
                demo.report.addresses(&demo.plan, &demo.processes)?;
                signals.next().await;
            }
            return Ok(ExitCode::SUCCESS);
        }
    }
    Ok(ExitCode::FAILURE)
}

/// The signals that end the demo.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! { _ = self.interrupt.recv() => (), _ = self.terminate.recv() => (), _ = self.hangup.recv() => () }
    }
}
