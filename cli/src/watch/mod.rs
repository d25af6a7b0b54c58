//! `lictor watch`: prints something, or hands it to a program or a server, at each change.
//!
//! `subject` is what is watched, `changes` asks the agent for it over and over, `handler` is what is done with it.
//! Without a handler the present state is printed and the command ends, as Consul's does.

mod changes;
mod handler;
mod subject;

use std::{io, process::ExitCode};

use anyhow::{Context, bail};
use clap::{ArgAction::Set, Args};
use serde_json::Value;

use self::{changes::Changes, handler::Handler, subject::Subject};
use crate::{
    arguments::go_bool,
    format::indented,
    target::{self, HttpFlags},
};

const EXAMPLES: &str = "\
Examples:
  The passing instances of web, once:
    lictor watch -type=service -service=web -passingonly=true
  A program at each change; it reads JSON from stdin, CONSUL_INDEX is the change's index:
    lictor watch -type=service -service=web /usr/local/bin/write-upstreams
  Without a shell between, so that each word is one argument:
    lictor watch -shell=false -type=checks -state=critical notify-team 'some check is critical'
  A POST to a server at each change, the index in X-Consul-Index:
    lictor watch -type=nodes -http-handler=http://127.0.0.1:9000/nodes
  Each event of that name:
    lictor watch -type=event -name=deploy /usr/local/bin/deploy

A program that fails ends the watch with exit code 1. An agent that goes away is asked again, at first after 5 seconds.";

/// Flags of `watch`.
#[derive(Args, Debug, Default)]
#[command(after_long_help = EXAMPLES)]
pub struct WatchFlags {
    /// What to watch: service, services, nodes, checks or event
    #[arg(long = "type", value_name = "KIND", default_value = "", hide_default_value = true)]
    kind: String,
    /// The service (service, checks)
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only instances with this tag; may be given several times (service)
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Only instances whose checks all pass (service)
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    passingonly: bool,
    /// Only checks in this state: passing, warning, critical or any (checks)
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Only events of this name (event)
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Only what this expression is true for (service, services, nodes, checks)
    #[arg(long, value_name = "EXPRESSION")]
    filter: Option<String>,
    #[arg(long, hide = true)]
    key: Option<String>,
    #[arg(long, hide = true)]
    prefix: Option<String>,
    /// Run the program with a shell
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "true")]
    shell: bool,
    /// Post each change to this address instead of running a program
    #[arg(long, value_name = "URL", conflicts_with = "program")]
    http_handler: Option<String>,
    /// The program to run at each change, with its arguments
    #[arg(value_name = "PROGRAM", trailing_var_arg = true)]
    program: Vec<String>,
    #[command(flatten)]
    http: HttpFlags,
}

/// Watches until Ctrl-C, or until the handler fails.
///
/// # Errors
/// Wrong flags; the agent cannot be asked at the start; the program fails.
pub async fn run(flags: WatchFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let subject = Subject::of(&flags)?;
    let handler = Handler::of(&flags)?;
    let agent = target::agent(&flags.http)?;
    // A wrong address is said at once, not tried for ever.
    agent.get::<Value>("/v1/agent/self").await.context("Error querying Consul agent")?;
    let mut changes = Changes::new(agent, subject);
    let watching = async {
        loop {
            let change = changes.next().await?;
            match &handler {
                None => return Ok(write!(out, "{}", indented(&change.document)?)?),
                Some(handler) => handler.handle(&change).await?,
            }
        }
    };
    tokio::select! {
        ended = watching => ended.map(|()| ExitCode::SUCCESS),
        stopped = tokio::signal::ctrl_c() => Ok(stopped.map(|()| ExitCode::SUCCESS)?),
    }
}

/// Refuses flags that the kind has no use for, so that nobody believes in a filter that is not applied.
fn refuse_others(kind: &str, flags: &WatchFlags, known: &[&str]) -> anyhow::Result<()> {
    let given = [
        ("service", flags.service.is_some()),
        ("tag", !flags.tag.is_empty()),
        ("passingonly", flags.passingonly),
        ("state", flags.state.is_some()),
        ("name", flags.name.is_some()),
        ("filter", flags.filter.is_some()),
        ("key", flags.key.is_some()),
        ("prefix", flags.prefix.is_some()),
    ];
    match given.iter().find(|(name, given)| *given && !known.contains(name)) {
        Some((name, _)) => bail!("-{name} means nothing with -type={kind} (see lictor watch --help)"),
        None => Ok(()),
    }
}
