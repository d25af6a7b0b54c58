//! The one seam between roles: what a node must ask the servers for.
//!
//! A server implements it with its own Raft node, a sidecar by RPC to a server. Everything else, every read of the
//! catalog included, is answered from the node's own view.

#[cfg(test)]
pub mod fake;

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream::BoxStream};
use uuid::Uuid;

use crate::{
    acl::{Credential, Denial},
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

impl Contact {
    /// Whether there is no leader and has been no word from one for `limit`: by `discovery_max_stale`, too long to answer
    /// lookups from the view.
    #[must_use]
    pub fn is_lost_for(&self, limit: Duration) -> bool {
        !self.known_leader && self.last >= limit
    }
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

/// A request to the HTTP interface, for a server to answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetch {
    /// `GET`, `PUT`.
    pub method: String,
    /// As it came, with its escapes.
    pub path_and_query: String,
    /// The whole body.
    pub body: Bytes,
    /// What its caller shows to say who it is.
    pub token: Credential,
    /// Whether its caller takes what any server has, however old.
    pub any_server: bool,
    /// How long the answer may take.
    pub limit: Duration,
    /// The datacenter whose servers are to answer; empty: this one.
    pub datacenter: String,
    /// Whether it must be done at most once: then it is sent again only where it certainly did not arrive.
    pub once: bool,
    /// Whether it has come from another datacenter: then it is passed on to none.
    pub crossed: bool,
}

/// Its answer.
#[derive(Debug, Default)]
pub struct Fetched {
    /// The status.
    pub status: u16,
    /// The headers, by name.
    pub headers: Vec<(String, Bytes)>,
    /// The whole body, or its beginning.
    pub body: Bytes,
    /// What comes after that, where it is long.
    pub rest: Option<Pieces>,
    /// How many bytes that has.
    pub rest_bytes: u64,
}

impl Fetched {
    /// The whole body.
    ///
    /// # Errors
    /// It breaks off, or has more than `limit` bytes.
    pub async fn whole(self, limit: usize) -> Result<Bytes, BackendError> {
        let Some(mut rest) = self.rest else { return Ok(self.body) };
        let mut whole = self.body.to_vec();
        while let Some(piece) = rest.next().await {
            whole.extend_from_slice(&piece?);
            if whole.len() > limit {
                return Err(BackendError::Failed(format!("the answer has more than {limit} bytes")));
            }
        }
        Ok(whole.into())
    }
}

/// Bytes as they come. They are whole only if the stream ends without an error.
pub struct Pieces(BoxStream<'static, Result<Bytes, BackendError>>);

impl Pieces {
    /// Those of a stream.
    #[must_use]
    pub fn new(pieces: impl Stream<Item = Result<Bytes, BackendError>> + Send + 'static) -> Self {
        Self(pieces.boxed())
    }
}

impl fmt::Debug for Pieces {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("pieces")
    }
}

impl Stream for Pieces {
    type Item = Result<Bytes, BackendError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

/// The whole registry as a file that an operator keeps.
pub struct Archive {
    /// The index of the state in it.
    pub index: Index,
    /// How fresh that is.
    pub contact: Contact,
    /// The file.
    pub pieces: Pieces,
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive").field("index", &self.index).finish_non_exhaustive()
    }
}

/// A server by a name that operators use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerName {
    /// Its node's ID, as text.
    Id(String),
    /// Its RPC address, `ip:port`.
    Address(String),
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "id {id:?}"),
            Self::Address(address) => write!(f, "address {address:?}"),
        }
    }
}

/// A change of the servers that an operator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServersChange {
    /// Another shall lead: this one, or whichever is fittest.
    TransferLeader(Option<ServerName>),
    /// This one shall not count any more.
    Remove(ServerName),
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
    /// No server of the datacenter asked for is known.
    #[error("No path to datacenter")]
    NoPath,
    /// The datacenter asked for is known, and was not asked or did not answer.
    #[error("Datacenter {datacenter:?} is not available: {reason}")]
    DatacenterUnavailable {
        /// Its name.
        datacenter: String,
        /// Why.
        reason: String,
    },
    /// Who asks may not have that: why.
    #[error("{0}")]
    Denied(String),
    /// This node asks its servers oftener than it may.
    #[error("RPC rate limit exceeded (limits.rpc_rate)")]
    RateExceeded,
    /// A server refused to take it.
    #[error("rpc error: {0}")]
    Failed(String),
    /// What was asked for is not done, and nothing was changed: why.
    #[error("{0}")]
    Refused(String),
}

impl From<Denial> for BackendError {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial.to_string())
    }
}

/// A node's way to the servers. What is asked with a [`Credential`] is done only if whoever shows it may have that: the
/// server that does it decides.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Proposes `command`, waits until it is committed and applied, and until this node's own view has it, so that
    /// a read that follows sees it.
    ///
    /// # Errors
    /// [`BackendError`]; after `TimedOut` the outcome is unknown. Idempotent commands have then been retried already.
    async fn write(&self, command: Command, by: &Credential) -> Result<Written, BackendError>;

    /// The index this node's view must have reached before a read of that consistency may be answered.
    ///
    /// # Errors
    /// [`BackendError`] when there is no leader to ask.
    async fn barrier(&self, consistency: Consistency) -> Result<Index, BackendError>;

    /// The set of servers: as the leader sees it or, with `any_server`, as any server does, who knows of none but itself how
    /// far it is.
    ///
    /// # Errors
    /// [`BackendError`] when there is no leader to ask, or no server.
    async fn servers(&self, any_server: bool, by: &Credential) -> Result<ServersReport, BackendError>;

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
    async fn renew(&self, _: Uuid, _by: &Credential) -> Result<bool, BackendError> {
        Err(BackendError::NoLeader)
    }

    /// The whole registry as a file: from the leader or, with `any_server`, from any server as it has it.
    ///
    /// # Errors
    /// [`BackendError`] when no server answers.
    async fn save_archive(&self, _any_server: bool, _by: &Credential) -> Result<Archive, BackendError> {
        Err(BackendError::NoServers)
    }

    /// Puts what such a file holds in the place of the registry, and waits until this node's view has it: its index.
    ///
    /// # Errors
    /// [`BackendError`]; nothing was changed but after `TimedOut`, when the outcome is unknown.
    async fn restore_archive(&self, _: Pieces, _by: &Credential) -> Result<Index, BackendError> {
        Err(BackendError::NoServers)
    }

    /// Has the leader change the servers.
    ///
    /// # Errors
    /// [`BackendError`]; nothing was changed but after `TimedOut`.
    async fn change_servers(&self, _: ServersChange, _by: &Credential) -> Result<(), BackendError> {
        Err(BackendError::NoServers)
    }

    /// How fresh this node's view is known to be.
    fn contact(&self) -> Contact;

    /// The leader's RPC address, `ip:port`, where one is known.
    fn leader(&self) -> Option<String>;

    /// The RPC addresses of all voting servers, sorted.
    fn peers(&self) -> Vec<String>;
}
