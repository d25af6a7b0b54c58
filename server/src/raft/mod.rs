//! Consensus: one replicated log of commands, and the registry's state that comes of it.
//!
//! A thin house around `openraft`, whose types do not leave it. The log index of Raft is the registry's
//! [`Index`](lictor_shared::model::Index), until a state that was saved at a higher one is restored: from then on the
//! registry's is ahead by as much (`State::next_index`). What is where:
//!
//! | module | holds |
//! |---|---|
//! | `node` | [`RaftNode`], the handle: propose, read barriers, membership, leadership |
//! | `proposal` | what a log entry carries |
//! | `log` | the durable log: segments of frames, group commit from one writer thread, reads from an in-memory tail |
//! | `machine` | applies committed entries to the state, one view swap for each batch |
//! | `snapshot` | snapshot files: built, checked, received |
//! | `network` | the client's and the server's side of Raft's RPCs, over the one gRPC port |
//! | `data_dir` | whose data directory it is |
//! | `fail_point` | where a test of a debug build ends the process |
//! | `surroundings` | what a node takes from outside, so that a simulation can stand in for it |
//! | `recovery` | goes on without servers that are lost for ever, as the operator says |
//!
//! What holds everywhere here: a storage error ends the process (`Tasks::fail`), it is never logged and swallowed; a
//! Raft ID is made with its data directory and never used again after a wipe; an acknowledged write is on the disks
//! of a majority.

pub mod data_dir;
mod fail_point;
mod incoming;
mod log;
mod machine;
mod network;
mod node;
mod paced_file;
mod proposal;
mod recovery;
mod snapshot;
mod surroundings;
#[cfg(test)]
mod tests;

use lictor_shared::{command::Written, model::NodeName};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::{
    machine::ChangeSink,
    network::{RaftService, is_readable},
    node::{
        BootstrapError, MembershipError, ProposeError, RaftNode, RaftSettings, ReadError, ServerInfo, StartError,
        TransferError,
    },
    proposal::MAX_PROPOSAL_BYTES,
    recovery::RecoveryError,
    snapshot::SnapshotError,
};

openraft::declare_raft_types!(
    /// What Lictor puts into the places that openraft leaves open.
    pub(crate) TypeConfig:
        D = proposal::Proposal,
        R = Written,
        Node = ServerAddress,
        AsyncRuntime = surroundings::Runtime,
);

type Entry = openraft::type_config::alias::EntryOf<TypeConfig>;
type LogId = openraft::type_config::alias::LogIdOf<TypeConfig>;
type Vote = openraft::type_config::alias::VoteOf<TypeConfig>;
type StoredMembership = openraft::type_config::alias::StoredMembershipOf<TypeConfig>;
type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<TypeConfig>;

/// A server as the others know it; it stands in the log with the membership.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerAddress {
    /// Where its RPC port is, `ip:port`.
    pub rpc: String,
    /// Its node's ID.
    pub node_id: Uuid,
    /// Its node's name.
    pub name: NodeName,
}
