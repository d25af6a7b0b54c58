//! The `hello-client` command: reads its flags, writes what happens a line each, and at SIGINT or SIGTERM how many
//! calls were made and ends with 0. What it does is in `lib.rs`.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context;
use clap::Parser;
use hello_client::{Event, Options, run};
use tokio::signal::unix::{SignalKind, signal};

/// Calls every passing instance of a service in turn, and prints the instances as they come and go.
#[derive(Parser)]
#[command(name = "hello-client", version)]
struct Command {
    #[command(flatten)]
    options: Options,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let command = match Command::try_parse() {
        Ok(command) => command,
        Err(answer) => {
            // Nothing is left to do if the terminal is gone too.
            let _ = answer.print();
            return if answer.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match call_until_signal(&command.options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "hello-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn call_until_signal(options: &Options) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let stop = async {
        tokio::select! { _ = interrupt.recv() => (), _ = terminate.recv() => () }
    };
    let report = |event: Event| match event {
        event if event.is_detail() && !options.verbose => Ok(()),
        event if event.is_result() => write_line(&event),
        event => writeln!(io::stderr(), "hello-client: {event}"),
    };
    let counts = run(options, report, stop).await.context("output")?;
    write_line(&counts).context("output")
}

fn write_line(line: &impl std::fmt::Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}
