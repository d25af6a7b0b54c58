//! Measuring round trips: a small question and its answer, which carry the coordinates of both ends.
//!
//! Foca's own probes are not measured: their answers may come by way of others, and say nothing of who sent them.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use foca_rand::RngExt;
use serde::{Deserialize, Serialize};

use super::{
    coordinate::{LATENCY_WINDOW, Vivaldi},
    envelope::Kind,
    identity::Identity,
    protocol::{Presence, Protocol},
};
use crate::model::Coordinate;

/// A peer is asked in every so manieth probe period.
const PROBE_PERIODS: u32 = 2;

/// What travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Trip {
    /// Answer at once.
    Question { from: Identity, number: u64, coordinate: Coordinate },
    /// The question's number again.
    Answer { from: Identity, number: u64, coordinate: Coordinate },
    /// A request for help with a probe is here (`awareness`).
    Receipt { from: Identity },
}

/// What is known of distances. Of a peer no more than its record in the member table has it.
#[derive(Debug, Default)]
pub(super) struct RoundTrips {
    vivaldi: Vivaldi,
    peers: HashMap<SocketAddr, Peer>,
    /// The question that is out: its number, whom it asks and since when.
    asked: Option<(u64, SocketAddr, Duration)>,
    pub next_at: Duration,
}

#[derive(Debug, Default)]
struct Peer {
    coordinate: Coordinate,
    latest_s: VecDeque<f64>,
}

impl RoundTrips {
    /// This node's coordinate.
    pub fn own(&self) -> Coordinate {
        self.vivaldi.coordinate()
    }

    /// What the peer at this address last said of its own.
    pub fn of(&self, address: SocketAddr) -> Option<Coordinate> {
        self.peers.get(&address).map(|peer| peer.coordinate)
    }

    /// Forgets all peers but those of which it holds.
    pub fn retain(&mut self, known: impl Fn(SocketAddr) -> bool) {
        self.peers.retain(|address, _| known(*address));
    }
}

impl Protocol {
    /// Asks a random member that answers, when it is time.
    pub(super) fn start_due_round_trip(&mut self, now: Duration) {
        if self.round_trips.next_at > now {
            return;
        }
        self.round_trips.next_at = now + self.jittered(self.timing.probe_period * PROBE_PERIODS);
        let own = *self.foca.identity();
        // Foca's list is short to walk; the table's is not, and this is done by all members all the time.
        let members = self.foca.num_members();
        if members == 0 {
            return;
        }
        let place = self.random.random_range(0..members);
        let Some(address) = self.foca.iter_members().nth(place).map(|member| member.id().address) else { return };
        let number = self.random.random();
        self.round_trips.asked = Some((number, address, now));
        self.send_trip(address, Trip::Question { from: own, number, coordinate: self.round_trips.own() });
    }

    /// Takes the payload of a packet of [`Kind::Trip`]. What comes from nobody we know changes nothing and is not
    /// answered.
    pub(super) fn take_trip(&mut self, now: Duration, payload: &[u8]) {
        let Ok(trip) = postcard::from_bytes::<Trip>(payload) else { return };
        let (from, coordinate) = match trip {
            Trip::Receipt { from } => return self.health.receipt(from.address),
            Trip::Question { from, coordinate, .. } | Trip::Answer { from, coordinate, .. } => (from, coordinate),
        };
        let known = from.is_plausible() && self.table.is_at(from) && from.address != self.foca.identity().address;
        if self.presence != Presence::Present || !known || !coordinate.is_valid() {
            return;
        }
        self.round_trips.peers.entry(from.address).or_default().coordinate = coordinate;
        match trip {
            Trip::Question { number, .. } => {
                let answer = Trip::Answer { from: *self.foca.identity(), number, coordinate: self.round_trips.own() };
                self.send_trip(from.address, answer);
            }
            Trip::Answer { number, .. } => self.take_answer(now, from.address, number),
            Trip::Receipt { .. } => {}
        }
    }

    fn take_answer(&mut self, now: Duration, from: SocketAddr, number: u64) {
        let asked = self.round_trips.asked.take_if(|(asked, address, _)| (*asked, *address) == (number, from));
        let (Some((_, _, since)), Some(peer)) = (asked, self.round_trips.peers.get_mut(&from)) else { return };
        peer.latest_s.push_back(now.saturating_sub(since).as_secs_f64());
        if peer.latest_s.len() > LATENCY_WINDOW {
            peer.latest_s.pop_front();
        }
        let random = &mut self.random;
        self.round_trips
            .vivaldi
            .observe(&peer.coordinate, peer.latest_s.make_contiguous(), || random.random_range(-1.0..1.0));
    }

    pub(super) fn send_trip(&mut self, to: SocketAddr, trip: Trip) {
        let sealed = self.envelope.seal(Kind::Trip, &super::wire::encode(&trip));
        self.output.packets.push((to, sealed));
    }
}
