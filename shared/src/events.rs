//! The user events that are for this node: filtered by its name, its services and their tags as they come in.
//!
//! An event that the filters keep out is as if it had never come: services that appear later do not bring it back.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use regex::{Regex, RegexBuilder};
use tokio::sync::{broadcast::error::RecvError, watch};
use uuid::Uuid;

use crate::{
    agent::Agent,
    gossip::{EventError, Pool, UserEvent},
    tasks::Tasks,
};

/// Events kept; older ones are forgotten.
pub const MAX_EVENTS: usize = 256;
/// Bytes that a filter may take when it is compiled.
const MAX_FILTER_BYTES: usize = 1 << 20;

/// Why an event is not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FireError {
    /// A tag is one of a service.
    #[error("Cannot provide tag filter without service filter")]
    TagWithoutService,
    /// No regular expression.
    #[error("Invalid {which} filter: {reason}")]
    Filter {
        /// `node`, `service` or `tag`.
        which: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The pool does not take it.
    #[error(transparent)]
    Event(#[from] EventError),
}

/// The events of one node. Clones are handles to the same ones.
#[derive(Clone)]
pub struct Events {
    inner: Arc<Inner>,
}

struct Inner {
    pool: Pool,
    agent: Agent,
    recent: Mutex<VecDeque<Arc<UserEvent>>>,
    /// Counts the events taken.
    taken: watch::Sender<u64>,
}

impl Events {
    /// Begins to take the events that are for the node of `agent`.
    #[must_use]
    pub fn start(pool: &Pool, agent: &Agent, tasks: &Tasks) -> Self {
        let inner =
            Inner { pool: pool.clone(), agent: agent.clone(), recent: Mutex::default(), taken: watch::Sender::new(0) };
        let events = Self { inner: Arc::new(inner) };
        let (own, stopping, mut incoming) = (events.clone(), tasks.stopping(), pool.events());
        tasks.spawn("user events", async move {
            loop {
                let received = tokio::select! {
                    () = stopping.cancelled() => return Ok(()),
                    received = incoming.recv() => received,
                };
                match received {
                    Ok(event) => own.take(event),
                    Err(RecvError::Lagged(lost)) => {
                        tracing::warn!(lost, "user events came faster than they were taken")
                    }
                    Err(RecvError::Closed) => return Err("the LAN pool has stopped"),
                }
            }
        });
        events
    }

    /// Sends an event to every node that its filters let it reach; its ID and time are given here.
    ///
    /// # Errors
    /// [`FireError`] where it cannot be sent.
    pub fn fire(&self, event: UserEvent) -> Result<Arc<UserEvent>, FireError> {
        if event.service_filter.is_empty() && !event.tag_filter.is_empty() {
            return Err(FireError::TagWithoutService);
        }
        for (which, filter) in
            [("node", &event.node_filter), ("service", &event.service_filter), ("tag", &event.tag_filter)]
        {
            compile(filter).map_err(|error| FireError::Filter { which, reason: error.to_string() })?;
        }
        Ok(self.inner.pool.fire(UserEvent { id: Uuid::new_v4(), ..event })?)
    }

    /// The latest events for this node, in the order in which they came, at most [`MAX_EVENTS`].
    #[must_use]
    pub fn recent(&self) -> Vec<Arc<UserEvent>> {
        self.lock().iter().cloned().collect()
    }

    /// A number that grows with each event that is taken.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.taken.subscribe()
    }

    fn take(&self, event: Arc<UserEvent>) {
        if !self.is_for_us(&event) {
            return;
        }
        tracing::debug!(name = event.name, id = %event.id, "user event");
        let mut recent = self.lock();
        if recent.len() == MAX_EVENTS {
            recent.pop_front();
        }
        recent.push_back(event);
        drop(recent);
        self.inner.taken.send_modify(|taken| *taken += 1);
    }

    /// A filter that is no regular expression lets nobody through.
    fn is_for_us(&self, event: &UserEvent) -> bool {
        let filters = [&event.node_filter, &event.service_filter, &event.tag_filter].map(|text| compile(text));
        let [Ok(node), Ok(service), Ok(tag)] = filters else { return false };
        node.is_match(&self.inner.agent.node().name)
            && (event.service_filter.is_empty()
                || self.inner.agent.services().iter().any(|own| {
                    let tagged = || own.tags.iter().any(|own| tag.is_match(own));
                    service.is_match(&own.name) && (event.tag_filter.is_empty() || tagged())
                }))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<UserEvent>>> {
        // No code that holds the lock can leave it half changed.
        self.inner.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn compile(filter: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(filter).size_limit(MAX_FILTER_BYTES).build()
}
