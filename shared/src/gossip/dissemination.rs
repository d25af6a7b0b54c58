//! What this node tells the pool of itself and of others, and what it does with broadcast items.
//!
//! An item that was news is queued again, so it reaches everyone; one that was not, ends here.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use foca::Member as Update;

use super::{
    broadcast::Broadcast,
    error::UnknownMember,
    identity::Identity,
    limits::MAX_BACKLOG,
    member::{Facts, MemberStatus, Record, RecordError, check_tags},
    protocol::{Presence, Protocol},
    table::Merge,
    user_event::{EventError, UserEvent},
};

impl Protocol {
    /// Takes one item that rode on a packet.
    pub(super) fn take_item(&mut self, item: Broadcast, now: Duration) {
        match &item {
            Broadcast::Description(record) if self.is_about_us(record) => {
                self.take_word_about_us(now, record.clone());
            }
            Broadcast::Description(record) => match self.table.merge(record.clone(), now) {
                Merge::Changed => {
                    self.undescribed.remove(&record.identity.address);
                    self.tell_foca(vec![Update::alive(record.identity)]);
                    // Foca may know better than the owner's word that it is alive.
                    self.unswept.note(record.identity.address);
                    self.broadcast(&item);
                }
                Merge::Conflict(holder) => self.log_conflict(now, &record.name, holder, record.identity.address),
                Merge::Unchanged | Merge::Full => {}
            },
            Broadcast::Notice { identity, revision } if *identity == *self.foca.identity() => {
                self.outdate(now, *revision);
            }
            Broadcast::Notice { identity, revision } => {
                if self.table.notice(*identity, *revision) {
                    self.undescribed.insert(identity.address, now);
                    self.broadcast(&item);
                }
            }
            Broadcast::Event(event) => {
                if let Some(event) = self.user_events.take(event.clone()) {
                    self.output.events.push(event);
                    if self.foca.custom_broadcast_backlog() < MAX_BACKLOG {
                        self.broadcast(&item);
                    }
                }
            }
            Broadcast::Suspicion { identity, incarnation, by } => {
                self.confirm_suspicion(now, *identity, *incarnation, *by);
            }
            Broadcast::Departure { identity, facts } if *identity == *self.foca.identity() => self.refute(*facts),
            Broadcast::Departure { identity, facts } => {
                if self.table.observe(*identity, *facts, now) {
                    if facts.down {
                        self.tell_foca(vec![Update::down(*identity)]);
                    }
                    self.retell_departure(*identity);
                }
            }
        }
    }

    /// Sends an event to every node, this one too. Its time is given here.
    pub fn fire(&mut self, now: Duration, event: UserEvent) -> Result<Arc<UserEvent>, EventError> {
        event.check()?;
        if self.presence != Presence::Present {
            return Err(EventError::Left);
        }
        let event = self.user_events.stamp(event);
        self.output.events.push(event.clone());
        if self.foca.custom_broadcast_backlog() < MAX_BACKLOG {
            self.broadcast(&Broadcast::Event(UserEvent::clone(&event)));
        }
        self.settle(now);
        Ok(event)
    }

    /// Passes on that a member leaves or has left. Foca's update that it is down travels in the same packets then, so
    /// that who missed the intent does not take the end for a failure.
    pub(super) fn retell_departure(&mut self, identity: Identity) {
        let known = self.table.facts(identity).filter(|facts| facts.leaves);
        if let Some(facts) = known {
            self.broadcast(&Broadcast::Departure { identity, facts });
        }
    }

    /// Replaces our tags and tells the pool.
    pub fn set_tags(&mut self, now: Duration, tags: BTreeMap<String, String>) -> Result<(), RecordError> {
        check_tags(&self.name, &tags)?;
        let own = self.own().clone();
        if own.tags == tags {
            return Ok(());
        }
        self.describe_ourselves(now, Record { tags, revision: own.revision.saturating_add(1), ..own });
        self.settle(now);
        Ok(())
    }

    /// Makes `own` our record and tells the pool.
    pub(super) fn describe_ourselves(&mut self, now: Duration, own: Record) {
        self.broadcast(&Broadcast::describing(&own));
        self.table.set_own(own, now);
    }

    /// Declares a failed member left; with `prune` a failed or left one is not shown any more. Members that answer are
    /// not touched: they would refute it.
    pub fn force_leave(&mut self, now: Duration, name: &str, prune: bool) -> Result<(), UnknownMember> {
        let record = self.table.record(name).filter(|record| !record.facts.pruned);
        let Some(record) = record else { return Err(UnknownMember(name.to_owned())) };
        let (identity, facts) = (record.identity, Facts { leaves: true, down: true, pruned: prune });
        if matches!(record.facts.status(), MemberStatus::Failed | MemberStatus::Left)
            && self.table.observe(identity, facts, now)
        {
            self.broadcast(&Broadcast::Departure { identity, facts });
        }
        self.settle(now);
        Ok(())
    }

    /// Begins to leave: the intent is told, so that our silence afterwards is no failure.
    pub fn begin_leave(&mut self, now: Duration) {
        if self.presence != Presence::Present {
            return;
        }
        self.presence = Presence::Leaving;
        let facts = Facts { leaves: true, ..Facts::default() };
        let identity: Identity = *self.foca.identity();
        self.table.set_own(Record { facts, ..self.own().clone() }, now);
        self.broadcast(&Broadcast::Departure { identity, facts });
        if let Err(error) = self.foca.gossip(&mut self.events) {
            tracing::debug!(%error, "the intent to leave waits for the next gossip turn");
        }
        self.settle(now);
    }

    /// True when all that was to be told has been sent often enough, or nobody is there to hear it.
    pub fn is_spread(&self) -> bool {
        self.foca.num_members() == 0 || self.foca.custom_broadcast_backlog() == 0
    }

    /// Ends our part in the pool: others are told, probes are neither sent nor answered any more.
    pub fn complete_leave(&mut self, now: Duration) {
        if self.presence == Presence::Left {
            return;
        }
        let facts = Facts { leaves: true, down: true, pruned: false };
        let identity = *self.foca.identity();
        self.broadcast(&Broadcast::Departure { identity, facts });
        if let Err(error) = self.foca.leave_cluster(&mut self.events) {
            tracing::debug!(%error, "the pool finds out by itself that this node has left");
        }
        self.presence = Presence::Left;
        self.table.set_own(Record { facts, ..self.own().clone() }, now);
        self.settle(now);
    }
}
