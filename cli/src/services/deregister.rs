//! `lictor services deregister`: one service by its ID, or those of files.

use std::{io, path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use clap::Args;

use super::file;
use crate::{
    query::Query,
    target::{self, HttpFlags},
};

const EXAMPLES: &str = "\
Examples:
  By ID:
    lictor services deregister -id=web-1
  All services of a file:
    lictor services deregister web.json";

/// Flags of `services deregister`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub struct DeregisterFlags {
    /// Files with services, in JSON or (.hcl) in HCL
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// ID of the instance
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    http: HttpFlags,
}

/// Deregisters each service and says so.
///
/// # Errors
/// Neither files nor an ID, or both; a wrong file; the agent could not be asked or knows no such service.
pub async fn run(flags: DeregisterFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let ids = match (flags.files.is_empty(), flags.id) {
        (true, None) => bail!("Service deregistration requires at least one argument or -id."),
        (false, Some(_)) => bail!("Service deregistration requires arguments or -id, not both."),
        (true, Some(id)) => vec![id],
        (false, None) => file::services(&flags.files)?.into_iter().map(|service| service.id).collect(),
    };
    let agent = target::agent(&flags.http)?;
    for id in ids {
        let query = Query::of("/v1/agent/service/deregister", &id);
        agent.put(query.as_str(), "").await.with_context(|| format!("Error deregistering service {id:?}"))?;
        writeln!(out, "Deregistered service: {id}")?;
    }
    Ok(ExitCode::SUCCESS)
}
