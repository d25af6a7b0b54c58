//! Why a Raft node did not do what it was asked. openraft's own errors end here.

use std::{fmt::Display, io, path::PathBuf, time::Duration};

use openraft::errors::{
    ChangeMembershipError, ClientWriteError, ForwardToLeader, InitializeError, LinearizableReadError, RaftError,
};

use crate::raft::{RecoveryError, ServerAddress, SnapshotError, TypeConfig};

/// Why a Raft node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log's file or directory cannot be used.
    #[error("Raft log {path}: {reason}", path = path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: io::Error,
    },
    /// A snapshot cannot be used.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The operator asks for a recovery that cannot be.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The log and the snapshot do not go together, or cannot be read.
    #[error("Raft: {0}")]
    Storage(String),
    /// The settings make no sense together.
    #[error("Raft settings: {0}")]
    Settings(String),
}

/// Why a command was not written, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Nothing was done: another server leads, or none.
    #[error("not the leader")]
    NotLeader {
        /// Who leads, as far as is known.
        leader: Option<ServerAddress>,
    },
    /// It was not applied in time: it may or may not be, sooner or later.
    #[error("not applied within {0:?}; the write may or may not have happened")]
    TimedOut(Duration),
    /// The leadership went to another before it was committed: it may or may not have happened.
    #[error("the leadership was lost before the write was committed; it may or may not have happened")]
    LeadershipLost {
        /// Who leads now, as far as is known.
        leader: Option<ServerAddress>,
    },
    /// Nothing was done: it is larger than [`MAX_PROPOSAL_BYTES`](crate::raft::MAX_PROPOSAL_BYTES).
    #[error("a write of {0} bytes is too large")]
    TooLarge(usize),
    /// This node is stopping, or its storage failed.
    #[error("Raft has stopped: {0}")]
    Stopped(String),
}

/// Why there is no read index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Another server leads, or none.
    #[error("not the leader")]
    NotLeader {
        /// Who leads, as far as is known.
        leader: Option<ServerAddress>,
    },
    /// A majority did not confirm in time that this server still leads.
    #[error("a majority of the servers does not confirm the leader")]
    NoQuorum,
    /// This node is stopping, or its storage failed.
    #[error("Raft has stopped: {0}")]
    Stopped(String),
}

/// Why a cluster was not formed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootstrapError {
    /// This server is a member of a cluster already: nothing to do.
    #[error("this server is a member of a cluster already")]
    AlreadyInitialized,
    /// This server is not among the members.
    #[error("this server is not among the cluster's first members")]
    NotAMember,
    /// This node is stopping, or its storage failed.
    #[error("Raft has stopped: {0}")]
    Stopped(String),
}

/// Why the set of servers was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// Another server leads, or none.
    #[error("not the leader")]
    NotLeader {
        /// Who leads, as far as is known.
        leader: Option<ServerAddress>,
    },
    /// Another change is not over yet: try again.
    #[error("another change of the servers is in progress")]
    InProgress,
    /// The new server did not catch up, or a majority did not agree, in time. It stays a non-voter if it was added.
    #[error("the change of the servers was not over within {0:?}")]
    TimedOut(Duration),
    /// It cannot be: the last voter, an unknown server.
    #[error("the servers cannot be changed so: {0}")]
    Refused(String),
    /// This node is stopping, or its storage failed.
    #[error("Raft has stopped: {0}")]
    Stopped(String),
}

/// Why the leadership was not handed over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// This server does not lead.
    #[error("not the leader")]
    NotLeader,
    /// There is no other voter, or not the one asked for.
    #[error("there is no such voter to hand the leadership to")]
    NoTarget,
    /// It did not take over in time.
    #[error("the leadership was not taken over within {0:?}")]
    TimedOut(Duration),
    /// This node is stopping, or its storage failed.
    #[error("Raft has stopped: {0}")]
    Stopped(String),
}

/// What openraft says of a node that no longer runs.
pub(super) fn stopped(error: impl Display) -> String {
    error.to_string()
}

type Forward = ForwardToLeader<TypeConfig>;

impl From<RaftError<TypeConfig, ClientWriteError<TypeConfig>>> for ProposeError {
    fn from(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> Self {
        match error {
            RaftError::APIError(ClientWriteError::ForwardToLeader(Forward { leader_node, .. })) => {
                Self::NotLeader { leader: leader_node }
            }
            RaftError::APIError(ClientWriteError::LogEntryDiscarded(Forward { leader_node, .. })) => {
                Self::LeadershipLost { leader: leader_node }
            }
            error => Self::Stopped(stopped(error)),
        }
    }
}

impl From<RaftError<TypeConfig, LinearizableReadError<TypeConfig>>> for ReadError {
    fn from(error: RaftError<TypeConfig, LinearizableReadError<TypeConfig>>) -> Self {
        match error {
            RaftError::APIError(LinearizableReadError::ForwardToLeader(Forward { leader_node, .. })) => {
                Self::NotLeader { leader: leader_node }
            }
            RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)) => Self::NoQuorum,
            RaftError::Fatal(error) => Self::Stopped(stopped(error)),
        }
    }
}

impl From<RaftError<TypeConfig, LinearizableReadError<TypeConfig>>> for MembershipError {
    fn from(error: RaftError<TypeConfig, LinearizableReadError<TypeConfig>>) -> Self {
        match ReadError::from(error) {
            ReadError::NotLeader { leader } => Self::NotLeader { leader },
            ReadError::NoQuorum => Self::NotLeader { leader: None },
            ReadError::Stopped(reason) => Self::Stopped(reason),
        }
    }
}

impl From<RaftError<TypeConfig, InitializeError<TypeConfig>>> for BootstrapError {
    fn from(error: RaftError<TypeConfig, InitializeError<TypeConfig>>) -> Self {
        match error {
            RaftError::APIError(InitializeError::NotAllowed(_)) => Self::AlreadyInitialized,
            RaftError::APIError(InitializeError::NotInMembers(_)) => Self::NotAMember,
            RaftError::Fatal(error) => Self::Stopped(stopped(error)),
        }
    }
}

impl From<RaftError<TypeConfig, ClientWriteError<TypeConfig>>> for MembershipError {
    fn from(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> Self {
        match error {
            RaftError::APIError(
                ClientWriteError::ForwardToLeader(Forward { leader_node, .. })
                | ClientWriteError::LogEntryDiscarded(Forward { leader_node, .. }),
            ) => Self::NotLeader { leader: leader_node },
            RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => match error {
                ChangeMembershipError::InProgress(_) | ChangeMembershipError::UncommittedLeaderLog(_) => {
                    Self::InProgress
                }
                error => Self::Refused(error.to_string()),
            },
            RaftError::APIError(error @ ClientWriteError::PreconditionFailed(_)) => Self::Refused(error.to_string()),
            RaftError::Fatal(error) => Self::Stopped(stopped(error)),
        }
    }
}
