//! `lictor agent`: a server or a sidecar, until it is told to stop.

use std::process::ExitCode;

/// Runs the agent until a signal or `lictor leave` ends it.
///
/// # Errors
/// The configuration is wrong, a port is in use, or a part of the agent failed.
pub async fn run() -> anyhow::Result<ExitCode> {
    anyhow::bail!("this build of lictor has no agent")
}
