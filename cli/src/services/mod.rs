//! `lictor services`: register and deregister services at an agent, by flags or by files.

mod deregister;
mod file;
mod register;

use std::{io, process::ExitCode};

use clap::Subcommand;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum ServicesCommand {
    /// Register services with the agent
    Register(register::RegisterFlags),
    /// Deregister services from the agent
    Deregister(deregister::DeregisterFlags),
}

/// Does it.
///
/// # Errors
/// Wrong flags or files, or the agent could not be asked or refused.
pub async fn run(command: ServicesCommand, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    match command {
        ServicesCommand::Register(flags) => register::run(flags, out).await,
        ServicesCommand::Deregister(flags) => deregister::run(flags, out).await,
    }
}
