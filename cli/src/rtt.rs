//! `lictor rtt`: the round-trip time between two nodes, estimated from their network coordinates.

use std::{io, process::ExitCode};

use anyhow::{Context, anyhow, bail};
use clap::{ArgAction::Set, Args};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    arguments::go_bool,
    client::Agent,
    query::Query,
    target::{self, HttpFlags},
};

const EXAMPLES: &str = "\
Examples:
  From this host's agent to another node:
    lictor rtt web-1
  Between two nodes:
    lictor rtt web-1 db-1
  Between servers of two datacenters:
    lictor rtt -wan server-1.dc1 server-1.dc2

Nothing is measured now: agents learn their coordinates from the gossip between them, within some minutes.";

/// Flags of `rtt`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub struct RttFlags {
    /// Between servers, by the coordinates of the WAN pool; names are NODE.DATACENTER
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    wan: bool,
    /// One node or two; the agent's own node is the other one
    #[arg(value_name = "NODE")]
    nodes: Vec<String>,
    #[command(flatten)]
    http: HttpFlags,
}

/// A node's place in the network, in seconds (Vivaldi; Dabek et al., SIGCOMM 2004).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Coordinate {
    vec: Vec<f64>,
    adjustment: f64,
    height: f64,
}

impl Coordinate {
    /// Seconds from here to there and back; nothing if the two are not of the same space.
    fn distance(&self, other: &Self) -> Option<f64> {
        if self.vec.len() != other.vec.len() {
            return None;
        }
        let squares = self.vec.iter().zip(&other.vec).map(|(one, two)| (one - two).powi(2));
        let distance = squares.sum::<f64>().sqrt() + self.height + other.height;
        let adjusted = distance + self.adjustment + other.adjustment;
        Some(if adjusted > 0.0 { adjusted } else { distance })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    node: String,
    #[serde(default)]
    segment: String,
    coord: Coordinate,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DatacenterEntry {
    datacenter: String,
    coordinates: Option<Vec<Entry>>,
}

/// Prints the estimate.
///
/// # Errors
/// No node or too many, a node without a coordinate, or the agent could not be asked.
pub async fn run(flags: RttFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    if !(1..=2).contains(&flags.nodes.len()) {
        bail!("One or two node names must be specified (see lictor rtt --help)");
    }
    let agent = target::agent(&flags.http)?;
    let mut nodes = flags.nodes.clone();
    if nodes.len() == 1 {
        nodes.push(own_name(&agent, flags.wan).await?);
    }
    let (entries, pool) = match flags.wan {
        true => (wan(&agent, &nodes).await?, "WAN"),
        false => {
            let query = Query::new("/v1/coordinate/nodes").read(&flags.http);
            let entries: Option<Vec<Entry>> = agent.get(query.as_str()).await.context("Error getting coordinates")?;
            (entries.unwrap_or_default(), "LAN")
        }
    };
    let milliseconds = between(&entries, &nodes[0], &nodes[1])? * 1000.0;
    writeln!(out, "Estimated {} <-> {} rtt: {milliseconds:.3} ms (using {pool} coordinates)", nodes[0], nodes[1])?;
    Ok(ExitCode::SUCCESS)
}

/// The name of the agent's node, in the WAN pool with its datacenter.
async fn own_name(agent: &Agent, wan: bool) -> anyhow::Result<String> {
    let this: Value = agent.get("/v1/agent/self").await.context("Unable to look up agent info")?;
    let of = |key: &str| this["Config"][key].as_str().unwrap_or_default().to_string();
    Ok(if wan { format!("{}.{}", of("NodeName"), of("Datacenter")) } else { of("NodeName") })
}

/// The servers of all datacenters, by the names of the WAN pool.
async fn wan(agent: &Agent, nodes: &[String]) -> anyhow::Result<Vec<Entry>> {
    if nodes.iter().any(|node| !node.contains('.')) {
        bail!("Node names must be specified as <node name>.<datacenter> with -wan");
    }
    let datacenters: Option<Vec<DatacenterEntry>> =
        agent.get("/v1/coordinate/datacenters").await.context("Error getting coordinates")?;
    let named = datacenters.unwrap_or_default().into_iter().flat_map(|datacenter| {
        let name = datacenter.datacenter;
        let entries = datacenter.coordinates.unwrap_or_default().into_iter();
        entries.map(move |entry| Entry { node: format!("{}.{name}", entry.node), ..entry })
    });
    Ok(named.collect())
}

/// Seconds between two nodes of the same segment.
fn between(entries: &[Entry], one: &str, two: &str) -> anyhow::Result<f64> {
    let of = |name: &str| entries.iter().filter(|entry| entry.node == name).collect::<Vec<_>>();
    let (first, second) = (of(one), of(two));
    for (name, found) in [(one, &first), (two, &second)] {
        if found.is_empty() {
            bail!("Could not find a coordinate for node {name:?}");
        }
    }
    let pairs = first.iter().flat_map(|first| second.iter().map(move |second| (first, second)));
    let shared = pairs.filter(|(first, second)| first.segment == second.segment);
    let distance = shared.filter_map(|(first, second)| first.coord.distance(&second.coord)).next();
    distance.ok_or_else(|| anyhow!("The coordinates of {one:?} and {two:?} cannot be compared"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_vivaldis() {
        let entries = r#"[
            {"Node": "a", "Segment": "", "Coord": {"Vec": [0.0, 0.0], "Error": 1.5, "Adjustment": 0.0, "Height": 0.001}},
            {"Node": "b", "Segment": "", "Coord": {"Vec": [0.003, 0.004], "Error": 1.5, "Adjustment": 0.0, "Height": 0.001}},
            {"Node": "c", "Segment": "", "Coord": {"Vec": [0.003, 0.004], "Error": 1.5, "Adjustment": -1.0, "Height": 0.001}},
            {"Node": "d", "Segment": "", "Coord": {"Vec": [0.0], "Error": 1.5, "Adjustment": 0.0, "Height": 0.0}},
            {"Node": "e", "Segment": "x", "Coord": {"Vec": [0.0, 0.0], "Error": 1.5, "Adjustment": 0.0, "Height": 0.0}}
        ]"#;
        let entries: Vec<Entry> = serde_json::from_str(entries).unwrap();
        let distance = |one, two| between(&entries, one, two).map_err(|error| error.to_string());
        assert!((distance("a", "b").unwrap() - 0.007).abs() < 1e-9);
        // An adjustment that would make it negative is left out.
        assert!((distance("a", "c").unwrap() - 0.007).abs() < 1e-9);
        assert!(distance("a", "d").unwrap_err().contains("cannot be compared"));
        assert!(distance("a", "e").unwrap_err().contains("cannot be compared"));
        assert_eq!(distance("a", "z").unwrap_err(), "Could not find a coordinate for node \"z\"");
    }
}
