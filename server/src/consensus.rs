//! What the gRPC side and the backend of a server need of Raft.
//!
//! `raft::RaftNode` is the real one; tests of streams and forwarding use one that agrees with itself.

use std::time::Duration;

use async_trait::async_trait;
use lictor_shared::{
    backend::{Consistency, ServersChange, ServersReport},
    command::{Command, Written},
    forward::AskError,
    model::Index,
};

use crate::raft::{ProposeError, RaftNode, ReadError, ServerAddress};

/// A member of the servers' consensus.
#[async_trait]
pub trait Consensus: Send + Sync + 'static {
    /// Proposes commands; returns when they are applied here, with what came of each: [`AskError::NotLeader`] where this
    /// server does not lead.
    async fn propose_all(&self, commands: Vec<Command>) -> Vec<Result<Written, AskError>>;

    /// Proposes a command; returns when it is applied here.
    ///
    /// # Errors
    /// [`AskError`]: `NotLeader` where this server does not lead.
    async fn propose(&self, command: Command) -> Result<Written, AskError> {
        let outcome = self.propose_all(vec![command]).await.pop();
        outcome.unwrap_or_else(|| Err(AskError::Unknown("a command without an outcome".into())))
    }

    /// The index that a read of that consistency must have reached.
    ///
    /// # Errors
    /// [`AskError`]: `NotLeader` where this server does not lead.
    async fn read_index(&self, consistency: Consistency) -> Result<Index, AskError>;

    /// The leader's RPC address, `ip:port`, where one is known.
    fn leader(&self) -> Option<String>;

    /// The RPC addresses of all voting servers.
    fn servers(&self) -> Vec<String>;

    /// Their Raft IDs, which no other cluster ever had; empty while the server is in no cluster.
    fn server_ids(&self) -> Vec<u64>;

    /// How long ago the leader was last heard from; zero at the leader, `None` where it never was.
    fn last_contact(&self) -> Option<Duration>;

    /// Whether there is a leader, and that: both at once, as every read of the catalog asks.
    fn contact(&self) -> (bool, Option<Duration>) {
        (self.leader().is_some(), self.last_contact())
    }

    /// The set of servers as the leader sees it; with `any`, as this server does, whoever leads.
    ///
    /// # Errors
    /// `NotLeader` where this server does not lead.
    fn report(&self, any: bool) -> Result<ServersReport, AskError>;

    /// The present term.
    fn term(&self) -> u64 {
        0
    }

    /// Changes who leads, or the set of servers.
    ///
    /// # Errors
    /// [`AskError`]: `NotLeader` where this server does not lead.
    async fn change_servers(&self, _: &ServersChange) -> Result<(), AskError> {
        Err(AskError::Rejected("the servers cannot be changed here".into()))
    }
}

#[async_trait]
impl Consensus for RaftNode {
    async fn propose_all(&self, commands: Vec<Command>) -> Vec<Result<Written, AskError>> {
        let outcomes = RaftNode::propose_all(self, commands).await;
        outcomes.into_iter().map(|outcome| outcome.map_err(AskError::from)).collect()
    }

    async fn read_index(&self, consistency: Consistency) -> Result<Index, AskError> {
        Ok(RaftNode::read_index(self, consistency).await?)
    }

    fn leader(&self) -> Option<String> {
        RaftNode::leader(self).map(|(_, address)| address.rpc)
    }

    fn servers(&self) -> Vec<String> {
        let voters = RaftNode::servers(self).into_iter().filter(|server| server.voter);
        voters.map(|server| server.address.rpc).collect()
    }

    fn server_ids(&self) -> Vec<u64> {
        let voters = RaftNode::servers(self).into_iter().filter(|server| server.voter);
        voters.map(|server| server.raft_id).collect()
    }

    fn last_contact(&self) -> Option<Duration> {
        Some(RaftNode::last_contact(self)).filter(|age| *age < Duration::MAX)
    }

    fn contact(&self) -> (bool, Option<Duration>) {
        let (known_leader, age) = RaftNode::contact(self);
        (known_leader, Some(age).filter(|age| *age < Duration::MAX))
    }

    fn report(&self, any: bool) -> Result<ServersReport, AskError> {
        let report = if any { Some(RaftNode::known(self)) } else { RaftNode::report(self) };
        report.ok_or_else(|| AskError::NotLeader { leader: Consensus::leader(self) })
    }

    fn term(&self) -> u64 {
        RaftNode::term(self)
    }

    async fn change_servers(&self, change: &ServersChange) -> Result<(), AskError> {
        crate::leader::servers::change(self, change).await
    }
}

fn rpc(leader: Option<ServerAddress>) -> Option<String> {
    leader.map(|address| address.rpc)
}

impl From<ProposeError> for AskError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotLeader { leader } => Self::NotLeader { leader: rpc(leader) },
            ProposeError::TooLarge(_) => Self::Rejected(error.to_string()),
            ProposeError::TimedOut(_) | ProposeError::LeadershipLost { .. } | ProposeError::Stopped(_) => {
                Self::Unknown(error.to_string())
            }
        }
    }
}

impl From<ReadError> for AskError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotLeader { leader } => Self::NotLeader { leader: rpc(leader) },
            ReadError::NoQuorum | ReadError::Stopped(_) => Self::Unknown(error.to_string()),
        }
    }
}
