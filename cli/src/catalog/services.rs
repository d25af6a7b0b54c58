//! `lictor catalog services`: the names of the services, of all nodes or of one.

use std::{collections::BTreeMap, io, process::ExitCode};

use anyhow::Context;
use clap::{ArgAction::Set, Args};
use serde::Deserialize;

use super::{nodes::meta_pair, nothing};
use crate::{
    arguments::go_bool,
    format::{FormatFlags, json},
    query::Query,
    table,
    target::{self, HttpFlags},
};

/// Between a name and its tags.
const TAGS_GAP: &str = "      ";

const EXAMPLES: &str = "\
Examples:
  The names of all services:
    lictor catalog services
  With the tags of all their instances:
    lictor catalog services -tags
  Those on one node:
    lictor catalog services -node=web-1";

/// Flags of `catalog services`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub struct ServicesFlags {
    /// Only services of this node
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Only services of nodes with this meta pair; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = meta_pair)]
    node_meta: Vec<String>,
    /// The tags too
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    tags: bool,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// A node with its services, as `/v1/catalog/node/NAME` says it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NodeServices {
    services: Option<BTreeMap<String, NodeService>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NodeService {
    service: String,
    tags: Option<Vec<String>>,
}

/// Prints the names.
///
/// # Errors
/// The agent could not be asked, or `out` cannot be written to.
pub async fn run(flags: ServicesFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let services = find(&flags).await?;
    let text = match (flags.format.is_json(), flags.tags) {
        (true, _) => json(&services)?,
        (false, _) if services.is_empty() => return nothing("services"),
        (false, true) => {
            let rows: Vec<Vec<String>> = services.into_iter().map(|(name, tags)| vec![name, tags.join(",")]).collect();
            table::lines(&rows, TAGS_GAP)
        }
        (false, false) => services.into_keys().map(|name| name + "\n").collect(),
    };
    write!(out, "{text}")?;
    Ok(ExitCode::SUCCESS)
}

/// The tags by service, sorted.
async fn find(flags: &ServicesFlags) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let agent = target::agent(&flags.http)?;
    let query = match &flags.node {
        Some(node) => Query::of("/v1/catalog/node", node),
        None => Query::new("/v1/catalog/services"),
    };
    let query = query.each("node-meta", &flags.node_meta).read(&flags.http);
    let mut services: BTreeMap<String, Vec<String>> = BTreeMap::new();
    if flags.node.is_some() {
        let node: Option<NodeServices> = agent.get(query.as_str()).await.context("Error listing services for node")?;
        for service in node.and_then(|node| node.services).unwrap_or_default().into_values() {
            services.entry(service.service).or_default().extend(service.tags.unwrap_or_default());
        }
    } else {
        services = agent.get(query.as_str()).await.context("Error listing services")?;
    }
    for tags in services.values_mut() {
        tags.sort_unstable();
        tags.dedup();
    }
    Ok(services)
}
