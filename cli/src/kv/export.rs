//! `lictor kv export`: all keys below a prefix, as JSON that `import` takes.

use std::{io, process::ExitCode};

use clap::Args;

use super::{
    entry::{Exported, entries},
    path,
};
use crate::{
    format::indented,
    target::{self, HttpFlags},
};

/// Flags of `kv export`.
#[derive(Args, Debug, Default)]
pub struct ExportFlags {
    /// What the keys begin with; all of them where it is left out
    #[arg(value_name = "PREFIX", default_value = "", hide_default_value = true)]
    prefix: String,
    #[command(flatten)]
    http: HttpFlags,
}

/// Prints them.
///
/// # Errors
/// The agent could not be asked or refused.
pub async fn run(flags: ExportFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let agent = target::agent(&flags.http)?;
    let query = path(&flags.prefix).pair("recurse", "").read(&flags.http);
    let found = entries(&agent, &query).await?;
    let exported: Vec<Exported> = found
        .into_iter()
        .map(|entry| Exported { value: entry.encoded().into(), flags: entry.flags, key: entry.key })
        .collect();
    write!(out, "{}", indented(&serde_json::to_vec(&exported)?)?)?;
    Ok(ExitCode::SUCCESS)
}
