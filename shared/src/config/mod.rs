//! The configuration of an agent: files and flags, merged into one immutable struct.
//!
//! `flags` is the command line, `file` reads the files, both into `partial`, where everything may be unset;
//! later ones win, lists grow (files in the order given, a directory's in name order, flags last). `resolve` fills in
//! the defaults, checks what belongs together and gives a [`Config`]. Nothing is started or written here.

mod arguments;
mod error;
mod file;
mod flags;
mod partial;
mod resolve;
#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use smol_str::SmolStr;
use uuid::Uuid;

pub use self::{arguments::go_style_args, error::ConfigError, flags::AgentFlags};
use crate::{
    agent::{
        ScriptChecks,
        definition::{CheckRegistration, ServiceDefinition},
    },
    dns,
    model::Meta,
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
    /// Whom it joins.
    pub join: Join,
    /// How DNS questions are answered.
    pub dns: dns::Settings,
    /// How old the last word from a leader may be while catalog and health are still answered; zero: never without one.
    pub discovery_max_stale: Duration,
    /// How long a change of a check's output alone may wait.
    pub check_update_interval: Duration,
    /// Whose commands may be run as checks.
    pub script_checks: ScriptChecks,
    /// Connections that one address may hold to the HTTP interface.
    pub http_max_conns_per_client: usize,
    /// Services from files.
    pub services: Vec<ServiceDefinition>,
    /// Checks from files.
    pub checks: Vec<CheckRegistration>,
    /// How it speaks to the operator.
    pub log: Log,
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
    },
}

/// Where each interface listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where the cluster's own ports (gossip, RPC) are bound.
    pub bind: IpAddr,
    /// The LAN pool, UDP and TCP.
    pub serf_lan: u16,
    /// The WAN pool of the servers, UDP and TCP.
    pub serf_wan: u16,
    /// Raft, writes and watch streams, at servers.
    pub server: u16,
    /// The HTTP interface; none: off.
    pub http: Vec<SocketAddr>,
    /// The DNS interface, UDP and TCP; none: off.
    pub dns: Vec<SocketAddr>,
}

/// Whom a node joins.
#[derive(Clone, Debug, PartialEq, Eq)]
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
}

impl Config {
    /// Reads the files that the flags name and merges all.
    ///
    /// # Errors
    /// [`ConfigError`] says which file or flag is wrong, and what would be right.
    pub fn load(flags: &AgentFlags) -> Result<Self, ConfigError> {
        let mut merged = partial::Partial::default();
        for path in flags.files() {
            for read in file::read(path)? {
                merged = merged.then(read);
            }
        }
        resolve::resolve(merged.then(flags.partial()?))
    }

    /// Whether it is a server.
    #[must_use]
    pub fn is_server(&self) -> bool {
        matches!(self.role, RoleConfig::Server { .. })
    }
}
