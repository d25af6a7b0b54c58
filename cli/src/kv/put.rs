//! `lictor kv put`: writes one key.

use std::{io, process::ExitCode};

use anyhow::{Context, bail};
use base64::{Engine, prelude::BASE64_STANDARD};
use clap::{ArgAction::Set, Args};

use super::{named, path};
use crate::{
    arguments::go_bool,
    data,
    target::{self, HttpFlags},
};

const EXAMPLES: &str = "\
Examples:
  A value, that of a file, that of a program:
    lictor kv put web/limit 5
    lictor kv put web/config @config.json
    make-config | lictor kv put web/config -
  Only if nobody has written it since its index was 42 (0: only if it is not there):
    lictor kv put -cas -modify-index=42 web/limit 6
  The lock of a session, and back:
    lictor kv put -acquire -session=ID web/leader host-1
    lictor kv put -release -session=ID web/leader";

/// Flags of `kv put`.
#[derive(Args, Debug, Default)]
#[command(after_long_help = EXAMPLES)]
pub struct PutFlags {
    /// The key
    #[arg(value_name = "KEY", default_value = "", hide_default_value = true)]
    key: String,
    /// The value; - for stdin, @FILE for a file's contents
    #[arg(value_name = "DATA", default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    data: String,
    /// The value is given in Base64
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    base64: bool,
    /// Write only if its index is the one of -modify-index
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    cas: bool,
    /// The index that -cas compares; 0: it is not there
    #[arg(long, value_name = "INDEX", default_value_t = 0)]
    modify_index: u64,
    /// A number that is kept with the key
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    flags: u64,
    /// Take the key's lock for the session
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    acquire: bool,
    /// Give the key's lock up
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    release: bool,
    /// The session that -acquire and -release are about
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    #[command(flatten)]
    http: HttpFlags,
}

/// Writes it.
///
/// # Errors
/// Wrong flags or data; a condition that does not hold; the agent could not be asked or refused.
pub async fn run(flags: PutFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let key = named(&flags.key)?;
    if flags.session.is_some() && !(flags.acquire || flags.release) {
        bail!("Error! Cannot specify -session without one of -acquire or -release");
    }
    if (flags.acquire || flags.release) && flags.session.is_none() {
        bail!("Error! Missing -session (required with -acquire and -release)");
    }
    let given = data::bytes(&flags.data)?;
    let value =
        if flags.base64 { BASE64_STANDARD.decode(&given).context("Error! Cannot base 64 decode data")? } else { given };
    let mut query = path(key);
    if flags.flags != 0 {
        query = query.pair("flags", &flags.flags.to_string());
    }
    let session = flags.session.as_deref().unwrap_or_default();
    let (query, failed, done) = match (flags.cas, flags.acquire, flags.release) {
        (true, false, false) => {
            let query = query.pair("cas", &flags.modify_index.to_string());
            (query, format!("Error! Did not write to {key}: CAS failed"), "Data written to")
        }
        (false, true, false) => {
            (query.pair("acquire", session), format!("Error! Did not acquire lock on {key}"), "Lock acquired on")
        }
        (false, false, true) => {
            (query.pair("release", session), format!("Error! Did not release lock on {key}"), "Lock released on")
        }
        (false, false, false) => (query, format!("Error! Did not write to {key}"), "Data written to"),
        _ => bail!("Error! -cas, -acquire and -release exclude each other"),
    };
    let agent = target::agent(&flags.http)?;
    let query = query.in_datacenter(&flags.http);
    let answer =
        agent.put(query.as_str(), value).await.with_context(|| format!("Error! Failed writing data to {key}"))?;
    if !agent.decode::<bool>(query.as_str(), &answer)? {
        bail!(failed);
    }
    writeln!(out, "Success! {done}: {key}")?;
    Ok(ExitCode::SUCCESS)
}
