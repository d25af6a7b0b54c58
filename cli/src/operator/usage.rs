//! `lictor operator usage`: how much is registered.

use std::{collections::BTreeMap, io, process::ExitCode};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Deserialize;

use crate::{
    query::Query,
    table::aligned,
    target::{self, HttpFlags},
};

/// What to count.
#[derive(Debug, Subcommand)]
pub enum UsageCommand {
    /// Services and their instances
    Instances(InstancesFlags),
}

/// Flags of `operator usage instances`.
#[derive(Args, Debug)]
pub struct InstancesFlags {
    #[command(flatten)]
    http: HttpFlags,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    usage: BTreeMap<String, Usage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Usage {
    services: usize,
    service_instances: usize,
    billable_service_instances: usize,
    nodes: usize,
}

/// Counts it.
///
/// # Errors
/// The agent could not be asked or refused.
pub async fn run(command: UsageCommand, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let UsageCommand::Instances(flags) = command;
    let query = Query::new("/v1/operator/usage").read(&flags.http);
    let answer: Answer =
        target::agent(&flags.http)?.get(query.as_str()).await.context("Error fetching usage information")?;
    let rows = answer.usage.into_iter().map(|(datacenter, usage)| {
        let counts = [usage.nodes, usage.services, usage.service_instances, usage.billable_service_instances];
        [datacenter].into_iter().chain(counts.map(|count| count.to_string())).collect()
    });
    let header = ["Datacenter", "Nodes", "Services", "Service instances", "Without servers' own"];
    write!(out, "{}", aligned(&header, rows))?;
    Ok(ExitCode::SUCCESS)
}
