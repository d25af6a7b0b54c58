//! `lictor monitor`: an agent's log as it happens, until Ctrl-C or the agent's end.

use std::{io, process::ExitCode};

use anyhow::Context;
use clap::{ArgAction::Set, Args};

use crate::{
    arguments::go_bool,
    query::Query,
    target::{self, HttpFlags},
};

const EXAMPLES: &str = "\
Examples:
  What the agent of this host does:
    lictor monitor
  In detail, for a program:
    lictor monitor -log-level=debug -log-json";

/// Flags of `monitor`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub struct MonitorFlags {
    /// The least important lines to show: trace, debug, info, warn, error
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: String,
    /// A JSON object on each line
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    log_json: bool,
    #[command(flatten)]
    http: HttpFlags,
}

/// Prints the log. Ctrl-C ends it with success; the agent's end is exit code 1, as with Consul.
///
/// # Errors
/// The agent could not be asked, or `out` cannot be written to.
pub async fn run(flags: MonitorFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let query = Query::new("/v1/agent/monitor").pair("loglevel", &flags.log_level);
    let query = query.maybe("logjson", flags.log_json.then_some("true"));
    let mut log = target::agent(&flags.http)?.stream(query.as_str()).await.context("Error starting monitor")?;
    loop {
        let piece = tokio::select! {
            piece = log.next() => piece,
            stopped = tokio::signal::ctrl_c() => return Ok(stopped.map(|()| ExitCode::SUCCESS)?),
        };
        let Ok(Some(lines)) = piece else { break };
        out.write_all(&lines)?;
        out.flush()?;
    }
    writeln!(out, "\nRemote side ended the monitor! This usually means that the\nremote side has exited or crashed.")?;
    Ok(ExitCode::FAILURE)
}
