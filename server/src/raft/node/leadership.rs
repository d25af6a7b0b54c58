//! Who leads, who is told of it, and how it is handed over.

use std::time::Duration;

use lictor_shared::metrics::{RAFT_APPLIED_INDEX, RAFT_LAST_INDEX, RAFT_LEADS, RAFT_SNAPSHOT_INDEX, RAFT_TERM};
use openraft::{Instant, async_runtime::WatchReceiver};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{RaftNode, TransferError, errors::stopped};
use crate::raft::ServerAddress;

impl RaftNode {
    /// The leader, where there is one that counts (see the module), and its address.
    #[must_use]
    pub fn leader(&self) -> Option<(u64, ServerAddress)> {
        let id = self.leader_id()?;
        let metrics = self.inner.raft.server_metrics();
        let address = metrics.borrow_watched().membership_config.get_node(&id).cloned()?;
        Some((id, address))
    }

    /// Whether this server leads and a majority follows.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.leader_id() == Some(self.id())
    }

    /// Tells of every change of the leader: its Raft ID, none while there is none that counts.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Option<u64>> {
        self.inner.leader.subscribe()
    }

    /// The age of the last word from the leader: zero at a leader that counts, the longest possible before the first.
    #[must_use]
    pub fn last_contact(&self) -> Duration {
        self.contact().1
    }

    /// Hands the leadership to a voter: `to`, or the one that has most of the log. Returns when another leads.
    ///
    /// # Errors
    /// [`TransferError`].
    pub async fn transfer_leadership(&self, to: Option<u64>) -> Result<(), TransferError> {
        if !self.is_leader() {
            return Err(TransferError::NotLeader);
        }
        let target = self.heir(to).ok_or(TransferError::NoTarget)?;
        let mut leadership = self.leadership();
        let trigger = self.inner.raft.trigger().transfer_leader(target).await;
        trigger.map_err(|error| TransferError::Stopped(stopped(error)))?;
        let limit = 2 * self.inner.settings.leader_limit();
        let id = self.id();
        let another = leadership.wait_for(|leader| leader.is_some_and(|leader| leader != id));
        match timeout(limit, another).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(TransferError::Stopped(stopped(error))),
            Err(_) => Err(TransferError::TimedOut(limit)),
        }
    }

    fn heir(&self, to: Option<u64>) -> Option<u64> {
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        let others = metrics.membership_config.voter_ids().filter(|id| *id != self.id());
        let matched = |id: &u64| metrics.replication.as_ref().and_then(|all| all.get(id).copied().flatten());
        match to {
            Some(to) => others.into_iter().find(|id| *id == to),
            None => others.max_by_key(matched),
        }
    }

    /// Whether there is a leader that counts, and the age of its last word ([`Self::last_contact`]): one look for both,
    /// as every read of the catalog asks.
    #[must_use]
    pub fn contact(&self) -> (bool, Duration) {
        let (heard, age) = self.leader_heard();
        let leader = self.if_it_counts(heard, age);
        let own = leader == Some(self.id());
        (leader.is_some(), if own { Duration::ZERO } else { age.unwrap_or(Duration::MAX) })
    }

    /// openraft's leader, if it was heard of (or, being this server, confirmed) lately.
    fn leader_id(&self) -> Option<u64> {
        let (leader, age) = self.leader_heard();
        self.if_it_counts(leader, age)
    }

    fn if_it_counts(&self, leader: Option<u64>, age: Option<Duration>) -> Option<u64> {
        let settings = &self.inner.settings;
        let limit = if leader == Some(self.id()) { settings.lease() } else { settings.leader_limit() };
        leader.filter(|_| age.is_some_and(|age| age <= limit))
    }

    /// openraft's leader, and how long ago it was heard of or confirmed.
    fn leader_heard(&self) -> (Option<u64>, Option<Duration>) {
        let (leader, alone) = {
            let metrics = self.inner.raft.server_metrics();
            let metrics = metrics.borrow_watched();
            (metrics.current_leader, metrics.membership_config.voter_ids().eq([self.id()]))
        };
        let age = match leader {
            Some(leader) if leader == self.id() && alone => Some(Duration::ZERO),
            Some(leader) if leader == self.id() => {
                let confirmed = self.inner.raft.data_metrics().borrow_watched().last_quorum_acked;
                confirmed.map(|confirmed| confirmed.elapsed())
            }
            _ => self.inner.contact.age(),
        };
        (leader, age)
    }

    /// Says in metrics where this server is.
    fn show(&self) {
        let (term, last, applied, snapshot) = {
            let metrics = self.inner.raft.metrics();
            let metrics = metrics.borrow_watched();
            (metrics.current_term, metrics.last_log_index, metrics.last_applied, metrics.snapshot)
        };
        RAFT_TERM.reach(term);
        RAFT_LEADS.set(usize::from(self.is_leader()));
        RAFT_LAST_INDEX.reach(last.unwrap_or(0));
        RAFT_APPLIED_INDEX.reach(applied.map_or(0, |id| id.index));
        RAFT_SNAPSHOT_INDEX.reach(snapshot.map_or(0, |id| id.index));
    }

    /// Tells of changes of the leader until the node stops; an error of openraft ends the process.
    pub(super) async fn watch_over(self, stopping: CancellationToken) -> Result<(), String> {
        let mut metrics = self.inner.raft.server_metrics();
        let mut look = interval(self.inner.settings.heartbeat());
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let stopped = tokio::select! {
                () = stopping.cancelled() => break,
                _ = look.tick() => false,
                changed = metrics.changed() => changed.is_err(),
            };
            let running = self.inner.raft.metrics().borrow_watched().running_state.clone();
            match running {
                Err(openraft::errors::Fatal::Stopped) => break,
                Err(error) => return Err(error.to_string()),
                Ok(()) if stopped => break,
                Ok(()) => {
                    self.tell_leader();
                    self.note_stability();
                    self.show();
                }
            }
        }
        self.inner.leader.send_replace(None);
        RAFT_LEADS.set(0);
        self.shutdown().await;
        stopping.cancelled().await;
        Ok(())
    }

    fn tell_leader(&self) {
        let leader = self.leader_id();
        let changed = self.inner.leader.send_if_modified(|told| std::mem::replace(told, leader) != leader);
        if changed {
            match self.leader() {
                Some((id, address)) => tracing::info!(leader = %address.name, rpc = %address.rpc, id, "new leader"),
                None => tracing::info!("no leader"),
            }
        }
    }
}
