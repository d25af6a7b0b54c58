//! `join`, `leave`, `force-leave` and `reload`: one request each, and the sentence that Consul says.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context;

use crate::{
    arguments::{ForceLeaveFlags, HttpFlags, JoinFlags},
    client::segment,
    target,
};

/// Tells the agent to join each address; succeeds when it reached one.
///
/// # Errors
/// No address could be joined: a line for each of them.
pub async fn join(flags: JoinFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let agent = target::agent(&flags.http)?;
    let wan = if flags.wan { "?wan=1" } else { "" };
    let (mut joined, mut errors) = (0, Vec::new());
    for address in &flags.addresses {
        match agent.put(&format!("/v1/agent/join/{}{wan}", segment(address)), "").await {
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
    let prune = if flags.prune { "?prune=1" } else { "" };
    let path = format!("/v1/agent/force-leave/{}{prune}", segment(&flags.node));
    target::agent(&flags.http)?.put(&path, "").await.context("Error force leaving")?;
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
