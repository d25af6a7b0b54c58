//! The set of hosts that may be called, what changed in it, and whose turn it is. Pure: no network, no clock.
//!
//! Only the registry adds and deletes hosts; one that refuses calls stays in the set until the registry drops it.
//! The set comes from `watch.rs`, the calls are in `call.rs`.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    ops::Bound::{Excluded, Unbounded},
};

/// Hosts kept; each has a connection. The rest of a longer answer, in the order of addresses, is left out.
pub const HOSTS_MAX: usize = 1000;

/// The hosts in the order of their addresses, and the one tried last.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    hosts: BTreeSet<SocketAddr>,
    last_tried: Option<SocketAddr>,
}

/// What [`Hosts::replace`] changed, in the order of addresses.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Difference {
    /// Hosts that were not there before.
    pub added: Vec<SocketAddr>,
    /// Hosts that are no longer there.
    pub deleted: Vec<SocketAddr>,
}

impl Hosts {
    /// Makes `hosts` the whole set (duplicates count once, at most [`HOSTS_MAX`] are kept) and says what changed.
    /// The round goes on after the host tried last, even if that one has gone.
    pub fn replace(&mut self, hosts: impl IntoIterator<Item = SocketAddr>) -> Difference {
        let mut hosts: BTreeSet<_> = hosts.into_iter().collect();
        if let Some(first_left_out) = hosts.iter().nth(HOSTS_MAX).copied() {
            hosts.split_off(&first_left_out);
        }
        let difference = Difference {
            added: hosts.difference(&self.hosts).copied().collect(),
            deleted: self.hosts.difference(&hosts).copied().collect(),
        };
        self.hosts = hosts;
        difference
    }

    /// The host whose turn it is: the one after the host tried last. None if the set is empty.
    pub fn next_turn(&mut self) -> Option<SocketAddr> {
        let after_last = self.last_tried.and_then(|last| self.hosts.range((Excluded(last), Unbounded)).next());
        let turn = after_last.or_else(|| self.hosts.first()).copied();
        self.last_tried = turn.or(self.last_tried);
        turn
    }

    /// How many hosts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether there is no host.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Whether `host` is in the set.
    #[must_use]
    pub fn contains(&self, host: SocketAddr) -> bool {
        self.hosts.contains(&host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One host for each letter, on the port of its code.
    fn hosts(letters: &str) -> Vec<SocketAddr> {
        letters.bytes().map(|letter| SocketAddr::from(([127, 0, 0, 1], letter.into()))).collect()
    }

    #[test]
    fn differences() {
        for (before, after, added, deleted) in [
            ("", "", "", ""),
            ("", "ab", "ab", ""),
            ("", "baab", "ab", ""),
            ("ab", "ab", "", ""),
            ("ab", "ba", "", ""),
            ("ab", "bc", "c", "a"),
            ("ab", "", "", "ab"),
            ("b", "cab", "ac", ""),
        ] {
            let mut set = Hosts::default();
            set.replace(hosts(before));
            let difference = set.replace(hosts(after));
            assert_eq!(difference, Difference { added: hosts(added), deleted: hosts(deleted) }, "{before} -> {after}");
            assert_eq!(set.len(), hosts(after).iter().collect::<BTreeSet<_>>().len());
        }
    }

    #[test]
    fn rounds_go_on_after_the_host_tried_last() {
        // Capitals replace the set by those hosts, a dot takes a turn; the turns taken are on the right.
        for (steps, turns) in [
            (vec!["ABC", "....."], "abcab"),
            (vec!["A", "..."], "aaa"),
            (vec!["", "..", "B", ".."], "bb"),
            (vec!["ABC", ".", "BC", "..."], "abcb"),
            (vec!["ABC", ".", "AC", "..."], "acac"),
            (vec!["AC", ".", "ABC", "..."], "abca"),
            (vec!["ABC", "...", "AB", ".."], "abcab"),
            (vec!["AB", ".", "", ".", "AB", "."], "ab"),
        ] {
            let (mut set, mut taken) = (Hosts::default(), Vec::new());
            for step in &steps {
                if step.starts_with('.') {
                    taken.extend(step.chars().filter_map(|_| set.next_turn()));
                } else {
                    set.replace(hosts(&step.to_lowercase()));
                }
            }
            assert_eq!(taken, hosts(turns), "{steps:?}");
        }
    }

    #[test]
    fn a_set_above_the_limit_is_cut_to_the_first_addresses() {
        let mut set = Hosts::default();
        let many = |ports: std::ops::Range<u16>| ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let difference = set.replace(many(1..2000).rev());
        assert_eq!(difference.added, many(1..1001).collect::<Vec<_>>());
        assert_eq!(set.len(), HOSTS_MAX);
    }
}
