//! `lictor agent`: a server or a sidecar, until it is told to stop.

use std::process::ExitCode;

use lictor_shared::config::{AgentFlags, Config};

/// Runs the agent until a signal or `lictor leave` ends it.
///
/// # Errors
/// The configuration is wrong, a port is in use, or a part of the agent failed.
pub async fn run(flags: &AgentFlags) -> anyhow::Result<ExitCode> {
    let config = Config::load(flags)?;
    anyhow::bail!("{}: this build of lictor has no agent", config.node_name)
}
