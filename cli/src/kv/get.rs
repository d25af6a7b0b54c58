//! `lictor kv get`: one key, the keys below a prefix, or all that is below it.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::bail;
use clap::{ArgAction::Set, Args};

use super::{
    entry::{Entry, entries},
    named, path,
};
use crate::{
    arguments::go_bool,
    table,
    target::{self, HttpFlags},
};

const EXAMPLES: &str = "\
Examples:
  The value of a key, as it is:
    lictor kv get web/limit
  When it was written, by whom it is locked:
    lictor kv get -detailed web/limit
  Everything below a prefix, a line each:
    lictor kv get -recurse web/
  The keys of one level:
    lictor kv get -keys -separator=/ web/";

/// Flags of `kv get`.
#[derive(Args, Debug, Default)]
#[command(after_long_help = EXAMPLES)]
pub struct GetFlags {
    /// The key; a prefix with -keys and -recurse
    #[arg(value_name = "KEY", default_value = "", hide_default_value = true)]
    key: String,
    /// Print values in Base64
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    base64: bool,
    /// Print all that is known of each key
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    detailed: bool,
    /// Print the keys below the prefix
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    keys: bool,
    /// Print the keys below the prefix with their values
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    recurse: bool,
    /// With -keys, up to the next such text after the prefix
    #[arg(long, value_name = "TEXT", default_value = "/")]
    separator: String,
    #[command(flatten)]
    http: HttpFlags,
}

/// Prints it.
///
/// # Errors
/// No key; nothing has that key; the agent could not be asked or refused.
pub async fn run(flags: GetFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let agent = target::agent(&flags.http)?;
    let query = if flags.keys || flags.recurse { path(&flags.key) } else { path(named(&flags.key)?) };
    if flags.keys {
        let query = query.pair("keys", "").pair("separator", &flags.separator).read(&flags.http);
        let answer = agent.find(query.as_str()).await?;
        let keys: Vec<String> = if answer.found { agent.decode(query.as_str(), &answer.body)? } else { Vec::new() };
        keys.iter().try_for_each(|key| writeln!(out, "{key}"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let query = if flags.recurse { query.pair("recurse", "") } else { query };
    let found = entries(&agent, &query.read(&flags.http)).await?;
    if !flags.recurse {
        let Some(entry) = found.first() else { bail!("Error! No key exists at: {}", flags.key) };
        if flags.detailed {
            return print_all(&flags, entry, out);
        }
        out.write_all(&value(&flags, entry)?)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    for (number, entry) in found.iter().enumerate() {
        if flags.detailed {
            print_all(&flags, entry, out)?;
            if number + 1 < found.len() {
                writeln!(out)?;
            }
            continue;
        }
        write!(out, "{}:", entry.key)?;
        out.write_all(&value(&flags, entry)?)?;
        writeln!(out)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn value(flags: &GetFlags, entry: &Entry) -> anyhow::Result<Vec<u8>> {
    if flags.base64 { Ok(entry.encoded().into()) } else { entry.value() }
}

fn print_all(flags: &GetFlags, entry: &Entry, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let session = entry.session.as_deref().filter(|session| !session.is_empty()).unwrap_or("-");
    let rows: Vec<Vec<String>> = [
        ("CreateIndex", entry.create_index.to_string()),
        ("Flags", entry.flags.to_string()),
        ("Key", entry.key.clone()),
        ("LockIndex", entry.lock_index.to_string()),
        ("ModifyIndex", entry.modify_index.to_string()),
        ("Session", session.into()),
        ("Value", String::from_utf8_lossy(&value(flags, entry)?).into_owned()),
    ]
    .map(|(name, value)| vec![name.into(), value])
    .into();
    write!(out, "{}", table::lines(&rows, "      "))?;
    Ok(ExitCode::SUCCESS)
}
