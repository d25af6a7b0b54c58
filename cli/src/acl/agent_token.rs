//! `lictor acl set-agent-token`: what an agent shows for what it does by itself, set while it runs.

use std::{io, process::ExitCode};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::asked::Asked;
use crate::{data, query::Query, target::HttpFlags};

const EXAMPLES: &str = "\
Examples:
  For what the agent registers and looks up by itself:
    lictor acl set-agent-token agent SECRET
  For callers who show none, the secret from a file, so that it is in no list of processes:
    lictor acl set-agent-token default @secret.txt
  None any more:
    lictor acl set-agent-token default \"\"

It lasts until the agent ends, or longer with acl { enable_token_persistence = true } in its files.";

/// What a token of an agent is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Purpose {
    /// For callers who show none
    #[value(alias = "acl_token")]
    Default,
    /// For what the agent does by itself
    #[value(alias = "acl_agent_token")]
    Agent,
    /// Whoever shows it may always look at this agent
    #[value(aliases = ["master", "agent_master", "agent_recovery", "acl_agent_master_token"])]
    Recovery,
    /// For copies of another datacenter's tokens
    #[value(alias = "acl_replication_token")]
    Replication,
    /// For answers by DNS
    Dns,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Agent => "agent",
            Self::Recovery => "recovery",
            Self::Replication => "replication",
            Self::Dns => "dns",
        }
    }
}

/// Flags of `acl set-agent-token`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub struct SetFlags {
    /// What it is for
    #[arg(value_enum, value_name = "KIND")]
    purpose: Purpose,
    /// The secret; - for stdin, @FILE for a file's contents
    #[arg(value_name = "TOKEN", allow_hyphen_values = true)]
    secret: String,
    #[command(flatten)]
    http: HttpFlags,
}

/// Sets it.
///
/// # Errors
/// The secret cannot be read; the agent could not be asked or refused.
pub async fn run(flags: SetFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let secret = data::text(&flags.secret)?.trim().to_owned();
    if secret.is_empty() && !flags.secret.is_empty() {
        bail!("{} has no secret in it (to take the token away, give \"\")", flags.secret);
    }
    let name = flags.purpose.name();
    let asked = Asked::new(&flags.http)?;
    let set = asked.put(Query::of("/v1/agent/token", name), json!({ "Token": secret })).await;
    set.with_context(|| format!("Failed to set ACL token {name:?}"))?;
    writeln!(out, "ACL token {name:?} set successfully")?;
    Ok(ExitCode::SUCCESS)
}
