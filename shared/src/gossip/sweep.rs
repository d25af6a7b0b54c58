//! The table follows foca: after each thing foca reports, the members it is about are looked at.
//!
//! Foca keeps its members in one list, and a pool in which a thousand come up one after the other would look at all of
//! them a thousand times.

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use foca::State;

use super::{
    identity::Identity,
    member::Facts,
    protocol::{FETCH_TURNS, Presence, Protocol},
};

/// Which members the table may not follow yet, by their addresses; not more than foca has members.
#[derive(Debug, Default)]
pub(super) struct Unswept {
    addresses: HashSet<SocketAddr>,
}

impl Unswept {
    /// Something was reported of the member at this address.
    pub fn note(&mut self, address: SocketAddr) {
        self.addresses.insert(address);
    }
}

impl Protocol {
    /// Brings the table in line with what foca holds. False when there was nothing to do.
    pub(super) fn sweep(&mut self, now: Duration) -> bool {
        let noted = std::mem::take(&mut self.unswept.addresses);
        if noted.is_empty() {
            return false;
        }
        let own = *self.foca.identity();
        // Our own address is looked at always: nothing is reported of a double there.
        let wanted = |address: SocketAddr| address == own.address || noted.contains(&address);
        let held = self.foca.iter_membership_state().filter(|member| wanted(member.id().address));
        let held: Vec<_> = held.map(|member| (*member.id(), member.state() == State::Down)).collect();
        for (identity, down) in held {
            if identity.address != own.address {
                self.follow_member(now, identity, down);
            } else if identity.order() > own.order() && self.presence != Presence::Left {
                self.outlive(now, identity);
            }
        }
        let size = self.foca.num_members() + 1;
        if size != self.sized_for {
            self.sized_for = size;
            if let Err(error) = self.foca.set_config(self.timing.foca(size)) {
                tracing::debug!(%error, size, "the failure detector was not tuned to the pool's size");
            }
        }
        true
    }

    fn follow_member(&mut self, now: Duration, identity: Identity, down: bool) {
        if self.table.observe(identity, Facts { down, ..Facts::default() }, now) {
            self.retell_departure(identity);
        }
        if !down && !self.table.describes(identity) {
            self.undescribed.entry(identity.address).or_insert(now + self.timing.gossip * FETCH_TURNS);
        }
    }
}
