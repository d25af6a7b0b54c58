//! User events: small messages to every node, ordered by a Lamport clock (Lamport 1978) as far as they know each other.
//!
//! Every member keeps the latest events by time and ID. The rule what is kept does not depend on the order in which
//! they arrive, so that members who exchange what they have end with the same; what was let go of is not taken again.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::limits::{MAX_EVENT_BYTES, MAX_EVENT_TIME, MAX_EVENTS};

/// A message to the nodes whose name, services and tags match its filters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserEvent {
    /// Its own, given when it is fired.
    pub id: Uuid,
    /// What it is about.
    pub name: String,
    /// Whatever the sender has to say.
    pub payload: Vec<u8>,
    /// A regular expression for the node's name; empty: any node.
    pub node_filter: String,
    /// A regular expression for the name of a service of the node; empty: any node.
    pub service_filter: String,
    /// A regular expression for a tag of such a service; empty: any.
    pub tag_filter: String,
    /// Its Lamport time: greater than that of every event its sender knew.
    pub time: u64,
}

/// Why an event is not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// It has no name.
    #[error("User event missing name")]
    Nameless,
    /// It would not fit into a packet with others.
    #[error("user event of {0} bytes exceeds the limit of {MAX_EVENT_BYTES} for name, payload and filters together")]
    TooLarge(usize),
    /// This node is not in the pool any more.
    #[error("this node has left the pool; restart it to fire events")]
    Left,
}

impl UserEvent {
    pub(super) fn check(&self) -> Result<(), EventError> {
        let texts = [&self.name, &self.node_filter, &self.service_filter, &self.tag_filter];
        let bytes = self.payload.len() + texts.map(String::len).iter().sum::<usize>();
        match bytes {
            _ if self.name.is_empty() => Err(EventError::Nameless),
            0..=MAX_EVENT_BYTES => Ok(()),
            _ => Err(EventError::TooLarge(bytes)),
        }
    }

    /// True for what another member may have sent.
    pub(super) fn is_plausible(&self) -> bool {
        self.check().is_ok() && (1..=MAX_EVENT_TIME).contains(&self.time)
    }

    fn place(&self) -> (u64, Uuid) {
        (self.time, self.id)
    }
}

/// The latest events of a pool, at most [`MAX_EVENTS`].
#[derive(Debug, Default)]
pub(super) struct EventBuffer {
    time: u64,
    /// Events up to here are not taken.
    floor: (u64, Uuid),
    events: BTreeMap<(u64, Uuid), Arc<UserEvent>>,
}

impl EventBuffer {
    /// The greatest time that was heard of.
    pub fn time(&self) -> u64 {
        self.time
    }

    /// Hears that some event has this time.
    pub fn witness(&mut self, time: u64) {
        self.time = self.time.max(time.min(MAX_EVENT_TIME));
    }

    /// Takes no event of this time or before.
    pub fn ignore_until(&mut self, time: u64) {
        self.witness(time);
        self.floor = self.floor.max((self.time, Uuid::max()));
    }

    /// Gives a new event its time and keeps it.
    pub fn stamp(&mut self, event: UserEvent) -> Arc<UserEvent> {
        self.witness(self.time.saturating_add(1));
        let event = Arc::new(UserEvent { time: self.time, ..event });
        self.keep(event.clone());
        event
    }

    /// Takes an event that another member sent; none when it is known, old or impossible.
    pub fn take(&mut self, event: UserEvent) -> Option<Arc<UserEvent>> {
        if !event.is_plausible() {
            return None;
        }
        self.witness(event.time);
        if event.place() <= self.floor || self.events.contains_key(&event.place()) {
            return None;
        }
        let event = Arc::new(event);
        self.keep(event.clone());
        Some(event)
    }

    fn keep(&mut self, event: Arc<UserEvent>) {
        self.events.insert(event.place(), event);
        while self.events.len() > MAX_EVENTS
            && let Some((place, _)) = self.events.pop_first()
        {
            self.floor = self.floor.max(place);
        }
    }

    /// All that is kept, oldest first.
    pub fn events(&self) -> impl Iterator<Item = &Arc<UserEvent>> {
        self.events.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(time: u64, id: u128) -> UserEvent {
        UserEvent { id: Uuid::from_u128(id), name: "deploy".into(), time, ..UserEvent::default() }
    }

    #[test]
    fn events_are_taken_once_in_any_order_and_the_latest_are_kept() {
        let many: Vec<_> = (1..=300).map(|time| event(time, u128::from(time))).collect();
        let (mut forwards, mut backwards) = (EventBuffer::default(), EventBuffer::default());
        for event in &many {
            assert!(forwards.take(event.clone()).is_some());
            assert!(forwards.take(event.clone()).is_none(), "known");
        }
        for event in many.iter().rev() {
            backwards.take(event.clone());
        }
        assert!(forwards.events().eq(backwards.events()));
        assert_eq!(forwards.events().count(), MAX_EVENTS);
        assert!(forwards.take(event(44, 44)).is_none(), "let go of before");
        assert_eq!((forwards.time(), forwards.stamp(event(0, 9)).time), (300, 301));
    }

    #[test]
    fn impossible_events_change_nothing() {
        let mut buffer = EventBuffer::default();
        let nameless = UserEvent { name: String::new(), ..event(1, 1) };
        let large = UserEvent { payload: vec![0; MAX_EVENT_BYTES], ..event(1, 1) };
        for event in [event(0, 1), event(MAX_EVENT_TIME + 1, 1), event(u64::MAX, 1), nameless, large] {
            assert!(buffer.take(event).is_none());
        }
        assert_eq!((buffer.time(), buffer.events().count()), (0, 0));
        buffer.witness(u64::MAX);
        assert!(buffer.stamp(event(0, 2)).is_plausible(), "the clock has run out, but events go on");
    }

    #[test]
    fn a_newcomer_takes_only_what_comes_after_it() {
        let mut buffer = EventBuffer::default();
        buffer.ignore_until(7);
        assert!(buffer.take(event(7, 1)).is_none());
        assert!(buffer.take(event(8, 1)).is_some());
    }
}
