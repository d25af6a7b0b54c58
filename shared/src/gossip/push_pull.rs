//! Exchanging whole tables: what we send, how we answer, and how a peer's table is taken into ours.
//!
//! A peer's word that a member is down is not taken over one that answers us: it becomes a suspicion, which the member
//! can refute. (After a healed partition each side holds the other down; believing that would fail everyone again.)

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use foca::{Member as Update, State};

use super::{
    envelope::SEAL_BYTES,
    identity::{Identity, MAX_GENERATION},
    limits::{MAX_EVENTS, MAX_FRAME_BYTES, MAX_SEALED_EVENT_BYTES},
    member::{Facts, Record},
    protocol::{Presence, Protocol},
    table::Merge,
    user_event::UserEvent,
    wire::{Knowledge, Reply, Request},
};

/// The tag that no two members may have in common (`node::tags`).
const NODE_ID_TAG: &str = "id";
/// A name conflict is logged at most this often.
const CONFLICT_LOG_INTERVAL: Duration = Duration::from_secs(60);

impl Protocol {
    /// What we know, to be exchanged for what the peer does.
    pub fn push_pull_request(&self, now: Duration) -> Request {
        Request::PushPull(self.knowledge(now))
    }

    fn knowledge(&self, now: Duration) -> Knowledge {
        let events = self.user_events.events().map(|event| UserEvent::clone(event)).collect();
        Knowledge { records: self.records(now), events, event_time: self.user_events.time() }
    }

    /// Our record first, then the others, as many as one frame takes; gossip brings the rest.
    fn records(&self, now: Duration) -> Vec<Record> {
        let mut room = MAX_FRAME_BYTES - SEAL_BYTES - MAX_EVENTS * MAX_SEALED_EVENT_BYTES - 32;
        let others = self.table.records(now).filter(|record| record.name != self.name);
        let all = std::iter::once(self.own().clone()).chain(others);
        all.take_while(|record| {
            let bytes = super::wire::encode(record).len();
            let fits = bytes <= room;
            room = room.saturating_sub(bytes);
            fits
        })
        .collect()
    }

    /// Answers a peer's request, after having taken what it tells.
    pub fn answer(&mut self, now: Duration, request: Request) -> Reply {
        match request {
            _ if self.presence == Presence::Left => Reply::Refused("this node has left the pool".into()),
            Request::Describe => Reply::Known(Knowledge { records: vec![self.own().clone()], ..Knowledge::default() }),
            Request::PushPull(theirs) => {
                if let Some(reason) = theirs.records.first().and_then(|sender| self.objection(sender)) {
                    tracing::warn!(%reason, "a node was refused");
                    return Reply::Refused(reason);
                }
                self.merge_remote(now, theirs);
                Reply::Known(self.knowledge(now))
            }
        }
    }

    /// Why `sender` cannot be a member: another one that is alive, at another address, has its name or its node ID.
    fn objection(&self, sender: &Record) -> Option<String> {
        if sender.facts.down {
            return None;
        }
        let (name, address) = (&sender.name, sender.identity.address);
        let other = |held: &&Record| held.identity.address != address && held.facts == Facts::default();
        if let Some(held) = self.table.record(name).filter(other) {
            let holder = held.identity.address;
            return Some(format!(
                "the node name {name:?} of {address} is in use by the alive member at {holder}; give one of them another name"
            ));
        }
        let id = sender.tags.get(NODE_ID_TAG)?;
        let held = self.table.tagged(NODE_ID_TAG, id).filter(|held| held.name != *name).find(other)?;
        Some(format!(
            "the node ID {id} of {name:?} at {address} is in use by the alive member {:?} at {}; was a data directory \
             copied? give one of them another (node-id, or an empty data directory)",
            held.name, held.identity.address
        ))
    }

    /// Takes a peer's records into the table and into foca, and the events that are news.
    pub(super) fn merge_remote(&mut self, now: Duration, theirs: Knowledge) {
        if self.presence == Presence::Left {
            return;
        }
        let Knowledge { records, events, event_time } = theirs;
        self.user_events.witness(event_time);
        let news: Vec<_> = events.into_iter().filter_map(|event| self.user_events.take(event)).collect();
        self.output.events.extend(news);
        let held: HashMap<SocketAddr, Update<Identity>> =
            self.foca.iter_membership_state().map(|member| (member.id().address, member.clone())).collect();
        let mut updates = Vec::with_capacity(records.len());
        for mut record in records {
            if self.is_about_us(&record) {
                self.take_word_about_us(now, record);
                continue;
            }
            let (identity, name) = (record.identity, record.name.clone());
            let ours = held.get(&identity.address).filter(|held| *held.id() == identity);
            let is_alive = !record.facts.down;
            let answers_us = ours.is_some_and(|held| held.state() != State::Down);
            let (incarnation, state) = match (record.facts.down, record.facts.leaves) {
                (true, false) if answers_us => {
                    record.facts.down = false;
                    (ours.map_or(0, Update::incarnation), State::Suspect)
                }
                (true, _) => (0, State::Down),
                (false, _) => (0, State::Alive),
            };
            let merged = self.table.merge(record, now);
            if merged == Merge::Changed {
                self.unswept.note(identity.address);
            }
            match merged {
                Merge::Conflict(holder) => self.log_conflict(now, &name, holder, identity.address),
                Merge::Unchanged if self.table.record(&name).is_none() => {}
                // Foca looks through all members for each update, and nothing would follow from this one.
                Merge::Unchanged | Merge::Changed if is_alive && ours.is_some() => {}
                Merge::Unchanged | Merge::Changed => {
                    self.unswept.note(identity.address);
                    updates.push(Update::new(identity, incarnation, state));
                }
                Merge::Full => tracing::warn!(member = name, "the member table is full: a member was not taken"),
            }
        }
        self.tell_foca(updates);
        self.settle(now);
    }

    pub(super) fn is_about_us(&self, record: &Record) -> bool {
        record.name == self.name || record.identity.address == self.foca.identity().address
    }

    /// A record with our name or our address: our present life, a former one, or a double.
    pub(super) fn take_word_about_us(&mut self, now: Duration, mut record: Record) {
        let own = *self.foca.identity();
        if record.identity.address != own.address {
            if record.facts == Facts::default() {
                self.log_conflict(now, &record.name, own.address, record.identity.address);
            }
            return;
        }
        if record.identity.order() > own.order() {
            self.outlive(now, record.identity);
        } else if record.identity == own && record.name == self.name {
            // Damaged on its way, it has our revision and is not what we said.
            let garbled = record.revision == self.own().revision && record.tags != self.own().tags;
            self.outdate(now, record.revision.saturating_add(u64::from(garbled)));
            self.refute(record.facts);
        }
        if record.name != self.name {
            // A former life at our address had another name; it is over.
            record.facts.down = true;
            self.table.merge(record, now);
        }
    }

    /// Somebody holds facts against our present identity: come back under the next one, unless they are true.
    pub(super) fn refute(&mut self, facts: Facts) {
        let wrong = match self.presence {
            Presence::Present => facts.down || facts.leaves,
            Presence::Leaving => facts.down && !facts.leaves,
            Presence::Left => false,
        };
        if wrong {
            self.tell_foca(vec![Update::down(*self.foca.identity())]);
        }
    }

    /// Somebody holds a later revision of our tags than we have made: make the one after it.
    pub(super) fn outdate(&mut self, now: Duration, revision: u64) {
        if let Some(revision) = revision.checked_add(1).filter(|next| *next > self.own().revision + 1) {
            self.describe_ourselves(now, Record { revision, ..self.own().clone() });
        }
    }

    /// A former life of ours has the later generation (the clock was set back): start behind it.
    pub(super) fn outlive(&mut self, now: Duration, former: Identity) {
        let generation = former.generation + 1;
        if generation > MAX_GENERATION {
            return;
        }
        let identity = Identity { generation, renewal: 0, ..*self.foca.identity() };
        match self.foca.change_identity(identity, &mut self.events) {
            Ok(()) => self.identity_changed(now),
            Err(error) => tracing::debug!(%error, "the identity was not changed"),
        }
    }

    pub(super) fn log_conflict(&mut self, now: Duration, name: &str, holder: SocketAddr, claimant: SocketAddr) {
        if self.conflict_logged_at.is_none_or(|at| now.saturating_sub(at) >= CONFLICT_LOG_INTERVAL) {
            self.conflict_logged_at = Some(now);
            tracing::warn!(name, %holder, %claimant, "two alive nodes have the same name; the first one keeps it");
        }
    }
}
