//! The configuration of an agent: files and flags, merged into one immutable struct.
//!
//! `flags` is the command line, `file` finds the files, `hcl` and `decode` read them, all into `partial`, where everything
//! may be unset; later ones win, lists grow, maps are merged by key (files in the order given, a directory's in name
//! order, then `-hcl`, the environment, flags). `keys` has what is accepted without effect or refused. `resolve` fills
//! in the defaults and address templates, checks what belongs together and gives a [`Config`]. Nothing is started or
//! written here.

mod acl;
mod address;
mod arguments;
mod audit;
mod decode;
mod definitions;
mod error;
mod file;
mod flags;
mod gossip;
pub mod hcl;
mod host;
mod http_config;
mod keys;
mod limits;
mod partial;
#[cfg(test)]
mod production;
mod resolve;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod tests;
mod tls;
mod traces;

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use smol_str::SmolStr;
use uuid::Uuid;

pub use self::{
    acl::Acl,
    arguments::{go_bool, go_style_args},
    error::ConfigError,
    flags::AgentFlags,
    gossip::Gossip,
    traces::Traces,
};
use self::{host::Host, partial::Partial};
use crate::{
    agent::{
        ScriptChecks, WithoutServers,
        definition::{CheckRegistration, ServiceDefinition},
    },
    catalog::Protection,
    dns, http,
    limits::{Connections, Rate},
    model::Meta,
    watch,
};

/// Everything an agent is told at its start, with defaults filled in.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node's name; the host's where none is given.
    pub node_name: String,
    /// This node's ID, where one is given.
    pub node_id: Option<Uuid>,
    /// Free pairs about this node.
    pub node_meta: Meta,
    /// The datacenter it is in.
    pub datacenter: String,
    /// Where it keeps what must survive; none: nothing is kept.
    pub data_dir: Option<PathBuf>,
    /// What it is among the others.
    pub role: RoleConfig,
    /// Where each interface listens.
    pub listen: Listen,
    /// The address that others are told.
    pub advertise: IpAddr,
    /// The addresses that others are told in certain networks, such as `wan`.
    pub tagged_addresses: Meta,
    /// Whom it joins in its datacenter.
    pub join: Join,
    /// Whom it joins in other datacenters; nobody on a sidecar.
    pub join_wan: Join,
    /// What is set about the pools.
    pub gossip: Gossip,
    /// What is set about access control.
    pub acl: Acl,
    /// Where requests are written down; none: nowhere.
    pub audit: Option<LogFile>,
    /// Where traces go, and which; none: there are none.
    pub traces: Option<Traces>,
    /// Certificates, and what is demanded of those of others.
    pub tls: crate::tls::Settings,
    /// How DNS questions are answered.
    pub dns: dns::Settings,
    /// How old the last word from a leader may be while catalog and health are still answered; zero: never without one.
    pub discovery_max_stale: Duration,
    /// What becomes of registrations at this agent while the servers cannot be asked.
    pub without_servers: WithoutServers,
    /// When the instances of vanished nodes are served all the same; none: never.
    pub protection: Option<Protection>,
    /// How long a change of a check's output alone may wait.
    pub check_update_interval: Duration,
    /// Whose commands may be run as checks.
    pub script_checks: ScriptChecks,
    /// What callers of the HTTP interface may take.
    pub http_limits: http::Limits,
    /// What callers of the servers' port may take.
    pub rpc_limits: Connections,
    /// How often this node asks the servers (`limits.rpc_rate`, `limits.rpc_max_burst`); none, the default: as often as it
    /// likes.
    pub rpc_rate: Option<Rate>,
    /// What callers of the gRPC interface may take.
    pub grpc_limits: Connections,
    /// The watch streams that one address may hold at the gRPC interface.
    pub grpc_streams_per_client: usize,
    /// Who may do what by HTTP, and what its answers carry.
    pub http_access: http::Access,
    /// The web page.
    pub page: http::Page,
    /// Services of other datacenters that copies are kept of.
    pub remote_copies: Vec<http::RemoteService>,
    /// Services from files.
    pub services: Vec<ServiceDefinition>,
    /// Checks from files.
    pub checks: Vec<CheckRegistration>,
    /// Watches from files.
    pub watches: Vec<watch::Definition>,
    /// How it speaks to the operator.
    pub log: Log,
    /// Where it writes its process ID.
    pub pid_file: Option<PathBuf>,
    /// Whether profiles of it are taken where there is no access control.
    pub enable_debug: bool,
    /// Whether SIGTERM makes it leave.
    pub leave_on_terminate: bool,
    /// Whether SIGINT stops it without leaving.
    pub skip_leave_on_interrupt: bool,
    /// Settings that were accepted and have no effect here, as they were written.
    pub ignored: Vec<String>,
}

/// What a node is among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleConfig {
    /// It holds a copy.
    Sidecar,
    /// It takes part in Raft.
    Server {
        /// How many servers form the cluster; 0: it waits to be added to one.
        expect: usize,
        /// Raft's times are multiplied by this, 1 to 10.
        raft_multiplier: u32,
        /// A snapshot is made after so many log entries, 1 or more; none: the server's default.
        snapshot_entries: Option<u64>,
        /// So many log entries are kept before a snapshot; none: the server's default.
        kept_entries: Option<u64>,
    },
}

/// Where each interface listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where the cluster's own ports (gossip, RPC) are bound.
    pub bind: IpAddr,
    /// Where the LAN pool is bound.
    pub serf_lan_bind: IpAddr,
    /// Where the WAN pool is bound.
    pub serf_wan_bind: IpAddr,
    /// The LAN pool, UDP and TCP.
    pub serf_lan: u16,
    /// The WAN pool of the servers, UDP and TCP.
    pub serf_wan: u16,
    /// Raft, writes and watch streams, at servers.
    pub server: u16,
    /// The HTTP interface; none: off.
    pub http: Vec<SocketAddr>,
    /// The HTTP interface on unix sockets.
    pub http_paths: Vec<PathBuf>,
    /// Whose those are.
    pub unix_sockets: http::Ownership,
    /// The DNS interface, UDP and TCP; none: off.
    pub dns: Vec<SocketAddr>,
    /// The gRPC interface for applications; none: off.
    pub grpc: Vec<SocketAddr>,
    /// The HTTPS interface; none: off.
    pub https: Vec<SocketAddr>,
    /// The gRPC interface over TLS; none: off.
    pub grpc_tls: Vec<SocketAddr>,
    /// Whether that was asked for, as with `grpc_is_wanted`.
    pub grpc_tls_is_wanted: bool,
    /// Whether `grpc` was asked for. Files and flags of Consul's rarely name its port, and several agents of one host
    /// then have the same default: without having been asked for, it is left out where it is in use.
    pub grpc_is_wanted: bool,
}

/// Whom a node joins in one pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Join {
    /// Joined once at the start; failing ends the process.
    pub start: Vec<String>,
    /// Joined as soon as one answers.
    pub retry: Vec<String>,
    /// The longest pause between two tries.
    pub interval: Duration,
    /// Tries before the process ends; 0: never.
    pub max: u32,
}

/// How an agent speaks to its operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Consul's word for it: `trace`, `debug`, `info`, `warn`, `err`.
    pub level: SmolStr,
    /// One JSON object a line.
    pub json: bool,
    /// The file it writes to as well.
    pub file: Option<LogFile>,
}

/// A log file and when a new one is begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// The file that is written to; older ones get a time in their names.
    pub path: PathBuf,
    /// It grows no larger than this, in bytes; 0: any size.
    pub rotate_bytes: u64,
    /// It is written to no longer than this.
    pub rotate_after: Duration,
    /// How many older ones are kept; none: all.
    pub keep: Option<usize>,
}

impl Config {
    /// Reads the files that the flags name and merges all.
    ///
    /// # Errors
    /// [`ConfigError`] says which file or flag is wrong, and what would be right.
    pub fn load(flags: &AgentFlags) -> Result<Self, ConfigError> {
        Self::load_on(flags, Host::THIS)
    }

    fn load_on(flags: &AgentFlags, host: Host) -> Result<Self, ConfigError> {
        let mut merged = Partial::default();
        for path in flags.files() {
            for read in file::read(path, flags.format())? {
                merged = merged.then(read);
            }
        }
        for fragment in flags.fragments() {
            merged = merged.then(file::read_text("-hcl", fragment)?);
        }
        definitions::refuse_repeated_ids(&merged)?;
        resolve::resolve(merged.then(host.partial()?).then(flags.partial()?), host)
    }

    /// Whether it is a server.
    #[must_use]
    pub fn is_server(&self) -> bool {
        matches!(self.role, RoleConfig::Server { .. })
    }
}
