//! [`RaftNode`]: the handle that the rest of a server holds.
//!
//! Cheap to clone; all clones are the same node. Writes are stamped with the leader's clock here (`propose`), the only place
//! where one is read. Who leads is openraft's word qualified by time: a leader that no majority has confirmed, and
//! one that has not been heard of, lately does not count, so that duties stop and callers
//! are told in time.
//!
//! openraft's metrics are behind a lock that its core takes for each change: nothing that may look at them again is
//! called while one is held. A second look of the same thread would wait behind the core, which waits for the first.

mod errors;
mod leadership;
mod membership;
mod propose;
mod report;
mod settings;
mod start;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use lictor_shared::{backend::Consistency, model::Index, view::Reader};
use openraft::{Raft, ReadPolicy, async_runtime::WatchReceiver};
use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};

pub use self::{
    errors::{BootstrapError, MembershipError, ProposeError, ReadError, StartError, TransferError},
    membership::ServerInfo,
    settings::RaftSettings,
};
use super::{
    RaftService, ServerAddress, TypeConfig,
    log::LogReader,
    machine::Machine,
    network::{Contact, Peers},
    snapshot::SnapshotStore,
};

/// A running Raft node.
#[derive(Clone)]
pub struct RaftNode {
    inner: Arc<Inner>,
}

struct Inner {
    settings: RaftSettings,
    raft: Raft<TypeConfig, Machine>,
    log: LogReader,
    snapshots: Arc<SnapshotStore>,
    contact: Arc<Contact>,
    peers: Peers,
    reader: Reader,
    /// A permit is one KiB.
    in_flight: Semaphore,
    leader: watch::Sender<Option<u64>>,
    stability: report::Stability,
}

impl fmt::Debug for RaftNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RaftNode").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl RaftNode {
    /// This server's Raft ID.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.inner.settings.raft_id
    }

    /// The gRPC service through which the other servers reach this node: to be added to the RPC port.
    #[must_use]
    pub fn service(&self) -> RaftService {
        let inner = &self.inner;
        RaftService::new(self.id(), inner.raft.clone(), inner.snapshots.clone(), inner.contact.clone())
    }

    /// The index that a view must have reached before a read of that consistency is answered from it.
    ///
    /// For [`Consistency::Leader`] without a round trip, from a leader that a majority has confirmed within its
    /// lease; never less than what earlier leaders have acknowledged. For [`Consistency::Quorum`] after
    /// a majority has confirmed this leader anew (`ReadIndex`, Raft dissertation section 6.4).
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read_index(&self, consistency: Consistency) -> Result<Index, ReadError> {
        let policy = match consistency {
            Consistency::Leader => ReadPolicy::LeaseRead,
            Consistency::Quorum => ReadPolicy::ReadIndex,
        };
        let read = async {
            let (id, _) = self.inner.raft.get_read_log_id(policy).await?;
            Ok::<_, ReadError>(self.made_by(id.log_id().index).await)
        };
        let limit = self.inner.settings.leader_limit();
        match timeout(limit, read).await.map_err(|_| ReadError::NoQuorum)? {
            Err(ReadError::NotLeader { leader }) => Err(ReadError::NotLeader { leader: self.heard(leader) }),
            read => read,
        }
    }

    /// The index of the registry that an entry of the log made, or a later one. How far that is ahead of the log is
    /// certain only once the entry is applied here, for it may be a restore, or come after one.
    async fn made_by(&self, log_index: u64) -> Index {
        loop {
            let (applied, index) = {
                let state = self.inner.reader.load();
                (state.log_index(), state.next_index(log_index))
            };
            if applied >= log_index {
                return index;
            }
            self.inner.reader.reach(index).await;
        }
    }

    /// openraft's hint where to go, unless it is the leader that is gone.
    fn heard(&self, hint: Option<ServerAddress>) -> Option<ServerAddress> {
        hint.filter(|_| self.leader().is_some())
    }

    /// Forms a cluster of `members` (this server among them). To be done at one server, once; doing it at several
    /// with the same members is harmless.
    ///
    /// # Errors
    /// [`BootstrapError::AlreadyInitialized`] when this server has ever been in a cluster, and the others.
    pub async fn bootstrap(&self, members: BTreeMap<u64, ServerAddress>) -> Result<(), BootstrapError> {
        Ok(self.inner.raft.initialize(members).await?)
    }

    /// Whether this server has ever been in a cluster.
    ///
    /// # Errors
    /// When this node is stopping, or its storage failed.
    pub async fn is_initialized(&self) -> Result<bool, ReadError> {
        self.inner.raft.is_initialized().await.map_err(|error| ReadError::Stopped(errors::stopped(error)))
    }

    /// Tells where servers are now, by Raft ID, `ip:port`: it counts more than what the membership has. Replaces what
    /// was told before.
    pub fn found(&self, addresses: BTreeMap<u64, String>) {
        self.inner.peers.found(addresses);
    }

    /// Waits until the view has everything that this server knew to be committed when it was started, and a leader
    /// has confirmed it: from then on reads are as fresh as those of any server. False when `limit` passed first.
    pub async fn wait_recovered(&self, limit: Duration) -> bool {
        self.inner.raft.wait_for_recovery(Some(limit)).await.is_ok()
    }

    /// The index of the first entry that this server's log still has; who lacks earlier ones gets a snapshot.
    #[must_use]
    pub fn first_index(&self) -> Index {
        let metrics = self.inner.raft.data_metrics();
        let purged = metrics.borrow_watched().purged;
        Index(purged.map_or(0, |id| id.index + 1))
    }

    /// How often this server's log was committed (one fsync each) since the start: far less often than it was written
    /// to when many write at once.
    #[must_use]
    pub fn log_commits(&self) -> u64 {
        self.inner.log.commits()
    }

    /// The present term.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.inner.raft.metrics().borrow_watched().current_term
    }

    /// Stops the node: nothing is voted, written or applied afterwards, and the log's file is free to be opened
    /// again. Leadership is not handed over; see [`RaftNode::transfer_leadership`].
    pub async fn shutdown(&self) {
        if let Err(error) = self.inner.raft.shutdown().await {
            tracing::warn!(%error, "Raft did not stop in order");
        }
    }
}
