//! `lictor operator`: who the servers are, who leads, how they are kept. Sentences are those of Consul's command.

mod autopilot;
mod raft;
mod usage;

use std::{io, process::ExitCode};

use clap::Subcommand;

/// What to look after.
#[derive(Debug, Subcommand)]
pub enum OperatorCommand {
    /// How the servers are kept: configuration and state
    #[command(subcommand)]
    Autopilot(autopilot::AutopilotCommand),
    /// The servers in Raft
    #[command(subcommand)]
    Raft(raft::RaftCommand),
    /// How much is registered
    #[command(subcommand)]
    Usage(usage::UsageCommand),
}

/// Does it.
///
/// # Errors
/// Wrong flags, or the agent could not be asked or refused.
pub async fn run(command: OperatorCommand, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    match command {
        OperatorCommand::Autopilot(command) => autopilot::run(command, out).await,
        OperatorCommand::Raft(command) => raft::run(command, out).await,
        OperatorCommand::Usage(command) => usage::run(command, out).await,
    }
}
