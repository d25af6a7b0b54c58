//! `lictor snapshot restore`: puts what a file holds in the place of the registry.

use std::{io, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Args;
use tokio::fs::File;

use super::TRANSFER_LIMIT;
use crate::{
    query::Query,
    target::{self, HttpFlags},
};

/// Flags of `snapshot restore`.
#[derive(Args, Debug, Default)]
pub struct RestoreFlags {
    /// A file that `snapshot save` has written
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    http: HttpFlags,
}

/// Restores it. The servers check it before anything changes.
///
/// # Errors
/// The file cannot be read or is refused, or the agent could not be asked.
pub async fn run(flags: RestoreFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let agent = target::agent(&flags.http)?.with_limit(TRANSFER_LIMIT);
    let file = File::open(&flags.file).await;
    let file = file.with_context(|| format!("Error opening snapshot file {}", flags.file.display()))?;
    let query = Query::new("/v1/snapshot").in_datacenter(&flags.http);
    agent.put_file(query.as_str(), file).await.context("Error restoring snapshot")?;
    writeln!(out, "Restored snapshot")?;
    Ok(ExitCode::SUCCESS)
}
