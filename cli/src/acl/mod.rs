//! `lictor acl`, `lictor login`, `lictor logout`: tokens, and what they allow.
//!
//! The names of commands and flags, the labels of what is printed and the exit codes are Consul's, for scripts look at
//! them. Where an ID is asked for, its beginning will do if no other has it ([`find`]). A change of something that is there
//! reads it, changes what was said and writes it back whole, so that what was not said stays.
//!
//! No error has a secret in it. How rights are decided is no matter of this place: see the agents' `acl`.

mod agent_token;
mod asked;
mod auth_method;
mod binding_rule;
mod bootstrap;
mod find;
mod grants;
mod login;
mod policy;
mod role;
mod row;
mod show;
mod sink;
mod token;

use std::{io, process::ExitCode};

use anyhow::bail;
use clap::Subcommand;

pub use self::login::{LoginFlags, LogoutFlags, login, logout};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum AclCommand {
    /// Make the first token, which allows everything
    Bootstrap(bootstrap::BootstrapFlags),
    /// Rules, by name
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Policies and identities, by one name
    #[command(subcommand)]
    Role(role::RoleCommand),
    /// What callers show
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Give the agent a token for what it does by itself
    SetAgentToken(agent_token::SetFlags),
    /// Who else is trusted to say who somebody is
    #[command(subcommand)]
    AuthMethod(auth_method::AuthMethodCommand),
    /// What those get who log in
    #[command(subcommand)]
    BindingRule(binding_rule::BindingRuleCommand),
}

/// Does it.
///
/// # Errors
/// Wrong flags or data, or the agent could not be asked or refused.
pub async fn run(command: AclCommand, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    match command {
        AclCommand::Bootstrap(flags) => bootstrap::run(flags, out).await,
        AclCommand::Policy(command) => policy::run(command, out).await,
        AclCommand::Role(command) => role::run(command, out).await,
        AclCommand::Token(command) => token::run(command, out).await,
        AclCommand::SetAgentToken(flags) => agent_token::run(flags, out).await,
        AclCommand::AuthMethod(command) => auth_method::run(command, out).await,
        AclCommand::BindingRule(command) => binding_rule::run(command, out).await,
    }
}

fn required<'a>(text: Option<&'a str>, flag: &str) -> anyhow::Result<&'a str> {
    match text {
        Some(text) if !text.is_empty() => Ok(text),
        _ => bail!("Missing required '{flag}' flag"),
    }
}
