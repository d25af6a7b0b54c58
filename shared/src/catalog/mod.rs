//! The catalog: an immutable state with structural sharing, changed only by [`State::apply`] and [`State::absorb`].
//!
//! No I/O, no clock, no randomness, no async: a replayed log gives identical rows and indexes on every server, and a
//! sidecar that absorbs the servers' changes has the same state as they have.
//!
//! Tables, all ordered by folded name, so that every list has the same stable order everywhere:
//!
//! | table | key | row |
//! |---|---|---|
//! | `nodes` | node | the node and the index of the last change on it |
//! | `services` | node, service ID | the instance as registered |
//! | `checks` | node, check ID | the check |
//! | `bound` | node, service ID (empty: the node's own), check ID | the same check, by what it is about |
//! | `names` | service name | its number of instances and the index of its last change |
//! | `coordinates` | node | where the node is in the network |
//! | `instances` | service name, node, service ID | node, service and checks together: what answers are made of |
//!
//! Beside them, once: the autopilot configuration. Prepared queries (`queries`, `template`) have tables of their own, and so have
//! tokens and policies (`access`), keys (`keys`) and sessions (`sessions`), which no sidecar holds; `transaction` is about both halves, and
//! `restore` puts another state in the place of all.
//!
//! A clone costs a few reference counts. See `rows` for how a row goes in and out, `apply` for commands, `topic` for
//! what a reader can wait for, `difference` for what two states differ in, `floor` for indexes that the log does not number, `view` for how a state reaches its readers.

mod access;
mod apply;
#[cfg(test)]
mod coordination_tests;
mod difference;
mod expiring;
mod floor;
mod keys;
mod nearness;
mod protection;
mod queries;
#[cfg(test)]
mod query_tests;
mod restore;
mod rows;
mod sessions;
mod template;
#[cfg(test)]
pub(crate) mod tests;
mod topic;
mod transaction;

use std::sync::Arc;

use imbl::OrdMap;
use uuid::Uuid;

pub(crate) use self::topic::common_prefix;
pub use self::{
    access::AccessRow,
    apply::Applied,
    difference::Difference,
    protection::Protection,
    queries::{IsTemplate, MAX_QUERY_NAME_BYTES},
    restore::{MAX_SAVED_INDEX, RESTORE_LIMIT},
    rows::{Change, Loader, Record, Row},
    template::{TemplateError, check as check_template},
    topic::{CoordinationIndexes, Indexes, Topic, Touched, for_each_woken},
};
use self::{access::AccessTables, floor::Floors, keys::Keys, queries::Queries, restore::Staged, sessions::Sessions};
use crate::model::{Autopilot, Check, Index, Key, Node, NodeCoordinate, NodeName, Service, ServiceName, Status};

/// Everything the registry knows, as of one index.
#[derive(Clone, Debug, Default)]
pub struct State {
    index: Index,
    nodes: OrdMap<Key, NodeEntry>,
    ids: OrdMap<Uuid, Key>,
    services: OrdMap<(Key, Key), Arc<Service>>,
    checks: OrdMap<(Key, Key), Arc<Check>>,
    bound: OrdMap<(Key, Key, Key), Arc<Check>>,
    names: OrdMap<Key, ServiceEntry>,
    instances: OrdMap<(Key, Key, Key), Arc<Instance>>,
    coordinates: OrdMap<Key, Arc<NodeCoordinate>>,
    autopilot: Option<Arc<Autopilot>>,
    queries: Queries,
    access: AccessTables,
    keys: Keys,
    sessions: Sessions,
    indexes: Indexes,
    /// How far the registry's indexes are ahead of those of the log (see `restore`); 0 on sidecars.
    ahead: u64,
    /// A saved state that is coming in.
    staged: Option<Arc<Staged>>,
    /// What indexes are shown at least; none in ordinary times.
    floors: Option<Arc<Floors>>,
}

#[derive(Clone, Debug, PartialEq)]
struct NodeEntry {
    node: Arc<Node>,
    index: Index,
}

/// A service that has at least one instance.
#[derive(Clone, Debug)]
pub struct ServiceEntry {
    /// Its name, in the letter case of its first instance.
    pub name: ServiceName,
    /// When one of its instances, or a check or node of one, last changed.
    pub index: Index,
    /// How many instances it has.
    pub instances: usize,
}

/// An instance of a service with all that an answer about it needs.
#[derive(Clone, Debug)]
pub struct Instance {
    /// The node it is on.
    pub node: Arc<Node>,
    /// The instance as registered.
    pub service: Arc<Service>,
    /// The node's own checks, then the service's, each by ID.
    pub checks: Arc<[Arc<Check>]>,
}

impl Instance {
    /// The worst of its checks; passing where it has none.
    #[must_use]
    pub fn status(&self) -> Status {
        self.checks.iter().map(|c| c.status).max().unwrap_or(Status::Passing)
    }

    /// Where to reach it: the service's address or, where that is empty, the node's.
    #[must_use]
    pub fn address(&self) -> &str {
        if self.service.address.is_empty() { &self.node.address } else { &self.service.address }
    }

    /// Its weight in its present state.
    #[must_use]
    pub fn weight(&self) -> u32 {
        match self.status() {
            Status::Passing => self.service.weights.passing,
            Status::Warning => self.service.weights.warning,
            Status::Critical => 0,
        }
    }

    /// Whether it has the tag, in any letter case.
    #[must_use]
    pub fn has_tag(&self, tag: &str) -> bool {
        self.service.tags.iter().any(|t| t.eq_ignore_ascii_case(tag))
    }
}

impl State {
    /// The index of the last command or change applied.
    #[must_use]
    pub fn index(&self) -> Index {
        self.index
    }

    /// All nodes, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.values().map(|entry| &entry.node)
    }

    /// The node of that name, in any letter case.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Arc<Node>> {
        self.nodes.get(&Key::new(name)).map(|entry| &entry.node)
    }

    /// The node with that ID.
    #[must_use]
    pub fn node_by_id(&self, id: Uuid) -> Option<&Arc<Node>> {
        self.ids.get(&id).and_then(|key| self.nodes.get(key)).map(|entry| &entry.node)
    }

    /// The services on a node, by ID; none where the node is unknown.
    pub fn node_services(&self, node: &str) -> impl Iterator<Item = &Arc<Service>> {
        let node = Key::new(node);
        self.services
            .range((node.clone(), Key::default())..)
            .take_while(move |((n, _), _)| *n == node)
            .map(|(_, service)| service)
    }

    /// One service of a node.
    #[must_use]
    pub fn node_service(&self, node: &str, id: &str) -> Option<&Arc<Service>> {
        self.services.get(&(Key::new(node), Key::new(id)))
    }

    /// The checks on a node, its services' too, by ID.
    pub fn node_checks(&self, node: &str) -> impl Iterator<Item = &Arc<Check>> {
        let node = Key::new(node);
        self.checks.range((node.clone(), Key::default())..).take_while(move |((n, _), _)| *n == node).map(|(_, c)| c)
    }

    /// One check of a node.
    #[must_use]
    pub fn node_check(&self, node: &str, id: &str) -> Option<&Arc<Check>> {
        self.checks.get(&(Key::new(node), Key::new(id)))
    }

    /// All checks, by node and ID.
    pub fn checks(&self) -> impl Iterator<Item = &Arc<Check>> {
        self.checks.values()
    }

    /// All services that have an instance, by name.
    pub fn services(&self) -> impl Iterator<Item = &ServiceEntry> {
        self.names.values()
    }

    /// The service of that name, in any letter case; none where it has no instance.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&ServiceEntry> {
        self.names.get(&Key::new(name))
    }

    /// The instances of a service, by node and ID: the order of every list of them.
    pub fn instances(&self, name: &str) -> impl Iterator<Item = &Arc<Instance>> {
        let name = Key::new(name);
        self.instances
            .range((name.clone(), Key::default(), Key::default())..)
            .take_while(move |((n, _, _), _)| *n == name)
            .map(|(_, instance)| instance)
    }

    /// All instances, by service name, node and ID.
    pub fn all_instances(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.instances.values()
    }

    /// All coordinates, by node.
    pub fn coordinates(&self) -> impl Iterator<Item = &Arc<NodeCoordinate>> {
        self.coordinates.values()
    }

    /// The coordinate of the node of that name, in any letter case.
    #[must_use]
    pub fn coordinate(&self, node: &str) -> Option<&Arc<NodeCoordinate>> {
        self.coordinates.get(&Key::new(node))
    }

    /// The autopilot configuration; none until the first leader has written it.
    #[must_use]
    pub fn autopilot(&self) -> Option<&Arc<Autopilot>> {
        self.autopilot.as_ref()
    }

    /// When what the topic names last changed: never 0, so that a client can wait from it, and in the states that one
    /// view shows never back (see `floor`).
    #[must_use]
    pub fn index_of(&self, topic: &Topic) -> Index {
        let index = match topic {
            Topic::Nodes => self.indexes.nodes,
            Topic::Node(key) => self.nodes.get(key).map_or(self.indexes.nodes_gone, |entry| entry.index),
            Topic::Services => self.indexes.services,
            Topic::Service(key) => self.names.get(key).map_or(self.indexes.services_gone, |entry| entry.index),
            Topic::Checks => self.indexes.checks,
            Topic::Status(status) => self.indexes.by_status[*status as usize],
            Topic::Coordinates => self.indexes.coordinates,
            Topic::Key(key) => self.keys.index_of(key),
            Topic::Prefix(prefix) => self.keys.index_below(prefix),
            Topic::Sessions => self.sessions.index,
            Topic::Session(id) => self.sessions.index_of(*id),
            Topic::SessionsOf(node) => self.sessions.index_on(node),
            Topic::Queries => self.indexes.queries,
            Topic::Access => self.indexes.access,
            Topic::Query(id) => self.query(*id).map_or(self.indexes.queries_gone, |query| query.modify_index),
        };
        index.max(self.indexes.restored).max(self.floor_of(topic)).max(Index(1))
    }

    /// The checks about one service of a node, or (empty ID) about the node itself, by ID.
    pub fn checks_about<'a>(&'a self, node: &'a Key, service_id: &'a Key) -> impl Iterator<Item = &'a Arc<Check>> {
        self.bound
            .range((node.clone(), service_id.clone(), Key::default())..)
            .take_while(move |((n, s, _), _)| n == node && s == service_id)
            .map(|(_, check)| check)
    }

    fn is_alive(&self, node: &NodeName) -> bool {
        let key = (node.key(), Key::new(crate::model::SERF_HEALTH));
        self.checks.get(&key).is_some_and(|check| check.status != Status::Critical)
    }
}
