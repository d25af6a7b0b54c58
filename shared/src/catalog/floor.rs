//! Floors: the least index that a topic shows, where its rows alone would have it go back or stand still.
//!
//! The indexes in the tables are those of the servers' log. A view that shows more than the servers have told it (this
//! node's own results while nothing can be written) or another registry than before (a cluster formed anew) has changes
//! that no log numbers. [`State::raise_over`] then keeps the promise that a reader relies on: **an index never goes
//! back, and grows with every change of what it is about**, one step above what was shown before. A topic joins the
//! servers' indexes again as soon as these have passed its floor. On servers, and on every node in ordinary times,
//! there are no floors, and indexes are exactly those of the log.
//!
//! Floors are no part of the registry: [`State::records`] and `apply` know nothing of them. Their number is bounded by
//! that of the rows: what is not there has one floor in common.

use std::{collections::HashMap, sync::Arc};

use super::{State, Topic, Touched};
use crate::model::Index;

/// What a state shows at least.
#[derive(Clone, Debug, Default)]
pub(super) struct Floors {
    /// Of topics that changed without the log, and whose own index has not passed that change yet.
    topics: HashMap<Topic, Index>,
    /// Of every service that is not there.
    services_gone: Index,
    /// Of every node that is not there.
    nodes_gone: Index,
    /// Of every prepared query that is not there.
    queries_gone: Index,
    /// Of everything: another registry took the place of one that had shown less.
    all: Index,
    /// The highest index that was ever shown.
    highest: Index,
}

impl Floors {
    fn of(&self, state: &State, topic: &Topic) -> Index {
        let gone = match topic {
            Topic::Service(key) if !state.names.contains_key(key) => self.services_gone,
            Topic::Node(key) if !state.nodes.contains_key(key) => self.nodes_gone,
            Topic::Query(id) if state.query(*id).is_none() => self.queries_gone,
            _ => Index(0),
        };
        self.topics.get(topic).copied().unwrap_or_default().max(gone).max(self.all)
    }
}

impl State {
    /// The highest index that this state, or one that was shown before it, has given out: whoever waits for a later
    /// one has it from elsewhere.
    #[must_use]
    pub fn highest_index(&self) -> Index {
        self.floors.as_ref().map_or(self.index, |floors| self.index.max(floors.highest))
    }

    /// Whether some index that is shown may be above what its rows say.
    #[must_use]
    pub fn has_floors(&self) -> bool {
        self.floors.is_some()
    }

    pub(super) fn floor_of(&self, topic: &Topic) -> Index {
        self.floors.as_ref().map_or(Index(0), |floors| floors.of(self, topic))
    }

    /// Makes this state one that can be shown after `previous`, from which it differs in no topic but those `touched`.
    pub fn raise_over(&mut self, previous: &Self, touched: &Touched) {
        let mut floors = previous.floors.as_deref().cloned().unwrap_or_default();
        floors.services_gone = floors.services_gone.max(previous.indexes.services_gone);
        floors.nodes_gone = floors.nodes_gone.max(previous.indexes.nodes_gone);
        floors.queries_gone = floors.queries_gone.max(previous.indexes.queries_gone);
        floors.topics.retain(|topic, _| !touched.contains(topic));
        self.floors = None;
        for topic in touched {
            let shown = previous.index_of(topic);
            if self.index_of(topic).max(floors.of(self, topic)) > shown {
                continue;
            }
            let floor = Index(shown.0 + 1);
            floors.highest = floors.highest.max(floor);
            match topic {
                Topic::Service(key) if !self.names.contains_key(key) => floors.services_gone = floor,
                Topic::Node(key) if !self.nodes.contains_key(key) => floors.nodes_gone = floor,
                Topic::Query(id) if self.query(*id).is_none() => floors.queries_gone = floor,
                _ => _ = floors.topics.insert(topic.clone(), floor),
            }
        }
        floors.highest = floors.highest.max(previous.index);
        let passed = floors.topics.is_empty()
            && floors.all == Index(0)
            && floors.services_gone <= self.indexes.services_gone
            && floors.nodes_gone <= self.indexes.nodes_gone
            && floors.queries_gone <= self.indexes.queries_gone
            && floors.highest <= self.index;
        self.floors = (!passed).then(|| Arc::new(floors));
    }

    /// Makes this state, of another registry, one that can be shown after `previous`: every index grows.
    pub fn raise_all_over(&mut self, previous: &Self) {
        let floor = Index(previous.highest_index().0 + 1);
        self.floors = Some(Arc::new(Floors { all: floor, highest: floor, ..Floors::default() }));
    }
}
