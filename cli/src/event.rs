//! `lictor event`: sends a named event, with a short payload, to all nodes or some of them.

use std::{io, process::ExitCode};

use anyhow::{Context, bail};
use clap::Args;
use regex::Regex;
use serde::Deserialize;

use crate::{
    query::Query,
    target::{self, HttpFlags},
};

const EXAMPLES: &str = "\
Examples:
  Tell everybody:
    lictor event -name=deploy 1.4.2
  Only the nodes that run web, and have that tag on it:
    lictor event -name=restart -service=web -tag=blue
  And on each host, what is to happen then:
    lictor watch -type=event -name=deploy /usr/local/bin/deploy";

/// Flags of `event`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub struct EventFlags {
    /// Name of the event
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    name: String,
    /// Only nodes whose name matches
    #[arg(long, value_name = "REGEX")]
    node: Option<String>,
    /// Only nodes with a service whose name matches
    #[arg(long, value_name = "REGEX")]
    service: Option<String>,
    /// Only nodes with a service that has a matching tag; goes with -service
    #[arg(long, value_name = "REGEX")]
    tag: Option<String>,
    /// What the event carries; at most some hundred bytes
    #[arg(value_name = "PAYLOAD")]
    payload: Option<String>,
    #[command(flatten)]
    http: HttpFlags,
}

/// The event as it was sent.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    #[serde(rename = "ID")]
    id: String,
}

/// Sends it and prints its ID.
///
/// # Errors
/// No name, a wrong filter, or the agent could not be asked or refused.
pub async fn run(flags: EventFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    if flags.name.is_empty() {
        bail!("Event name must be specified (see lictor event --help)");
    }
    for (of, filter) in [("node", &flags.node), ("service", &flags.service), ("tag", &flags.tag)] {
        if let Some(filter) = filter {
            Regex::new(filter).map_err(|_| anyhow::anyhow!("Failed to compile {of} filter regexp: {filter:?}"))?;
        }
    }
    if flags.tag.is_some() && flags.service.is_none() {
        bail!("Cannot provide tag filter without service filter.");
    }
    let query = Query::of("/v1/event/fire", &flags.name).maybe("node", flags.node.as_deref());
    let query = query.maybe("service", flags.service.as_deref()).maybe("tag", flags.tag.as_deref());
    let query = query.in_datacenter(&flags.http);
    let agent = target::agent(&flags.http)?;
    let answer = agent.put(query.as_str(), flags.payload.unwrap_or_default()).await.context("Error firing event")?;
    let event: Event = agent.decode(query.as_str(), &answer).context("Error firing event")?;
    writeln!(out, "Event ID: {}", event.id)?;
    Ok(ExitCode::SUCCESS)
}
