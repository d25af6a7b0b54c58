//! `lictor operator autopilot`: how the servers are kept.

use std::{collections::BTreeMap, io, process::ExitCode};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    arguments::{self, go_bool},
    format::{FormatFlags, indented},
    query::Query,
    table,
    target::{self, HttpFlags},
};

const CONFIGURATION: &str = "/v1/operator/autopilot/configuration";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum AutopilotCommand {
    /// Print the configuration
    GetConfig(GetFlags),
    /// Change some of the configuration
    SetConfig(SetFlags),
    /// Print how the servers are
    State(StateFlags),
}

/// Flags of `operator autopilot get-config`.
#[derive(Args, Debug)]
pub struct GetFlags {
    #[command(flatten)]
    http: HttpFlags,
}

/// Flags of `operator autopilot set-config`. What is not given stays as it is.
#[derive(Args, Debug)]
pub struct SetFlags {
    /// Whether servers that are gone for good are removed
    #[arg(long, value_parser = go_bool, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    cleanup_dead_servers: Option<bool>,
    /// How long a healthy server may not have answered the leader
    #[arg(long, value_name = "DURATION")]
    last_contact_threshold: Option<String>,
    /// How many log entries a healthy server may lack
    #[arg(long, value_name = "NUMBER")]
    max_trailing_logs: Option<u64>,
    /// How many voting servers are left at least when dead ones are removed
    #[arg(long, value_name = "NUMBER")]
    min_quorum: Option<u32>,
    /// How long a new server must be healthy
    #[arg(long, value_name = "DURATION")]
    server_stabilization_time: Option<String>,
    /// Kept for Consul's enterprise edition
    #[arg(long, value_parser = go_bool, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    disable_upgrade_migration: Option<bool>,
    /// Kept for Consul's enterprise edition
    #[arg(long, value_name = "TAG")]
    redundancy_zone_tag: Option<String>,
    /// Kept for Consul's enterprise edition
    #[arg(long, value_name = "TAG")]
    upgrade_version_tag: Option<String>,
    #[command(flatten)]
    http: HttpFlags,
}

/// Flags of `operator autopilot state`.
#[derive(Args, Debug)]
pub struct StateFlags {
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// Does it.
///
/// # Errors
/// Wrong flags, or the agent could not be asked or refused.
pub async fn run(command: AutopilotCommand, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    match command {
        AutopilotCommand::GetConfig(flags) => get(&flags, out).await,
        AutopilotCommand::SetConfig(flags) => set(flags, out).await,
        AutopilotCommand::State(flags) => state(&flags, out).await,
    }
}

/// The names of the configuration, in the order in which they are printed.
const NAMES: [&str; 8] = [
    "CleanupDeadServers",
    "LastContactThreshold",
    "MaxTrailingLogs",
    "MinQuorum",
    "ServerStabilizationTime",
    "RedundancyZoneTag",
    "DisableUpgradeMigration",
    "UpgradeVersionTag",
];

async fn get(flags: &GetFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let query = Query::new(CONFIGURATION).read(&flags.http);
    let answer = target::agent(&flags.http)?.get::<Value>(query.as_str()).await;
    let configuration = answer.context("Error querying Autopilot configuration")?;
    for name in NAMES {
        match &configuration[name] {
            Value::String(text) if name.ends_with("Tag") => writeln!(out, "{name} = {text:?}")?,
            Value::String(text) => writeln!(out, "{name} = {text}")?,
            value => writeln!(out, "{name} = {value}")?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn set(flags: SetFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let agent = target::agent(&flags.http)?;
    for (name, text) in [
        ("last-contact-threshold", &flags.last_contact_threshold),
        ("server-stabilization-time", &flags.server_stabilization_time),
    ] {
        arguments::duration(name, text.as_deref())?;
    }
    let query = Query::new(CONFIGURATION).in_datacenter(&flags.http);
    let present = agent.get::<Value>(query.as_str()).await.context("Error querying Autopilot configuration")?;
    let given = [
        ("CleanupDeadServers", flags.cleanup_dead_servers.map(Value::from)),
        ("LastContactThreshold", flags.last_contact_threshold.map(Value::from)),
        ("MaxTrailingLogs", flags.max_trailing_logs.map(Value::from)),
        ("MinQuorum", flags.min_quorum.map(Value::from)),
        ("ServerStabilizationTime", flags.server_stabilization_time.map(Value::from)),
        ("RedundancyZoneTag", flags.redundancy_zone_tag.map(Value::from)),
        ("DisableUpgradeMigration", flags.disable_upgrade_migration.map(Value::from)),
        ("UpgradeVersionTag", flags.upgrade_version_tag.map(Value::from)),
    ];
    let mut wanted = json!({});
    for (name, value) in given {
        wanted[name] = value.unwrap_or_else(|| present[name].clone());
    }
    // Only if nobody else has changed it meanwhile.
    let query = query.pair("cas", &present["ModifyIndex"].to_string());
    let answer =
        agent.put(query.as_str(), wanted.to_string()).await.context("Error setting Autopilot configuration")?;
    if answer.trim_ascii() != b"true" {
        writeln!(out, "Configuration could not be atomically updated, please try again")?;
        return Ok(ExitCode::FAILURE);
    }
    writeln!(out, "Configuration updated!")?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    healthy: bool,
    failure_tolerance: i64,
    optimistic_failure_tolerance: i64,
    servers: BTreeMap<String, Server>,
    leader: String,
    voters: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Server {
    name: String,
    address: String,
    version: String,
    status: String,
    node_type: String,
    node_status: String,
    healthy: bool,
    last_contact: String,
    last_term: u64,
    last_index: u64,
    meta: Option<BTreeMap<String, String>>,
}

async fn state(flags: &StateFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let query = Query::new("/v1/operator/autopilot/state").read(&flags.http);
    let agent = target::agent(&flags.http)?;
    let answer = agent.ask(query.as_str()).await.context("Error querying Autopilot state")?;
    if flags.format.is_json() {
        write!(out, "{}", indented(&answer.body)?)?;
    } else {
        write!(out, "{}", text(&agent.decode(query.as_str(), &answer.body)?))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(state: &State) -> String {
    let head = [
        ("Healthy:", state.healthy.to_string()),
        ("Failure Tolerance:", state.failure_tolerance.to_string()),
        ("Optimistic Failure Tolerance:", state.optimistic_failure_tolerance.to_string()),
        ("Leader:", state.leader.clone()),
    ];
    let mut text = lines("", head);
    text.push_str("Voters:\n");
    text.extend(state.voters.iter().map(|voter| format!("   {voter}\n")));
    text.push_str("\nServers:\n");
    for (id, server) in &state.servers {
        let rows = [
            ("Name:", server.name.clone()),
            ("Address:", server.address.clone()),
            ("Version:", server.version.clone()),
            ("Status:", server.status.clone()),
            ("Node Type:", server.node_type.clone()),
            ("Node Status:", server.node_status.clone()),
            ("Healthy:", server.healthy.to_string()),
            ("Last Contact:", server.last_contact.clone()),
            ("Last Term:", server.last_term.to_string()),
            ("Last Index:", server.last_index.to_string()),
        ];
        text.push_str(&format!("   {id}\n{}", lines("      ", rows)));
        if let Some(meta) = server.meta.as_ref().filter(|meta| !meta.is_empty()) {
            text.push_str("      Meta\n");
            text.extend(meta.iter().map(|(key, value)| format!("         {key:?}: {value:?}\n")));
        }
    }
    text
}

fn lines<const N: usize>(indent: &str, rows: [(&str, String); N]) -> String {
    let rows = rows.map(|(name, value)| vec![format!("{indent}{name}"), value]);
    table::lines(&rows, " ")
}
