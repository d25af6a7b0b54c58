//! `lictor kv`: reads and writes keys, one or many.
//!
//! `get`, `put` and `delete` are about keys by their text; `export` and `import` move whole trees, in Consul's form
//! (`entry`). Sentences and exit codes are those of Consul's command, for scripts look at them.

mod delete;
pub mod entry;
mod export;
mod get;
mod import;
mod put;

use std::{io, process::ExitCode};

use anyhow::bail;
use clap::Subcommand;

use crate::query::Query;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum KvCommand {
    /// Print the value of a key, or keys below a prefix
    Get(get::GetFlags),
    /// Write a key
    Put(put::PutFlags),
    /// Delete a key, or all below a prefix
    Delete(delete::DeleteFlags),
    /// Print all keys below a prefix as JSON
    Export(export::ExportFlags),
    /// Write the keys of such JSON
    Import(import::ImportFlags),
}

/// Does it.
///
/// # Errors
/// Wrong flags or data, or the agent could not be asked or refused.
pub async fn run(command: KvCommand, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    match command {
        KvCommand::Get(flags) => get::run(flags, out).await,
        KvCommand::Put(flags) => put::run(flags, out).await,
        KvCommand::Delete(flags) => delete::run(flags, out).await,
        KvCommand::Export(flags) => export::run(flags, out).await,
        KvCommand::Import(flags) => import::run(flags, out).await,
    }
}

/// The path of a key. A slash before it is the caller's habit, not the key's.
pub fn path(key: &str) -> Query {
    Query::of("/v1/kv", key.strip_prefix('/').unwrap_or(key))
}

/// A key that must be there.
fn named(key: &str) -> anyhow::Result<&str> {
    if key.is_empty() {
        bail!("Missing KEY argument");
    }
    Ok(key)
}
