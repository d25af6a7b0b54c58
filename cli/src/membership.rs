//! `join`, `leave`, `force-leave` and `reload`: one request each, and the sentence that Consul says.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context;
use clap::{ArgAction::Set, Args, builder::NonEmptyStringValueParser};

use crate::{
    arguments::go_bool,
    query::Query,
    target::{self, HttpFlags},
};

const JOIN_EXAMPLES: &str = "\
Examples:
  Meet the cluster that 10.0.0.1 is in (its gossip port is 8301 unless you say another):
    lictor join 10.0.0.1 10.0.0.2:8301
  An agent that should always find its way is better started with -retry-join.";

/// Flags of `join`.
#[derive(Args, Debug)]
#[command(after_long_help = JOIN_EXAMPLES)]
pub struct JoinFlags {
    /// Join the servers of another datacenter
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    pub wan: bool,
    /// Addresses of members of that cluster
    #[arg(value_name = "ADDRESS", required = true, value_parser = NonEmptyStringValueParser::new())]
    pub addresses: Vec<String>,
    #[command(flatten)]
    pub http: HttpFlags,
}

/// Flags of `force-leave`.
#[derive(Args, Debug)]
pub struct ForceLeaveFlags {
    /// Forget the member altogether
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    pub prune: bool,
    /// The member is one of the servers of all datacenters: NODE.DATACENTER
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    pub wan: bool,
    /// Name of the member
    #[arg(value_name = "NODE", value_parser = NonEmptyStringValueParser::new())]
    pub node: String,
    #[command(flatten)]
    pub http: HttpFlags,
}

/// Tells the agent to join each address; succeeds when it reached one.
///
/// # Errors
/// No address could be joined: a line for each of them.
pub async fn join(flags: JoinFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let agent = target::agent(&flags.http)?;
    let (mut joined, mut errors) = (0, Vec::new());
    for address in &flags.addresses {
        let query = Query::of("/v1/agent/join", address).maybe("wan", flags.wan.then_some("1"));
        match agent.put(query.as_str(), "").await {
            Ok(_) => joined += 1,
            Err(error) => errors.push(format!("Error joining address '{address}': {error}")),
        }
    }
    if joined == 0 {
        errors.push("Failed to join any nodes.".into());
        anyhow::bail!(errors.join("\n"));
    }
    for error in errors {
        writeln!(io::stderr(), "{error}")?;
    }
    writeln!(out, "Successfully joined cluster by contacting {joined} nodes.")?;
    Ok(ExitCode::SUCCESS)
}

/// Tells the agent to leave its cluster and stop.
///
/// # Errors
/// The agent could not be asked, or could not leave.
pub async fn leave(flags: HttpFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    target::agent(&flags)?.put("/v1/agent/leave", "").await.context("Error leaving")?;
    writeln!(out, "Graceful leave complete")?;
    Ok(ExitCode::SUCCESS)
}

/// Makes a failed member a left one. Says nothing when it is done, as Consul does.
///
/// # Errors
/// The agent could not be asked, or knows no such member.
pub async fn force_leave(flags: ForceLeaveFlags) -> anyhow::Result<ExitCode> {
    let query = Query::of("/v1/agent/force-leave", &flags.node).maybe("prune", flags.prune.then_some("1"));
    let query = query.maybe("wan", flags.wan.then_some("1"));
    target::agent(&flags.http)?.put(query.as_str(), "").await.context("Error force leaving")?;
    Ok(ExitCode::SUCCESS)
}

/// Tells the agent to read its files again.
///
/// # Errors
/// The agent could not be asked, or a file is wrong: then nothing was changed.
pub async fn reload(flags: HttpFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    target::agent(&flags)?.put("/v1/agent/reload", "").await.context("Error reloading")?;
    writeln!(out, "Configuration reload triggered")?;
    Ok(ExitCode::SUCCESS)
}
