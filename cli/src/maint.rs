//! `lictor maint`: takes this host, or one of its services, out of the answers and back; without flags: what is out.

use std::{collections::BTreeMap, io, process::ExitCode};

use anyhow::{Context, bail};
use clap::{ArgAction::Set, Args};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    arguments::go_bool,
    client::Agent,
    format::{FormatFlags, json},
    query::Query,
    target::{self, HttpFlags},
};

/// The check that keeps a node out of the answers.
const NODE_CHECK: &str = "_node_maintenance";
/// What begins the ID of one that keeps a service out.
const SERVICE_CHECK_PREFIX: &str = "_service_maintenance:";

const EXAMPLES: &str = "\
Examples:
  Take this host out of all DNS and health answers, and say why:
    lictor maint -enable -reason='new disk'
  And back:
    lictor maint -disable
  One instance alone:
    lictor maint -enable -service=web-1
  What is in maintenance here:
    lictor maint";

/// Flags of `maint`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub struct MaintFlags {
    /// Begin maintenance
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    enable: bool,
    /// End maintenance
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    disable: bool,
    /// Why, for those who see it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    /// ID of the instance that it is about, instead of the whole host
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    service: String,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    http: HttpFlags,
}

impl MaintFlags {
    fn contradiction(&self) -> Option<&'static str> {
        match (self.enable, self.disable) {
            (true, true) => Some("Only one of -enable or -disable may be provided"),
            (false, _) if !self.reason.is_empty() => Some("Reason may only be provided with -enable"),
            (false, false) if !self.service.is_empty() => Some("Service requires either -enable or -disable"),
            _ => None,
        }
    }
}

/// Begins, ends or lists maintenance.
///
/// # Errors
/// Flags that contradict each other; the agent could not be asked or refused.
pub async fn run(flags: MaintFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    if let Some(contradiction) = flags.contradiction() {
        bail!(contradiction);
    }
    let agent = target::agent(&flags.http)?;
    if !flags.enable && !flags.disable {
        let found = maintained(&agent).await?;
        let text = if flags.format.is_json() { json(&found)? } else { found.iter().map(Maintained::text).collect() };
        write!(out, "{text}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let (verb, state) = if flags.enable { ("enabling", "enabled") } else { ("disabling", "disabled") };
    let (query, kind) = match flags.service.as_str() {
        "" => (Query::new("/v1/agent/maintenance"), "node"),
        id => (Query::of("/v1/agent/service/maintenance", id), "service"),
    };
    let query = query.pair("enable", if flags.enable { "true" } else { "false" });
    let query = query.maybe("reason", flags.enable.then_some(flags.reason.as_str()));
    agent.put(query.as_str(), "").await.with_context(|| format!("Error {verb} {kind} maintenance"))?;
    match flags.service.as_str() {
        "" => writeln!(out, "Node maintenance is now {state}")?,
        id => writeln!(out, "Service maintenance is now {state} for {id:?}")?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The node or a service that is in maintenance.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Maintained {
    kind: &'static str,
    /// The node's name or the service's ID.
    name: String,
    reason: String,
}

impl Maintained {
    fn text(&self) -> String {
        let field = if self.kind == "Node" { "Name:  " } else { "ID:    " };
        format!("{}:\n  {field} {}\n  Reason: {}\n\n", self.kind, self.name, self.reason)
    }
}

/// A check as `/v1/agent/checks` says it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Check {
    notes: String,
    #[serde(rename = "ServiceID")]
    service_id: String,
}

async fn maintained(agent: &Agent) -> anyhow::Result<Vec<Maintained>> {
    let this: Value = agent.get("/v1/agent/self").await.context("Error querying Consul agent")?;
    let node = this["Config"]["NodeName"].as_str().unwrap_or_default();
    let checks: BTreeMap<String, Check> = agent.get("/v1/agent/checks").await.context("Error getting checks")?;
    Ok(of_checks(node, checks))
}

fn of_checks(node: &str, checks: BTreeMap<String, Check>) -> Vec<Maintained> {
    let found = checks.into_iter().filter_map(|(id, check)| match id.as_str() {
        NODE_CHECK => Some(Maintained { kind: "Node", name: node.into(), reason: check.notes }),
        id if id.starts_with(SERVICE_CHECK_PREFIX) => {
            Some(Maintained { kind: "Service", name: check.service_id, reason: check.notes })
        }
        _ => None,
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_maintenance_is_listed() {
        let checks = r#"{
            "_node_maintenance": {"Notes": "new disk", "ServiceID": ""},
            "_service_maintenance:web-1": {"Notes": "slow", "ServiceID": "web-1"},
            "service:web-1": {"Notes": "", "ServiceID": "web-1"}
        }"#;
        let text: String =
            of_checks("host-1", serde_json::from_str(checks).unwrap()).iter().map(Maintained::text).collect();
        let expected = "Node:\n  Name:   host-1\n  Reason: new disk\n\nService:\n  ID:     web-1\n  Reason: slow\n\n";
        assert_eq!(text, expected);
    }
}
