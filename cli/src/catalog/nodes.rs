//! `lictor catalog nodes`: the nodes of the catalog, or those that run a service, as Consul's table.

use std::{collections::BTreeMap, io, process::ExitCode};

use anyhow::Context;
use clap::{ArgAction::Set, Args};
use serde::{Deserialize, Serialize};

use super::nothing;
use crate::{
    arguments::go_bool,
    format::{FormatFlags, json},
    query::Query,
    table::aligned,
    target::{self, HttpFlags},
};

const EXAMPLES: &str = "\
Examples:
  All nodes, with the first part of their IDs:
    lictor catalog nodes
  Those that run the service web, the nearest to this host first:
    lictor catalog nodes -service=web -near=_agent
  By what is known about them:
    lictor catalog nodes -node-meta=rack=a7 -filter='Address != \"10.0.0.1\"'";

/// Flags of `catalog nodes`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub struct NodesFlags {
    /// The whole ID, tagged addresses and meta of each
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    detailed: bool,
    /// Only nodes that run this service
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Sorted by round-trip time from this node; _agent: from the agent that is asked
    #[arg(long, value_name = "NODE")]
    near: Option<String>,
    /// Only nodes with this meta pair; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = meta_pair)]
    node_meta: Vec<String>,
    /// Only nodes for which this expression is true
    #[arg(long, value_name = "EXPRESSION")]
    filter: Option<String>,
    #[command(flatten)]
    format: FormatFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// `KEY=VALUE` as the `node-meta` parameter has it.
pub fn meta_pair(text: &str) -> Result<String, &'static str> {
    crate::arguments::pair(text).map(|(key, value)| format!("{key}:{value}"))
}

/// A node, as `/v1/catalog/nodes` and `/v1/catalog/service/NAME` say it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    #[serde(rename = "ID", default)]
    id: String,
    node: String,
    address: String,
    #[serde(default)]
    datacenter: String,
    #[serde(default)]
    tagged_addresses: Option<BTreeMap<String, String>>,
    #[serde(default, alias = "NodeMeta")]
    meta: Option<BTreeMap<String, String>>,
}

impl Node {
    fn row(&self) -> Vec<String> {
        // The first part is enough to tell nodes apart by eye.
        let id = self.id.split('-').next().unwrap_or_default();
        [&self.node, id, &self.address, &self.datacenter].map(String::from).into()
    }

    fn detailed_row(&self) -> Vec<String> {
        let pairs = |map: &Option<BTreeMap<String, String>>| {
            let pairs = map.iter().flatten().map(|(key, value)| format!("{key}={value}"));
            pairs.collect::<Vec<_>>().join(", ")
        };
        let maps = [pairs(&self.tagged_addresses), pairs(&self.meta)];
        [&self.node, &self.id, &self.address, &self.datacenter, &maps[0], &maps[1]].map(String::from).into()
    }
}

/// Prints the nodes.
///
/// # Errors
/// The agent could not be asked, or refused the filter; or `out` cannot be written to.
pub async fn run(flags: NodesFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let (query, failure) = match &flags.service {
        Some(service) => (Query::of("/v1/catalog/service", service), "Error listing nodes for service"),
        None => (Query::new("/v1/catalog/nodes"), "Error listing nodes"),
    };
    let query = query.maybe("near", flags.near.as_deref()).each("node-meta", &flags.node_meta);
    let query = query.maybe("filter", flags.filter.as_deref()).read(&flags.http);
    let nodes: Option<Vec<Node>> = target::agent(&flags.http)?.get(query.as_str()).await.context(failure)?;
    let nodes = nodes.unwrap_or_default();
    let text = match (flags.format.is_json(), flags.detailed) {
        (true, _) => json(&nodes)?,
        (false, _) if nodes.is_empty() => return nothing("nodes"),
        (false, true) => {
            let header = ["Node", "ID", "Address", "DC", "TaggedAddresses", "Meta"];
            aligned(&header, nodes.iter().map(Node::detailed_row))
        }
        (false, false) => aligned(&["Node", "ID", "Address", "DC"], nodes.iter().map(Node::row)),
    };
    write!(out, "{text}")?;
    Ok(ExitCode::SUCCESS)
}
