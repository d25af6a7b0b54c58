//! The `hello` command: reads its flags, serves, ends with 0 on SIGINT and SIGTERM and with 1 on an error.
//! The service itself is in `lib.rs`.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;

/// A TCP service that answers every line with `hello from INSTANCE: LINE`.
#[derive(Parser)]
#[command(name = "hello", version)]
struct Command {
    #[command(flatten)]
    options: hello::Options,
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
    match hello::run(command.options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "hello: {error:#}");
            ExitCode::FAILURE
        }
    }
}
