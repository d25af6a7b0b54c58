//! What the heartbeats of the followed server said last: who leads, who the servers are, how fresh the view is.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lictor_proto::internal::Heartbeat;
use lictor_shared::backend::Contact;
use tokio::time::Instant;

/// The last word from the servers. Survives their loss; grows old.
#[derive(Debug)]
pub struct ServerContact {
    heard: Mutex<Heard>,
    silence_limit: Duration,
}

#[derive(Debug)]
struct Heard {
    /// When the leader's last word that is known of was, but for `earlier`.
    leader_at: Instant,
    /// How long before this process that word was.
    earlier: Duration,
    /// When a server was last heard, while its stream is open.
    at: Option<Instant>,
    known_leader: bool,
    leader: Option<String>,
    peers: Vec<String>,
}

/// The most server addresses taken from one heartbeat.
const MAX_PEERS: usize = 64;

impl ServerContact {
    /// Nothing was heard yet. After `silence_limit` without a word, no leader is known.
    #[must_use]
    pub fn new(silence_limit: Duration) -> Self {
        let leader_at = Instant::now();
        let (at, earlier, peers) = (None, Duration::ZERO, Vec::new());
        let heard = Heard { leader_at, earlier, at, known_leader: false, leader: None, peers };
        Self { heard: Mutex::new(heard), silence_limit }
    }

    /// The view is from an earlier life, to which a leader spoke so long ago.
    #[must_use]
    pub fn of_earlier_life(self, age: Duration) -> Self {
        self.heard().earlier = age;
        self
    }

    /// Takes a heartbeat.
    pub fn hear(&self, heartbeat: Heartbeat) {
        let now = Instant::now();
        let mut heard = self.heard();
        heard.at = Some(now);
        heard.known_leader = heartbeat.known_leader;
        heard.leader = Some(heartbeat.leader).filter(|leader| !leader.is_empty());
        heard.peers = heartbeat.servers;
        heard.peers.truncate(MAX_PEERS);
        if heartbeat.known_leader {
            let spoken = now.checked_sub(Duration::from_millis(heartbeat.leader_contact_ms)).unwrap_or(now);
            heard.leader_at = heard.leader_at.max(spoken);
            heard.earlier = Duration::ZERO;
        }
    }

    /// The stream ended: until another is open, no leader is known.
    pub fn lose(&self) {
        self.heard().at = None;
    }

    /// How fresh the view is.
    #[must_use]
    pub fn contact(&self) -> Contact {
        let heard = self.heard();
        let lively = heard.at.is_some_and(|at| at.elapsed() < self.silence_limit);
        Contact {
            known_leader: lively && heard.known_leader,
            last: heard.leader_at.elapsed().saturating_add(heard.earlier),
        }
    }

    /// The leader's RPC address, as last heard.
    #[must_use]
    pub fn leader(&self) -> Option<String> {
        self.heard().leader.clone()
    }

    /// The RPC addresses of the voting servers, as last heard.
    #[must_use]
    pub fn peers(&self) -> Vec<String> {
        self.heard().peers.clone()
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        // No code that holds the lock can leave it half changed.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heartbeat(leader: &str, leader_contact_ms: u64) -> Heartbeat {
        let servers = vec!["a".into(), "b".into()];
        let (leader, known_leader) = (leader.into(), !leader.is_empty());
        Heartbeat { index: 1, leader, known_leader, servers, leader_contact_ms, server_ids: vec![1, 2] }
    }

    #[test]
    fn the_age_is_that_of_the_leaders_last_word() {
        let contact = ServerContact::new(Duration::from_secs(60));
        assert!(!contact.contact().known_leader);
        contact.hear(heartbeat("a", 0));
        assert!(contact.contact().known_leader && contact.contact().last < Duration::from_secs(30));
        assert_eq!((contact.leader(), contact.peers().len()), (Some("a".into()), 2));
        contact.hear(heartbeat("", 0));
        assert_eq!((contact.leader(), contact.contact().known_leader), (None, false));
        contact.hear(heartbeat("b", u64::MAX));
        assert!(contact.contact().known_leader);
        contact.lose();
        assert!(!contact.contact().known_leader);
        assert_eq!(contact.leader(), Some("b".into()), "whom to try first is remembered");
    }

    #[test]
    fn an_earlier_life_makes_it_older_until_a_leader_speaks() {
        let hour = Duration::from_secs(3600);
        let contact = ServerContact::new(Duration::from_secs(60)).of_earlier_life(hour);
        assert!(contact.contact().last >= hour);
        contact.hear(heartbeat("", 0));
        assert!(contact.contact().last >= hour);
        contact.hear(heartbeat("a", 0));
        assert!(contact.contact().last < hour);
    }

    #[test]
    fn silence_is_no_leader() {
        let contact = ServerContact::new(Duration::ZERO);
        contact.hear(heartbeat("a", 0));
        assert!(!contact.contact().known_leader);
    }
}
