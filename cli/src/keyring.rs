//! `lictor keygen` and `lictor keyring`: the keys that gossip is encrypted with.

use std::{collections::BTreeMap, io, process::ExitCode};

use anyhow::{Context, bail};
use clap::{ArgAction::Set, Args};
use hyper::Method;
use lictor_shared::gossip::GossipKey;
use serde::Deserialize;

use crate::{
    arguments::go_bool,
    query::Query,
    target::{self, HttpFlags},
};

const PATH: &str = "/v1/operator/keyring";

const EXAMPLES: &str = "\
Examples:
  Change the key of a running cluster:
    NEW=$(lictor keygen)
    lictor keyring -install=$NEW
    lictor keyring -use=$NEW
    lictor keyring -remove=$OLD
  Each step is taken at every member, or at none where one is not ready for it. Members that are down meanwhile need
  the new key in their configuration before they come back, and so do sidecars without a data directory.";

/// Flags of `keyring`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub struct KeyringFlags {
    /// List the keys, and how many members have each
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    list: bool,
    /// Give all members a further key
    #[arg(long, value_name = "KEY")]
    install: Option<String>,
    /// Encrypt with this key, which is installed, from now on
    #[arg(long = "use", value_name = "KEY")]
    use_key: Option<String>,
    /// Take a key that is not encrypted with from all members
    #[arg(long, value_name = "KEY")]
    remove: Option<String>,
    /// List the keys of the asked agent alone
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    local_only: bool,
    /// Accepted for Consul's sake: members are asked directly
    #[arg(long, value_name = "N", hide = true)]
    relay_factor: Option<u8>,
    #[command(flatten)]
    http: HttpFlags,
}

/// The keys of one pool.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Pool {
    #[serde(rename = "WAN")]
    wan: bool,
    datacenter: String,
    keys: BTreeMap<String, usize>,
    #[serde(default)]
    primary_keys: BTreeMap<String, usize>,
    num_nodes: usize,
}

/// Prints a new key.
///
/// # Errors
/// The system gives no random bytes.
pub fn generate(out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    writeln!(out, "{}", GossipKey::generate()?.reveal())?;
    Ok(ExitCode::SUCCESS)
}

/// Lists or changes the keys.
///
/// # Errors
/// None or more than one thing to do, a text that is no key, or the agent could not be asked or refused.
pub async fn run(flags: KeyringFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let changes = [
        (Method::POST, flags.install, "Installing new gossip encryption key..."),
        (Method::PUT, flags.use_key, "Changing primary gossip encryption key..."),
        (Method::DELETE, flags.remove, "Removing gossip encryption key..."),
    ];
    let changes: Vec<_> = changes.into_iter().filter_map(|(method, key, what)| Some((method, key?, what))).collect();
    if changes.len() + usize::from(flags.list) != 1 {
        bail!("Give one of -list, -install, -use and -remove (see lictor keyring --help)");
    }
    if flags.local_only && !flags.list {
        bail!("-local-only goes with -list alone");
    }
    let agent = target::agent(&flags.http)?;
    if let Some((method, key, what)) = changes.into_iter().next() {
        let key = GossipKey::parse(&key)?.reveal();
        writeln!(out, "==> {what}")?;
        let body = serde_json::json!({ "Key": key }).to_string();
        agent.send(method, PATH, body).await.context("error")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "==> Gathering installed encryption keys...")?;
    let query = Query::new(PATH).maybe("local-only", flags.local_only.then_some("true"));
    let pools: Vec<Pool> = agent.get(query.as_str()).await.context("error")?;
    write!(out, "{}", listed(&pools))?;
    Ok(ExitCode::SUCCESS)
}

fn listed(pools: &[Pool]) -> String {
    let mut text = String::new();
    for pool in pools {
        let name = if pool.wan { "WAN".into() } else { format!("{} (LAN)", pool.datacenter) };
        text.push_str(&format!("\n{name}:\n"));
        for (key, count) in &pool.keys {
            let encrypts = pool.primary_keys.get(key).filter(|count| **count > 0);
            let encrypts = encrypts.map(|count| format!(" encrypts at {count}")).unwrap_or_default();
            text.push_str(&format!("  {key} [{count}/{}]{encrypts}\n", pool.num_nodes));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_listed_by_pool() {
        let pools = r#"[
            {"WAN": true, "Datacenter": "dc1", "Keys": {"a=": 3}, "PrimaryKeys": {"a=": 3}, "NumNodes": 3},
            {"WAN": false, "Datacenter": "dc1", "Keys": {"a=": 5, "b=": 4}, "PrimaryKeys": {"a=": 5}, "NumNodes": 5}
        ]"#;
        let pools: Vec<Pool> = serde_json::from_str(pools).unwrap();
        let expected = "\nWAN:\n  a= [3/3] encrypts at 3\n\ndc1 (LAN):\n  a= [5/5] encrypts at 5\n  b= [4/5]\n";
        assert_eq!(listed(&pools), expected);
    }

    #[test]
    fn a_new_key_is_one() {
        let mut out = Vec::new();
        generate(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(GossipKey::parse(&text).is_ok() && text.ends_with('\n'));
    }
}
