//! `lictor kv delete`: one key, or all below a prefix.

use std::{io, process::ExitCode};

use anyhow::{Context, bail};
use clap::{ArgAction::Set, Args};

use super::{named, path};
use crate::{
    arguments::go_bool,
    target::{self, HttpFlags},
};

const EXAMPLES: &str = "\
Examples:
  A key:
    lictor kv delete web/limit
  Everything below a prefix:
    lictor kv delete -recurse web/
  Only if nobody has written it since its index was 42:
    lictor kv delete -cas -modify-index=42 web/limit";

/// Flags of `kv delete`.
#[derive(Args, Debug, Default)]
#[command(after_long_help = EXAMPLES)]
pub struct DeleteFlags {
    /// The key; with -recurse, what the keys begin with
    #[arg(value_name = "KEY", default_value = "", hide_default_value = true)]
    key: String,
    /// Delete only if its index is the one of -modify-index
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    cas: bool,
    /// The index that -cas compares
    #[arg(long, value_name = "INDEX", default_value_t = 0)]
    modify_index: u64,
    /// Delete all keys that begin with KEY
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    recurse: bool,
    #[command(flatten)]
    http: HttpFlags,
}

/// Deletes it. One that is not there is no error.
///
/// # Errors
/// Wrong flags; a condition that does not hold; the agent could not be asked or refused.
pub async fn run(flags: DeleteFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    if flags.recurse && flags.cas {
        bail!("Cannot specify both -cas and -recurse!");
    }
    if flags.cas && flags.modify_index == 0 {
        bail!("Must specify a -modify-index greater than 0 with -cas.");
    }
    let key = if flags.recurse { flags.key.as_str() } else { named(&flags.key)? };
    let query = if flags.recurse { path(key).pair("recurse", "") } else { path(key) };
    let query = if flags.cas { query.pair("cas", &flags.modify_index.to_string()) } else { query };
    let query = query.in_datacenter(&flags.http);
    let agent = target::agent(&flags.http)?;
    let answer = agent.delete(query.as_str()).await.with_context(|| format!("Error! Did not delete key {key}"))?;
    if !agent.decode::<bool>(query.as_str(), &answer)? {
        bail!("Error! Did not delete key {key}: CAS failed");
    }
    let what = if flags.recurse { "Deleted keys with prefix" } else { "Deleted key" };
    writeln!(out, "Success! {what}: {key}")?;
    Ok(ExitCode::SUCCESS)
}
