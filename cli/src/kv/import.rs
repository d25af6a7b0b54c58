//! `lictor kv import`: writes the keys that `export` has printed.

use std::{io, process::ExitCode};

use anyhow::{Context, bail};
use base64::{Engine, prelude::BASE64_STANDARD};
use clap::Args;

use super::{entry::Exported, path};
use crate::{
    data,
    target::{self, HttpFlags},
};

const EXAMPLES: &str = "\
Examples:
  A tree from one datacenter to another, below another prefix:
    lictor kv export web/ > web.json
    lictor kv import -datacenter=dc2 -prefix=copies/ @web.json";

/// Flags of `kv import`.
#[derive(Args, Debug, Default)]
#[command(after_long_help = EXAMPLES)]
pub struct ImportFlags {
    /// The JSON; - for stdin, @FILE for a file's contents
    #[arg(value_name = "DATA", default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    data: String,
    /// Put this before each key
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    prefix: String,
    #[command(flatten)]
    http: HttpFlags,
}

/// Writes them, and says of each that it is written.
///
/// # Errors
/// No data, or none that was exported: then nothing is written. The agent could not be asked or refused.
pub async fn run(flags: ImportFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    if flags.data.is_empty() {
        bail!("Error! Missing DATA argument");
    }
    let entries: Vec<Exported> = serde_json::from_slice(&data::bytes(&flags.data)?).context("Cannot unmarshal data")?;
    let mut decoded = Vec::new();
    for entry in entries {
        let value = BASE64_STANDARD.decode(&entry.value);
        let value = value.with_context(|| format!("Error base 64 decoding value for key {}", entry.key))?;
        decoded.push((format!("{}{}", flags.prefix, entry.key), entry.flags, value));
    }
    let agent = target::agent(&flags.http)?;
    for (key, number, value) in decoded {
        let query = path(&key).pair("flags", &number.to_string()).in_datacenter(&flags.http);
        let written = agent.put(query.as_str(), value).await;
        written.with_context(|| format!("Error! Failed writing data for key {key}"))?;
        writeln!(out, "Imported: {key}")?;
    }
    Ok(ExitCode::SUCCESS)
}
