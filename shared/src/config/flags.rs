//! The flags of `agent`, by Consul's names.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args};
use smol_str::SmolStr;

use super::{arguments::go_bool, error::ConfigError, file::Format, keys, partial::Partial};
use crate::agent::duration;

/// How an agent is started. A flag wins over the same setting in a file.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Agent")]
pub struct AgentFlags {
    /// One server that keeps nothing on disk, for trying things out
    #[arg(long, value_parser = go_bool, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    dev: Option<bool>,
    /// Be a server: take part in Raft (otherwise: a sidecar)
    #[arg(long, value_parser = go_bool, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    server: Option<bool>,
    /// Form a cluster alone (a server)
    #[arg(long, value_parser = go_bool, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
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
    /// A file to read, .json or .hcl, or a directory whose files are read in name order; may be given several times
    #[arg(long, value_name = "PATH", visible_alias = "config-dir", action = ArgAction::Append)]
    config_file: Vec<PathBuf>,
    /// The format of files whose name does not tell it
    #[arg(long, value_name = "json|hcl", value_parser = format)]
    config_format: Option<Format>,
    /// Settings as in a file, in HCL, read after the files; may be given several times
    #[arg(long, value_name = "TEXT", action = ArgAction::Append)]
    hcl: Vec<String>,
    /// The address for the cluster's own ports [default: 0.0.0.0; -dev: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    bind: Option<SmolStr>,
    /// The address for LAN gossip, where it is not -bind
    #[arg(long, value_name = "IP")]
    serf_lan_bind: Option<SmolStr>,
    /// The address for WAN gossip, where it is not -bind
    #[arg(long, value_name = "IP")]
    serf_wan_bind: Option<SmolStr>,
    /// The address that others are told [default: the bind address, or the only private one]
    #[arg(long, value_name = "IP")]
    advertise: Option<SmolStr>,
    /// The address that other datacenters are told [default: -advertise]
    #[arg(long, value_name = "IP")]
    advertise_wan: Option<SmolStr>,
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
    /// A server of another datacenter to join at the start, or fail; may be given several times (servers)
    #[arg(long, value_name = "HOST[:PORT]", action = ArgAction::Append)]
    join_wan: Vec<String>,
    /// A server of another datacenter to join as soon as it answers; may be given several times (servers)
    #[arg(long, value_name = "HOST[:PORT]", action = ArgAction::Append)]
    retry_join_wan: Vec<String>,
    /// The longest pause between two tries to join another datacenter [default: 30s]
    #[arg(long, value_name = "TIME")]
    retry_interval_wan: Option<String>,
    /// Tries to join another datacenter before giving up; 0: never [default: 0]
    #[arg(long, value_name = "N")]
    retry_max_wan: Option<u32>,
    /// The port for HTTP; -1: off [default: 8500]
    #[arg(long, value_name = "PORT", allow_negative_numbers = true)]
    http_port: Option<i32>,
    /// The port for HTTPS; -1: off [default: -1]
    #[arg(long, value_name = "PORT", allow_negative_numbers = true)]
    https_port: Option<i32>,
    /// The port for DNS, UDP and TCP; -1: off [default: 8600]
    #[arg(long, value_name = "PORT", allow_negative_numbers = true)]
    dns_port: Option<i32>,
    /// The port for applications that watch by gRPC; -1: off [default: 8502]
    #[arg(long, value_name = "PORT", allow_negative_numbers = true)]
    grpc_port: Option<i32>,
    /// The same over TLS; -1: off [default: 8503 at servers with a certificate for it]
    #[arg(long, value_name = "PORT", allow_negative_numbers = true)]
    grpc_tls_port: Option<i32>,
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
    /// A server for other DNS names; may be given several times
    #[arg(long, value_name = "IP[:PORT]", action = ArgAction::Append)]
    recursor: Vec<SmolStr>,
    /// Run check scripts, whoever registers them
    #[arg(long, value_parser = go_bool, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    enable_script_checks: Option<bool>,
    /// Run check scripts that files on this host name
    #[arg(long, value_parser = go_bool, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    enable_local_script_checks: Option<bool>,
    /// Accepted for Consul's sake: each check says for itself
    #[arg(long = "check_output_max_size", value_name = "BYTES")]
    check_output_max_size: Option<usize>,
    /// trace, debug, info, warn or err [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<SmolStr>,
    /// Log one JSON object a line
    #[arg(long, value_parser = go_bool, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    log_json: Option<bool>,
    /// A file to log to as well, or a directory (ending in /) for one
    #[arg(long, value_name = "PATH")]
    log_file: Option<SmolStr>,
    /// Begin a new log file before it is larger than this [default: 0, no limit]
    #[arg(long, value_name = "BYTES")]
    log_rotate_bytes: Option<i64>,
    /// Begin a new log file after this time [default: 24h]
    #[arg(long, value_name = "TIME")]
    log_rotate_duration: Option<String>,
    /// Old log files to keep; 0: all, -1: none [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    log_rotate_max_files: Option<i64>,
    /// A file to write the process's ID to
    #[arg(long, value_name = "PATH")]
    pid_file: Option<PathBuf>,
    /// Serve the web page at /ui/ [default: on with -dev]
    #[arg(long, value_parser = go_bool, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    ui: Option<bool>,
    /// Accepted for Consul's sake
    #[arg(long, value_parser = go_bool, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    rejoin: Option<bool>,
    /// Accepted for Consul's sake
    #[arg(long, value_parser = go_bool, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    disable_host_node_id: Option<bool>,
    /// Keep the gossip keys in memory alone
    #[arg(long, value_parser = go_bool, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    disable_keyring_file: Option<bool>,
    /// Accepted for Consul's sake
    #[arg(long, value_parser = go_bool, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    syslog: Option<bool>,
    /// Accepted for Consul's sake
    #[arg(long, value_parser = go_bool, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    read_replica: Option<bool>,
    /// Accepted for Consul's sake
    #[arg(long, value_parser = go_bool, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    non_voting_server: Option<bool>,
    /// Accepted for Consul's sake
    #[arg(long, value_parser = go_bool, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    auto_reload_config: Option<bool>,
    /// Accepted for Consul's sake
    #[arg(long, value_name = "N", hide = true)]
    protocol: Option<i32>,
    /// Accepted for Consul's sake
    #[arg(long, value_name = "N", hide = true)]
    raft_protocol: Option<i32>,
    /// Accepted for Consul's sake
    #[arg(long, value_name = "TIME", hide = true)]
    default_query_time: Option<String>,
    /// Accepted for Consul's sake
    #[arg(long, value_name = "TIME", hide = true)]
    max_query_time: Option<String>,
    /// Accepted for Consul's sake
    #[arg(long, value_name = "NAME", hide = true)]
    segment: Option<String>,
    /// Accepted for Consul's sake
    #[arg(long, value_name = "DIR", hide = true)]
    ui_dir: Option<String>,
    /// Serve it at this path [default: /ui/]
    #[arg(long, value_name = "PATH")]
    ui_content_path: Option<SmolStr>,
    /// Accepted for Consul's sake
    #[arg(long, value_name = "HOST[:PORT]", hide = true, action = ArgAction::Append)]
    primary_gateway: Vec<String>,
    /// The key that gossip is encrypted with, from `lictor keygen`; better in a file that others cannot read
    #[arg(long, value_name = "KEY")]
    encrypt: Option<SmolStr>,
    /// Refused where it is set: see `keys`
    #[arg(long, value_name = "CIDR", hide = true, action = ArgAction::Append)]
    serf_lan_allowed_cidrs: Vec<String>,
    /// Refused where it is set: see `keys`
    #[arg(long, value_name = "CIDR", hide = true, action = ArgAction::Append)]
    serf_wan_allowed_cidrs: Vec<String>,
    /// A network that writes by HTTP may come from (repeatable); without one, from everywhere
    #[arg(long, value_name = "CIDR", action = ArgAction::Append)]
    allow_write_http_from: Vec<String>,
}

fn format(word: &str) -> Result<Format, &'static str> {
    Format::of(word).ok_or("neither json nor hcl")
}

fn time(setting: &'static str, text: Option<&String>) -> Result<Option<std::time::Duration>, ConfigError> {
    let read = |text: &String| duration::parse(text).map_err(|error| ConfigError::setting(setting, error.explain()));
    text.map(read).transpose()
}

impl AgentFlags {
    /// Those that read `paths` (files and directories) and say nothing else, with the word for their format where
    /// their names do not tell it.
    ///
    /// # Errors
    /// The format is unknown.
    pub fn of_files(paths: Vec<PathBuf>, format: Option<&str>) -> Result<Self, ConfigError> {
        let format = format.map(|word| {
            let problem = || ConfigError::setting("-config-format", format!("{word:?} is neither json nor hcl"));
            Format::of(word).ok_or_else(problem)
        });
        Ok(Self { config_file: paths, config_format: format.transpose()?, ..Self::default() })
    }

    /// The files and directories to read, in order.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.config_file.iter().map(PathBuf::as_path)
    }

    /// How they are written, whatever their names say.
    pub(super) fn format(&self) -> Option<Format> {
        self.config_format
    }

    /// Settings in HCL, read after the files, in order.
    pub(super) fn fragments(&self) -> impl Iterator<Item = &str> {
        self.hcl.iter().map(String::as_str)
    }

    /// What the flags say.
    pub(super) fn partial(&self) -> Result<Partial, ConfigError> {
        self.refuse()?;
        let pair = |text: &String| {
            let (key, value) = text.split_once(':').ok_or_else(|| {
                ConfigError::setting("-node-meta", format!("{text:?} is no pair (write -node-meta=KEY:VALUE)"))
            })?;
            Ok((key.into(), value.into()))
        };
        Ok(Partial {
            dev: self.dev,
            http_write_from: self.allow_write_http_from.clone(),
            server: self.server,
            bootstrap: self.bootstrap,
            bootstrap_expect: self.bootstrap_expect,
            node_name: self.node.clone(),
            node_id: self.node_id.clone(),
            node_meta: self.node_meta.iter().map(pair).collect::<Result<_, ConfigError>>()?,
            datacenter: self.datacenter.clone(),
            data_dir: self.data_dir.clone(),
            bind_addr: self.bind.clone(),
            serf_lan_addr: self.serf_lan_bind.clone(),
            serf_wan_addr: self.serf_wan_bind.clone(),
            advertise_addr: self.advertise.clone(),
            tagged_addresses: self.advertise_wan.iter().map(|address| ("wan".into(), address.clone())).collect(),
            client_addr: self.client.clone(),
            start_join: self.join.clone(),
            retry_join: self.retry_join.clone(),
            retry_interval: time("-retry-interval", self.retry_interval.as_ref())?,
            retry_max: self.retry_max,
            start_join_wan: self.join_wan.clone(),
            retry_join_wan: self.retry_join_wan.clone(),
            retry_interval_wan: time("-retry-interval-wan", self.retry_interval_wan.as_ref())?,
            retry_max_wan: self.retry_max_wan,
            http_port: self.http_port,
            dns_port: self.dns_port,
            grpc_port: self.grpc_port,
            https_port: self.https_port,
            grpc_tls_port: self.grpc_tls_port,
            server_port: self.server_port,
            serf_lan_port: self.serf_lan_port,
            serf_wan_port: self.serf_wan_port,
            domain: self.domain.clone(),
            alt_domain: self.alt_domain.clone(),
            recursors: self.recursor.clone(),
            enable_script_checks: self.enable_script_checks,
            enable_local_script_checks: self.enable_local_script_checks,
            encrypt: self.encrypt.clone(),
            disable_keyring_file: self.disable_keyring_file,
            log_level: self.log_level.clone(),
            log_json: self.log_json,
            log_file: self.log_file.clone(),
            log_rotate_bytes: self.log_rotate_bytes,
            log_rotate_duration: time("-log-rotate-duration", self.log_rotate_duration.as_ref())?,
            log_rotate_max_files: self.log_rotate_max_files,
            pid_file: self.pid_file.clone(),
            ui: self.ui,
            ui_path: self.ui_content_path.clone(),
            ignored: self.ignored().map(String::from).collect(),
            ..Partial::default()
        })
    }

    /// The flags that are given and have no effect.
    fn ignored(&self) -> impl Iterator<Item = &'static str> {
        let given = [
            (self.check_output_max_size.is_some(), "-check_output_max_size"),
            (self.rejoin.is_some(), "-rejoin"),
            (self.syslog.is_some(), "-syslog"),
            (self.read_replica.is_some(), "-read-replica"),
            (self.non_voting_server.is_some(), "-non-voting-server"),
            (self.auto_reload_config.is_some(), "-auto-reload-config"),
            (self.protocol.is_some(), "-protocol"),
            (self.raft_protocol.is_some(), "-raft-protocol"),
            (self.default_query_time.is_some(), "-default-query-time"),
            (self.max_query_time.is_some(), "-max-query-time"),
            (self.segment.is_some(), "-segment"),
            (self.ui_dir.is_some(), "-ui-dir"),
            (!self.primary_gateway.is_empty(), "-primary-gateway"),
        ];
        given.into_iter().filter(|(given, _)| *given).map(|(_, flag)| flag)
    }

    /// Refuses the flags that protect something.
    fn refuse(&self) -> Result<(), ConfigError> {
        let any = |list: &[String]| list.iter().any(|text| !text.is_empty());
        let asked = [
            (any(&self.serf_lan_allowed_cidrs), "-serf-lan-allowed-cidrs", keys::ALLOWED_NETWORKS),
            (any(&self.serf_wan_allowed_cidrs), "-serf-wan-allowed-cidrs", keys::ALLOWED_NETWORKS),
        ];
        match asked.into_iter().find(|(asked, ..)| *asked) {
            Some((_, flag, reason)) => Err(ConfigError::setting(flag, format!("{reason} ({})", keys::REMEDY))),
            None => Ok(()),
        }
    }
}
