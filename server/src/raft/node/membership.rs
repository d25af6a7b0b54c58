//! The set of servers: who is in it, and how it changes while the cluster runs.

use std::{collections::BTreeMap, time::Duration};

use openraft::{ChangeMembers, ReadPolicy, async_runtime::WatchReceiver};
use tokio::time::timeout;

use super::{MembershipError, RaftNode};
use crate::raft::ServerAddress;

/// How long a new server may take to catch up, and a change to be agreed on.
const CHANGE_LIMIT: Duration = Duration::from_secs(60);
/// A new server has caught up when it lacks no more entries than this.
const CAUGHT_UP_ENTRIES: u64 = 256;

/// A server of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// Its Raft ID.
    pub raft_id: u64,
    /// Where it is and who.
    pub address: ServerAddress,
    /// Whether it votes.
    pub voter: bool,
    /// Whether it leads, as far as is known.
    pub leader: bool,
}

impl RaftNode {
    /// All servers, by Raft ID; empty before the cluster is formed.
    #[must_use]
    pub fn servers(&self) -> Vec<ServerInfo> {
        let leader = self.leader().map(|(id, _)| id);
        let metrics = self.inner.raft.server_metrics();
        let membership = metrics.borrow_watched().membership_config.clone();
        let info = |(id, address): (&u64, &ServerAddress)| ServerInfo {
            raft_id: *id,
            address: address.clone(),
            voter: membership.voter_ids().any(|voter| voter == *id),
            leader: leader == Some(*id),
        };
        membership.nodes().map(info).collect()
    }

    /// Adds a server (or corrects the address of a known one). A voter is first let catch up without a vote, so that
    /// the cluster does not wait for it.
    ///
    /// # Errors
    /// [`MembershipError`]; after [`MembershipError::TimedOut`] it may be in without a vote: asking again goes on.
    pub async fn add_server(&self, id: u64, address: ServerAddress, voter: bool) -> Result<(), MembershipError> {
        let known = self.servers().into_iter().find(|server| server.raft_id == id);
        if known.as_ref().is_none_or(|known| known.address != address) {
            self.update_server(id, address).await?;
        }
        if !voter || known.is_some_and(|known| known.voter) {
            return Ok(());
        }
        let caught_up = timeout(CHANGE_LIMIT, self.caught_up(id)).await;
        caught_up.map_err(|_| MembershipError::TimedOut(CHANGE_LIMIT))??;
        self.change(ChangeMembers::AddVoterIds([id].into()), true).await
    }

    /// Sets the address of a server, as after it came back elsewhere; one that is unknown is added without a vote.
    ///
    /// # Errors
    /// [`MembershipError`].
    pub async fn update_server(&self, id: u64, address: ServerAddress) -> Result<(), MembershipError> {
        self.change(ChangeMembers::SetNodes(BTreeMap::from([(id, address)])), true).await
    }

    /// Takes a server out, whether it votes or not, is reachable or not; one that is not in is no error.
    ///
    /// # Errors
    /// [`MembershipError`].
    pub async fn remove_server(&self, id: u64) -> Result<(), MembershipError> {
        match self.servers().into_iter().find(|server| server.raft_id == id) {
            None => Ok(()),
            Some(server) if server.voter => self.change(ChangeMembers::RemoveVoters([id].into()), false).await,
            Some(_) => self.change(ChangeMembers::RemoveNodes([id].into()), false).await,
        }
    }

    async fn change(&self, change: ChangeMembers<u64, ServerAddress>, retain: bool) -> Result<(), MembershipError> {
        let raft = &self.inner.raft;
        let changed = async {
            // A new leader does not know what is committed before its first own entry is: it would take the present
            // members for a change in progress.
            raft.ensure_linearizable(ReadPolicy::ReadIndex).await?;
            Ok::<_, MembershipError>(raft.change_membership(change, retain).await?)
        };
        timeout(CHANGE_LIMIT, changed).await.map_err(|_| MembershipError::TimedOut(CHANGE_LIMIT))?.map(drop)
    }

    async fn caught_up(&self, id: u64) -> Result<(), MembershipError> {
        let mut metrics = self.inner.raft.metrics();
        loop {
            let now = metrics.borrow_watched().clone();
            let Some(replication) = &now.replication else {
                return Err(MembershipError::NotLeader { leader: self.leader().map(|(_, address)| address) });
            };
            let matched = replication.get(&id).copied().flatten().map(|id| id.index);
            let wanted = now.last_log_index.unwrap_or(0).saturating_sub(CAUGHT_UP_ENTRIES);
            if matched.is_some_and(|matched| matched >= wanted) {
                return Ok(());
            }
            metrics.changed().await.map_err(|_| MembershipError::Stopped("it is stopping".into()))?;
        }
    }
}
