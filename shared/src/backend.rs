//! The one seam between roles: what a node must ask the servers for.
//!
//! A server implements it with its own Raft node, a sidecar by RPC to a server. Everything else, every read of the
//! catalog included, is answered from the node's own view.

#[cfg(test)]
pub mod fake;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use crate::{
    command::{Command, Written},
    model::{Index, NodeName, Time},
};

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Consistency {
    /// At least what the leader had applied when it was asked.
    Leader,
    /// The same, after a quorum confirmed that it is still the leader.
    Quorum,
}

/// How well this node knows the servers' state, for `X-Consul-Knownleader` and `X-Consul-Lastcontact`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Whether there is a leader, as far as this node knows.
    pub known_leader: bool,
    /// The age of the last word from the leader (at a sidecar: from a server that has one).
    pub last: Duration,
}

/// The set of servers as their leader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServersReport {
    /// All of them, voting or not.
    pub servers: Vec<ServerReport>,
    /// The last entry of the leader's log.
    pub last_index: Index,
}

/// One server as the leader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerReport {
    /// Its node's name.
    pub name: NodeName,
    /// Its node's ID.
    pub node_id: Uuid,
    /// Its RPC address, `ip:port`.
    pub address: String,
    /// Whether it votes.
    pub voter: bool,
    /// Whether it is the leader.
    pub leader: bool,
    /// How long ago it answered the leader last; none where it never did. Zero for the leader.
    pub last_contact: Option<Duration>,
    /// The term of the last entry that it is known to have.
    pub last_term: u64,
    /// The index of that entry.
    pub last_index: Index,
    /// Since when it answers, or does not, without a break.
    pub stable_since: Time,
}

/// A request to the HTTP interface that changes nothing in the registry, for a server to answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetch {
    /// `GET`, `PUT`.
    pub method: String,
    /// As it came, with its escapes.
    pub path_and_query: String,
    /// The whole body.
    pub body: Bytes,
    /// Whether its caller takes what any server has, however old.
    pub any_server: bool,
    /// How long the answer may take.
    pub limit: Duration,
}

/// Its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The status.
    pub status: u16,
    /// The headers, by name.
    pub headers: Vec<(String, Bytes)>,
    /// The whole body.
    pub body: Bytes,
}

/// Why the servers could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// The servers have no leader at the moment.
    #[error("No cluster leader")]
    NoLeader,
    /// No server could be reached.
    #[error("No known Consul servers")]
    NoServers,
    /// It was sent, and no answer came in time: a write may or may not have happened.
    #[error("rpc error: no answer within {0:?}; the write may or may not have happened")]
    TimedOut(Duration),
    /// A server refused to take it.
    #[error("rpc error: {0}")]
    Failed(String),
}

/// A node's way to the servers.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Proposes `command`, waits until it is committed and applied, and until this node's own view has it, so that
    /// a read that follows sees it.
    ///
    /// # Errors
    /// [`BackendError`]; after `TimedOut` the outcome is unknown. Idempotent commands have then been retried already.
    async fn write(&self, command: Command) -> Result<Written, BackendError>;

    /// The index this node's view must have reached before a read of that consistency may be answered.
    ///
    /// # Errors
    /// [`BackendError`] when there is no leader to ask.
    async fn barrier(&self, consistency: Consistency) -> Result<Index, BackendError>;

    /// The set of servers as the leader sees it.
    ///
    /// # Errors
    /// [`BackendError`] when there is no leader to ask.
    async fn servers(&self) -> Result<ServersReport, BackendError>;

    /// Has a server answer a request about what this node does not hold. Ends early, also at the server, when it is
    /// dropped.
    ///
    /// # Errors
    /// [`BackendError`] when no server answers.
    async fn fetch(&self, _: Fetch) -> Result<Fetched, BackendError> {
        Err(BackendError::NoServers)
    }

    /// Starts the time to live of a session anew. Whether there is such a session.
    ///
    /// # Errors
    /// [`BackendError`] when there is no leader to ask.
    async fn renew(&self, _: Uuid) -> Result<bool, BackendError> {
        Err(BackendError::NoLeader)
    }

    /// How fresh this node's view is known to be.
    fn contact(&self) -> Contact;

    /// The leader's RPC address, `ip:port`, where one is known.
    fn leader(&self) -> Option<String>;

    /// The RPC addresses of all voting servers, sorted.
    fn peers(&self) -> Vec<String>;
}
