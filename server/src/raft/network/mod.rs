//! Raft's RPCs over gRPC, on the servers' one port.
//!
//! Bodies are openraft's own messages, positional (postcard), in raw gRPC frames (`frame`): a private protocol
//! between servers of one version of this format, so there is no .proto for it. The service's name carries that
//! version. Every request says for which Raft ID it is meant, and a server refuses one that is meant for another: a
//! server that came back with an empty directory has a new ID, and must not answer for the old one.
//!
//! `peer` is the client's side, `service` the server's.

mod frame;
mod peer;
mod service;

pub use self::service::RaftService;
pub(super) use self::{peer::Peers, service::Contact};

use bytes::Bytes;
use openraft::raft::{AppendEntriesRequest, SnapshotResponse, TransferLeaderRequest, VoteRequest};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{SnapshotMeta, TypeConfig, Vote};

/// The service's name.
const SERVICE: &str = "lictor.raft.v1.Raft";
const APPEND: &str = "/lictor.raft.v1.Raft/Append";
const VOTE: &str = "/lictor.raft.v1.Raft/Vote";
const PRE_VOTE: &str = "/lictor.raft.v1.Raft/PreVote";
const TRANSFER: &str = "/lictor.raft.v1.Raft/Transfer";
const SNAPSHOT: &str = "/lictor.raft.v1.Raft/Snapshot";

/// The largest message that is sent or taken, in bytes: a full request and one entry of the largest size.
const MAX_MESSAGE_BYTES: usize = super::MAX_PROPOSAL_BYTES + (4 << 20);
/// The size of a snapshot's pieces.
const PIECE_BYTES: usize = 256 << 10;

/// A request and the Raft ID it is meant for.
#[derive(Serialize, Deserialize)]
struct Addressed<T> {
    target: u64,
    body: T,
}

/// The first message of a snapshot's stream; the pieces of the file follow.
#[derive(Serialize, Deserialize)]
struct SnapshotOpening {
    vote: Vote,
    meta: SnapshotMeta,
}

type SnapshotAnswer = SnapshotResponse<TypeConfig>;

fn encode<T: Serialize>(value: &T) -> Result<Bytes, postcard::Error> {
    postcard::to_stdvec(value).map(Bytes::from)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, postcard::Error> {
    postcard::from_bytes(bytes)
}

/// Whether bytes are a message of that kind, read as a server does that gets it: for the fuzzer.
#[doc(hidden)]
#[must_use]
pub fn is_readable(kind: u8, bytes: &[u8]) -> bool {
    match kind % 4 {
        0 => decode::<Addressed<AppendEntriesRequest<TypeConfig>>>(bytes)
            .is_ok_and(|read| service::consecutive(&read.body)),
        1 => decode::<Addressed<VoteRequest<TypeConfig>>>(bytes).is_ok(),
        2 => decode::<Addressed<TransferLeaderRequest<TypeConfig>>>(bytes).is_ok(),
        _ => decode::<Addressed<SnapshotOpening>>(bytes).is_ok(),
    }
}
