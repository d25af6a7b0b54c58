//! The flags of `agent`, by Consul's names.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args};
use smol_str::SmolStr;

use super::{error::ConfigError, partial::Partial};
use crate::agent::duration;

/// How an agent is started. A flag wins over the same setting in a file.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Agent")]
pub struct AgentFlags {
    /// One server that keeps nothing on disk, for trying things out
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    dev: Option<bool>,
    /// Be a server: take part in Raft (otherwise: a sidecar)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    server: Option<bool>,
    /// Form a cluster alone (a server)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    bootstrap: Option<bool>,
    /// Form a cluster as soon as this many servers have found each other
    #[arg(long, value_name = "N")]
    bootstrap_expect: Option<usize>,
    /// This node's name [default: the host's]
    #[arg(long, value_name = "NAME")]
    node: Option<SmolStr>,
    /// This node's ID, a UUID [default: kept in the data directory, or derived from the host]
    #[arg(long, value_name = "UUID")]
    node_id: Option<SmolStr>,
    /// A free pair about this node; may be given several times
    #[arg(long, value_name = "KEY:VALUE", action = ArgAction::Append)]
    node_meta: Vec<String>,
    /// The datacenter this node is in [default: dc1]
    #[arg(long, value_name = "NAME")]
    datacenter: Option<SmolStr>,
    /// Where a server keeps its log and snapshots
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A file to read, .json; may be given several times
    #[arg(long, value_name = "FILE", action = ArgAction::Append)]
    config_file: Vec<PathBuf>,
    /// A directory whose .json files are read in name order; may be given several times
    #[arg(long, value_name = "DIR", action = ArgAction::Append)]
    config_dir: Vec<PathBuf>,
    /// The format of files whose name does not tell it
    #[arg(long, value_name = "json", value_parser = ["json"])]
    config_format: Option<String>,
    /// The address for the cluster's own ports [default: 0.0.0.0; -dev: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    bind: Option<SmolStr>,
    /// The address that others are told [default: the bind address, or the only private one]
    #[arg(long, value_name = "IP")]
    advertise: Option<SmolStr>,
    /// The address for HTTP and DNS; several separated by spaces [default: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    client: Option<SmolStr>,
    /// A member to join at the start, or fail; may be given several times
    #[arg(long, value_name = "HOST[:PORT]", action = ArgAction::Append)]
    join: Vec<String>,
    /// A member to join as soon as it answers; may be given several times
    #[arg(long, value_name = "HOST[:PORT]", action = ArgAction::Append)]
    retry_join: Vec<String>,
    /// The longest pause between two tries to join [default: 30s]
    #[arg(long, value_name = "TIME")]
    retry_interval: Option<String>,
    /// Tries to join before giving up; 0: never [default: 0]
    #[arg(long, value_name = "N")]
    retry_max: Option<u32>,
    /// The port for HTTP; -1: off [default: 8500]
    #[arg(long, value_name = "PORT", allow_negative_numbers = true)]
    http_port: Option<i32>,
    /// The port for DNS, UDP and TCP; -1: off [default: 8600]
    #[arg(long, value_name = "PORT", allow_negative_numbers = true)]
    dns_port: Option<i32>,
    /// The port for programs that watch by gRPC (not served yet)
    #[arg(long, value_name = "PORT", allow_negative_numbers = true)]
    grpc_port: Option<i32>,
    /// A server's port for Raft, writes and watch streams [default: 8300]
    #[arg(long, value_name = "PORT")]
    server_port: Option<i32>,
    /// The port for LAN gossip, UDP and TCP [default: 8301]
    #[arg(long, value_name = "PORT")]
    serf_lan_port: Option<i32>,
    /// The port for WAN gossip between servers [default: 8302]
    #[arg(long, value_name = "PORT", allow_negative_numbers = true)]
    serf_wan_port: Option<i32>,
    /// The DNS domain answered for [default: consul.]
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<SmolStr>,
    /// A second DNS domain with the same content
    #[arg(long, value_name = "DOMAIN")]
    alt_domain: Option<SmolStr>,
    /// Who is asked for names outside the DNS domain; may be given several times
    #[arg(long, value_name = "IP[:PORT]", action = ArgAction::Append)]
    recursor: Vec<SmolStr>,
    /// trace, debug, info, warn or err [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<SmolStr>,
    /// Log one JSON object a line
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    log_json: Option<bool>,
    /// Accepted for Consul's sake: a node that left joins again by -join or -retry-join
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    rejoin: Option<bool>,
    /// Accepted for Consul's sake: there is no page yet
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    ui: Option<bool>,
    /// Accepted for Consul's sake
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    disable_host_node_id: Option<bool>,
    /// Accepted for Consul's sake: there is one protocol
    #[arg(long, value_name = "N")]
    protocol: Option<i32>,
}

impl AgentFlags {
    /// The files and directories to read, in order.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.config_file.iter().chain(&self.config_dir).map(PathBuf::as_path)
    }

    /// What the flags say.
    pub(super) fn partial(&self) -> Result<Partial, ConfigError> {
        let pair = |text: &String| {
            let (key, value) = text.split_once(':').ok_or_else(|| {
                ConfigError::setting("-node-meta", format!("{text:?} is no pair (write -node-meta=KEY:VALUE)"))
            })?;
            Ok((key.into(), value.into()))
        };
        let interval = |text: &String| {
            duration::parse(text).map_err(|error| ConfigError::setting("-retry-interval", error.explain()))
        };
        let accepted = [
            (self.ui.is_some(), "-ui"),
            (self.grpc_port.is_some_and(|port| port > 0), "-grpc-port"),
            (self.rejoin.is_some(), "-rejoin"),
            (self.protocol.is_some(), "-protocol"),
        ];
        Ok(Partial {
            dev: self.dev,
            server: self.server,
            bootstrap: self.bootstrap,
            bootstrap_expect: self.bootstrap_expect,
            node_name: self.node.clone(),
            node_id: self.node_id.clone(),
            node_meta: self.node_meta.iter().map(pair).collect::<Result<_, ConfigError>>()?,
            datacenter: self.datacenter.clone(),
            data_dir: self.data_dir.clone(),
            bind_addr: self.bind.clone(),
            advertise_addr: self.advertise.clone(),
            client_addr: self.client.clone(),
            start_join: self.join.clone(),
            retry_join: self.retry_join.clone(),
            retry_interval: self.retry_interval.as_ref().map(interval).transpose()?,
            retry_max: self.retry_max,
            http_port: self.http_port,
            dns_port: self.dns_port,
            server_port: self.server_port,
            serf_lan_port: self.serf_lan_port,
            serf_wan_port: self.serf_wan_port,
            domain: self.domain.clone(),
            alt_domain: self.alt_domain.clone(),
            recursors: self.recursor.clone(),
            log_level: self.log_level.clone(),
            log_json: self.log_json,
            ignored: accepted.iter().filter(|(given, _)| *given).map(|(_, flag)| (*flag).into()).collect(),
            ..Partial::default()
        })
    }
}
