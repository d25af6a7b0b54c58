//! `lictor watch`: prints something, or hands it to a program or a server, at each change.
//!
//! Only the flags are here: what a watch is, the agent's own ones too, is in `lictor_shared::watch`. Without a handler
//! the present state is printed and the command ends, as Consul's does.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, anyhow};
use clap::{ArgAction::Set, Args};
use lictor_shared::{
    outbound::Outbound,
    watch::{Changes, Handler, HandlerError, Post, Seen, Source, Subject, WAIT_MINUTES, Wanted, shell},
};
use serde_json::Value;

use crate::{
    arguments::go_bool,
    client::Agent,
    format::indented,
    target::{self, HttpFlags},
};

/// How long an answer may take: the wait, a sixteenth of it (which agents add by chance), and some time to travel.
const ANSWER_LIMIT: Duration = Duration::from_secs(WAIT_MINUTES * 60 + 60);

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
  A program at each change below a prefix of keys; it reads null where there is none:
    lictor watch -type=keyprefix -prefix=web/ /usr/local/bin/configure
  Each event of that name:
    lictor watch -type=event -name=deploy /usr/local/bin/deploy

A program that fails ends the watch with exit code 1. An agent that goes away is asked again, at first after 5 seconds.";

/// Flags of `watch`.
#[derive(Args, Debug, Default)]
#[command(after_long_help = EXAMPLES)]
pub struct WatchFlags {
    /// What to watch: service, services, nodes, checks, key, keyprefix or event
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
    /// The key (key)
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// What the keys begin with (keyprefix)
    #[arg(long, value_name = "PREFIX")]
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

/// The command's way to ask: an agent, over a connection.
struct Asked(Agent);

impl Source for Asked {
    async fn get(&self, path: &str) -> Result<Seen, String> {
        let answer = self.0.find(path).await.map_err(|error| error.to_string())?;
        Ok(Seen { found: answer.found, index: answer.index, body: answer.body })
    }
}

/// Watches until Ctrl-C, or until the program fails.
///
/// # Errors
/// Wrong flags; the agent cannot be asked at the start; the program fails.
pub async fn run(flags: WatchFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let subject = Subject::of(&wanted(&flags)).map_err(|problem| anyhow!("-type={}: {problem}", flags.kind))?;
    let handler = handler(&flags)?;
    let agent = target::agent(&flags.http)?;
    // A wrong address is said at once, not tried for ever.
    agent.get::<Value>("/v1/agent/self").await.context("Error querying Consul agent")?;
    let mut changes = Changes::new(Asked(agent.with_limit(ANSWER_LIMIT)), subject);
    let outbound = Outbound::default();
    let watching = async {
        loop {
            let change = changes.next(complain).await;
            let handled = match &handler {
                None => return Ok(write!(out, "{}", indented(&change.document)?)?),
                Some(handler) => handler.handle_in_terminal(&change, &outbound).await,
            };
            match handled {
                // The server gets the next one.
                Err(error @ HandlerError::Server { .. }) => complain(error.to_string()),
                other => other?,
            }
        }
    };
    tokio::select! {
        ended = watching => ended.map(|()| ExitCode::SUCCESS),
        stopped = tokio::signal::ctrl_c() => Ok(stopped.map(|()| ExitCode::SUCCESS)?),
    }
}

/// Nothing is left to do where stderr is gone.
fn complain(sentence: String) {
    let _ = writeln!(io::stderr(), "{sentence}");
}

fn wanted(flags: &WatchFlags) -> Wanted {
    Wanted {
        kind: flags.kind.clone(),
        service: flags.service.clone(),
        tags: flags.tag.clone(),
        passing_only: flags.passingonly,
        state: flags.state.clone(),
        name: flags.name.clone(),
        filter: flags.filter.clone(),
        key: flags.key.clone(),
        prefix: flags.prefix.clone(),
        datacenter: flags.http.datacenter.clone(),
        stale: flags.http.stale,
        // It goes in a header.
        token: None,
    }
}

/// What the flags say is to be done; nothing if they name no handler.
fn handler(flags: &WatchFlags) -> anyhow::Result<Option<Handler>> {
    if let Some(url) = &flags.http_handler {
        let post = Post::to(url).map_err(|problem| anyhow!("-http-handler: {problem}"))?;
        return Ok(Some(Handler::Server(Box::new(post))));
    }
    match flags.program.as_slice() {
        [] => Ok(None),
        words if flags.shell => Ok(Some(Handler::Program(shell(words.join(" "))))),
        words => Ok(Some(Handler::Program(words.to_vec()))),
    }
}
