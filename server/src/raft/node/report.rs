//! What the leader knows of each server: for operators.
//!
//! Whether a server answers is looked at with every beat of the leader, so that it can be said since when it does.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lictor_shared::{
    backend::{ServerReport, ServersReport},
    model::{Index, Time},
};
use openraft::{Instant, async_runtime::WatchReceiver};

use super::RaftNode;

/// Since when each server answers, or does not. Empty at a server that does not lead.
#[derive(Default)]
pub(super) struct Stability {
    since: Mutex<BTreeMap<u64, (bool, Time)>>,
}

impl Stability {
    /// Notes which of the servers answer at present; those that are not named are forgotten.
    fn note(&self, answering: &[(u64, bool)], now: Time) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.retain(|id, _| answering.iter().any(|(named, _)| named == id));
        for (id, answers) in answering {
            match since.entry(*id) {
                Entry::Vacant(vacant) => drop(vacant.insert((*answers, now))),
                Entry::Occupied(known) if known.get().0 == *answers => {}
                Entry::Occupied(mut changed) => *changed.get_mut() = (*answers, now),
            }
        }
    }

    fn since(&self, id: u64) -> Option<Time> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).get(&id).map(|(_, since)| *since)
    }
}

impl RaftNode {
    /// The set of servers as this one sees it; none where it does not lead.
    #[must_use]
    pub fn report(&self) -> Option<ServersReport> {
        self.is_leader().then(|| self.known())
    }

    /// The same, whoever leads. One that does not lead knows of none but itself how far it is.
    #[must_use]
    pub fn known(&self) -> ServersReport {
        let contacts = self.contacts();
        let metrics = self.inner.raft.data_metrics().borrow_watched().clone();
        let own = metrics.last_log;
        let matched = |id: u64| metrics.replication.as_ref().and_then(|all| all.get(&id).copied().flatten());
        let servers = self.servers().into_iter().map(|server| {
            let id = server.raft_id;
            let last = if id == self.id() { own } else { matched(id) };
            ServerReport {
                name: server.address.name,
                node_id: server.address.node_id,
                address: server.address.rpc,
                voter: server.voter,
                leader: server.leader,
                last_contact: contacts.get(&id).copied().flatten(),
                last_term: last.map_or(0, |last| last.leader_id.term),
                last_index: Index(last.map_or(0, |last| last.index)),
                stable_since: self.inner.stability.since(id).unwrap_or_else(Time::now),
            }
        });
        ServersReport { servers: servers.collect(), last_index: Index(own.map_or(0, |last| last.index)) }
    }

    /// Notes which servers answer this leader.
    pub(super) fn note_stability(&self) {
        let limit = self.inner.settings.leader_limit();
        let contacts = if self.is_leader() { self.contacts() } else { BTreeMap::new() };
        let answering: Vec<_> =
            contacts.into_iter().map(|(id, contact)| (id, contact.is_some_and(|age| age <= limit))).collect();
        self.inner.stability.note(&answering, Time::now());
    }

    /// How long ago each server answered this leader.
    fn contacts(&self) -> BTreeMap<u64, Option<Duration>> {
        let metrics = self.inner.raft.data_metrics().borrow_watched().clone();
        let answered = |id: u64| metrics.heartbeat.as_ref().and_then(|all| all.get(&id).copied().flatten());
        let contact = |id: u64| {
            if id == self.id() { Some(Duration::ZERO) } else { answered(id).map(|at| at.elapsed()) }
        };
        self.servers().iter().map(|server| (server.raft_id, contact(server.raft_id))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_stable_since_it_last_changed() {
        let stability = Stability::default();
        for (answering, now, since) in [
            (&[(1, true), (2, true)][..], 10, [Some(10), Some(10)]),
            (&[(1, true), (2, false)], 20, [Some(10), Some(20)]),
            (&[(1, true), (2, false)], 30, [Some(10), Some(20)]),
            (&[(1, true)], 40, [Some(10), None]),
            (&[(1, true), (2, true)], 50, [Some(10), Some(50)]),
            (&[], 60, [None, None]),
        ] {
            stability.note(answering, Time(now));
            assert_eq!([stability.since(1), stability.since(2)], since.map(|since| since.map(Time)), "at {now}");
        }
    }
}
