//! What rides on foca's packets besides its own updates: descriptions, notices, intents to leave, user events, and who
//! found whom silent.
//!
//! [`Relay`] is foca's handler: it decides nothing, but hands each received item to the protocol, which merges it and
//! gives it back to foca to be spread on when it was news. A new kind of item is a new variant; nodes that do not know
//! it drop it.

use std::{convert::Infallible, net::SocketAddr, sync::mpsc};

use foca::{BroadcastHandler, Incarnation, Invalidates};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    identity::{Identity, is_reachable},
    limits::MAX_BROADCAST_BYTES,
    member::{Facts, Record},
    user_event::UserEvent,
};

/// One item of the dissemination queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Broadcast {
    /// An owner describes itself.
    Description(Record),
    /// An owner has a description too large for a packet: ask it over TCP.
    Notice { identity: Identity, revision: u64 },
    /// An identity leaves, or was forced out; the facts join those that are known.
    Departure { identity: Identity, facts: Facts },
    /// A message to the nodes.
    Event(UserEvent),
    /// A probe of `identity` by the member at `by` has failed.
    Suspicion { identity: Identity, incarnation: Incarnation, by: SocketAddr },
}

impl Broadcast {
    /// The description of `record`, or a notice of it when it would fill a packet.
    pub fn describing(record: &Record) -> Self {
        let description = Self::Description(record.clone());
        if description.encode().len() <= MAX_BROADCAST_BYTES {
            description
        } else {
            Self::Notice { identity: record.identity, revision: record.revision }
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("plain data in memory always encodes")
    }

    /// None for items of an unknown kind or shape, or with an impossible member in them.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let item: Self = postcard::from_bytes(bytes).ok()?;
        let good = match &item {
            Self::Description(record) => record.check().is_ok(),
            Self::Notice { identity, .. } | Self::Departure { identity, .. } => identity.is_plausible(),
            Self::Event(event) => event.is_plausible(),
            Self::Suspicion { identity, by, .. } => identity.is_plausible() && is_reachable(*by),
        };
        good.then_some(item)
    }

    fn key(&self) -> Key {
        match self {
            Self::Description(record) => Key::Member { address: record.identity.address, departs: false },
            Self::Notice { identity, .. } => Key::Member { address: identity.address, departs: false },
            Self::Departure { identity, .. } => Key::Member { address: identity.address, departs: true },
            Self::Event(event) => Key::Event(event.id),
            Self::Suspicion { identity, by, .. } => Key::Suspicion { of: identity.address, by: *by },
        }
    }
}

/// Items with the same key replace each other in the queue, so it holds at most two per address; of events and of
/// suspicions it holds as many as the protocol lets in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Key {
    Member { address: SocketAddr, departs: bool },
    Event(Uuid),
    Suspicion { of: SocketAddr, by: SocketAddr },
}

impl Invalidates for Key {
    fn invalidates(&self, other: &Self) -> bool {
        self == other
    }
}

/// Foca's broadcast handler: passes received items on, accepts those that the protocol queues.
#[derive(Debug)]
pub(super) struct Relay {
    received: mpsc::Sender<Broadcast>,
}

impl Relay {
    /// The handler, and where received items come out. The queue is emptied after every packet, which bounds it.
    pub fn new() -> (Self, mpsc::Receiver<Broadcast>) {
        let (received, items) = mpsc::channel();
        (Self { received }, items)
    }
}

impl BroadcastHandler<Identity> for Relay {
    type Key = Key;
    type Error = Infallible;

    fn receive_item(&mut self, data: &[u8], sender: Option<&Identity>) -> Result<Option<Key>, Infallible> {
        let Some(item) = Broadcast::decode(data) else { return Ok(None) };
        if sender.is_none() {
            return Ok(Some(item.key()));
        }
        // The receiver lives as long as the foca instance that owns this handler.
        let _ = self.received.send(item);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(tag_bytes: usize) -> Record {
        let identity = Identity { address: SocketAddr::from(([10, 0, 0, 1], 8301)), generation: 7, renewal: 0 };
        let tags = [("tag".to_owned(), "x".repeat(tag_bytes))].into();
        Record { name: "node-a".into(), identity, tags, revision: 3, facts: Facts::default(), age_s: 0 }
    }

    #[test]
    fn a_description_that_would_fill_a_packet_becomes_a_notice() {
        for (tag_bytes, whole) in [(10, true), (700, true), (1000, false), (4000, false)] {
            let item = Broadcast::describing(&record(tag_bytes));
            assert_eq!(matches!(item, Broadcast::Description(_)), whole, "{tag_bytes} bytes of tags");
            assert!(item.encode().len() <= MAX_BROADCAST_BYTES);
            assert_eq!(Broadcast::decode(&item.encode()), Some(item));
        }
    }

    #[test]
    fn unknown_cut_and_impossible_items_are_dropped() {
        let good = Broadcast::describing(&record(10)).encode();
        let mut unknown = good.clone();
        unknown[0] = 77;
        let nameless = Broadcast::Description(Record { name: String::new(), ..record(10) }).encode();
        let oversized = Broadcast::Description(record(5000)).encode();
        for bytes in [&unknown[..], &good[..good.len() - 1], &nameless, &oversized, b""] {
            assert_eq!(Broadcast::decode(bytes), None);
        }
    }
}
