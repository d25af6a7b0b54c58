//! Rows: how they go into the tables and out, one by one (changes) and all together (snapshots).
//!
//! [`State::put`] is the only function that touches a table. `apply` calls it on a server, `absorb` on a sidecar, the
//! [`Loader`] after a restart, so that all three keep the same books.

use std::sync::Arc;

use imbl::Vector;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use uuid::Uuid;

use super::{AccessRow, CoordinationIndexes, Indexes, Instance, NodeEntry, ServiceEntry, State, Topic, Touched};
use crate::model::{
    Autopilot, Check, CheckId, Index, Key, KeyValue, Node, NodeCoordinate, NodeName, PreparedQuery, Service, ServiceId,
    ServiceName, Session, Time,
};

/// One row of a change. `...Gone` removes it; rows that depend on it come before it in the same change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// A node as it is now.
    Node(Arc<Node>),
    /// A node is gone; its services and checks are already.
    NodeGone(NodeName),
    /// An instance as it is now.
    Service(Arc<Service>),
    /// An instance is gone; its checks are already.
    ServiceGone(NodeName, ServiceId),
    /// A check as it is now.
    Check(Arc<Check>),
    /// A check is gone.
    CheckGone(NodeName, CheckId),
    /// A node's coordinate as it is now.
    Coordinate(Arc<NodeCoordinate>),
    /// A node has no coordinate any more.
    CoordinateGone(NodeName),
    /// The autopilot configuration as it is now.
    Autopilot(Arc<Autopilot>),
    /// A prepared query as it is now; in a change, without its token.
    Query(Arc<PreparedQuery>),
    /// A prepared query is gone.
    QueryGone(Uuid),
    /// Something about who may do what; in a change, without secrets.
    Access(AccessRow),
}

/// What one command did to the state: enough to do the same elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The command's place in the log.
    pub index: Index,
    /// Its effects, in order. Empty where it changed nothing.
    pub rows: Vec<Row>,
}

/// One piece of a whole state, as in a snapshot or the first messages of a watch stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// A node and the index of the last change on it.
    Node(Arc<Node>, Index),
    /// An instance.
    Service(Arc<Service>),
    /// A check.
    Check(Arc<Check>),
    /// The index of a service's last change.
    ServiceIndex(ServiceName, Index),
    /// A node's coordinate.
    Coordinate(Arc<NodeCoordinate>),
    /// The autopilot configuration.
    Autopilot(Arc<Autopilot>),
    /// A prepared query.
    Query(Arc<PreparedQuery>),
    /// Something about who may do what: never that something is gone.
    Access(AccessRow),
    /// The rest of the books.
    Indexes(Indexes),
    /// A key.
    Key(Arc<KeyValue>),
    /// A key that was deleted at this index, which is remembered until this time.
    KeyGone(SmolStr, Index, Time),
    /// A lock that nobody may take before this time.
    LockDelay(SmolStr, Time),
    /// A session.
    Session(Arc<Session>),
    /// The rest of the books of keys and sessions.
    CoordinationIndexes(CoordinationIndexes),
    /// A restore that is under way, and when its last part came.
    Restoring(Uuid, Time),
    /// The next part of what it has so far.
    Staged(Arc<[Record]>),
}

impl State {
    /// Does what a change did on the server that sent it.
    pub fn absorb(&mut self, change: &Change) -> Touched {
        let mut touched = Touched::new();
        self.index = change.index;
        for row in &change.rows {
            self.put(row, &mut touched);
        }
        touched
    }

    /// The whole state, in an order in which a [`Loader`] can take it: what a server keeps.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        let access = self.access_rows().map(Record::Access);
        let rows = self.catalog(Arc::clone).chain(access).chain(self.coordination_records());
        rows.chain(self.staged_records())
    }

    /// The same without a restore that is under way and without the secrets of tokens: what is saved, to be restored.
    pub fn saved_records(&self) -> impl Iterator<Item = Record> {
        let access = self.access_rows().filter_map(|row| row.without_secret().map(Record::Access));
        self.catalog(Arc::clone).chain(access).chain(self.coordination_records())
    }

    /// The state without keys, sessions and tokens of queries: what sidecars hold.
    pub fn catalog_records(&self) -> impl Iterator<Item = Record> {
        let access = self.access_rows().filter_map(|row| row.without_secret().map(Record::Access));
        self.catalog(PreparedQuery::without_secret).chain(access)
    }

    fn catalog(&self, shown: fn(&Arc<PreparedQuery>) -> Arc<PreparedQuery>) -> impl Iterator<Item = Record> {
        let nodes = self.nodes.values().map(|entry| Record::Node(entry.node.clone(), entry.index));
        let services = self.services.values().map(|service| Record::Service(service.clone()));
        let checks = self.checks.values().map(|check| Record::Check(check.clone()));
        let indexes = self.names.values().map(|entry| Record::ServiceIndex(entry.name.clone(), entry.index));
        let coordinates = self.coordinates.values().map(|coordinate| Record::Coordinate(coordinate.clone()));
        let autopilot = self.autopilot.iter().map(|autopilot| Record::Autopilot(autopilot.clone()));
        let queries = self.queries().map(move |query| Record::Query(shown(query)));
        let books = indexes.chain(coordinates).chain(autopilot).chain(queries).chain([Record::Indexes(self.indexes)]);
        nodes.chain(services).chain(checks).chain(books)
    }

    fn coordination_records(&self) -> impl Iterator<Item = Record> {
        let (keys, sessions) = (&self.keys, &self.sessions);
        let indexes = CoordinationIndexes {
            keys: keys.index,
            keys_forgotten: keys.forgotten,
            sessions: sessions.index,
            sessions_gone: sessions.gone,
            ahead: self.ahead,
        };
        let gone = keys.gone().map(|(key, index, due)| Record::KeyGone(key.clone(), index, due));
        let delays = keys.delays().map(|(key, due)| Record::LockDelay(key.clone(), due));
        let rows = keys.rows().map(|row| Record::Key(row.clone())).chain(gone).chain(delays);
        let sessions = self.sessions().map(|session| Record::Session(session.clone()));
        rows.chain(sessions).chain([Record::CoordinationIndexes(indexes)])
    }

    /// Puts one row into the tables (or takes it out) at the state's present index.
    pub(super) fn put(&mut self, row: &Row, touched: &mut Touched) {
        match row {
            Row::Node(node) => self.put_node(node, touched),
            Row::NodeGone(name) => self.remove_node(&name.key(), touched),
            Row::Service(service) => self.put_service(service, touched),
            Row::ServiceGone(node, id) => self.remove_service(node.key(), id.key(), touched),
            Row::Check(check) => self.put_check(check, touched),
            Row::CheckGone(node, id) => self.remove_check(node.key(), id.key(), touched),
            Row::Coordinate(coordinate) => {
                self.coordinates.insert(coordinate.node.key(), coordinate.clone());
                self.touch_coordinates(touched);
            }
            Row::CoordinateGone(node) => {
                self.coordinates.remove(&node.key());
                self.touch_coordinates(touched);
            }
            Row::Autopilot(autopilot) => self.autopilot = Some(autopilot.clone()),
            Row::Query(query) => self.put_query(query, touched),
            Row::QueryGone(id) => self.remove_query(*id, touched),
            Row::Access(row) => self.put_access(row, touched),
        }
    }

    fn put_node(&mut self, node: &Arc<Node>, touched: &mut Touched) {
        let key = node.name.key();
        let old = self.nodes.insert(key.clone(), NodeEntry { node: node.clone(), index: self.index });
        if let Some(id) = old.and_then(|entry| entry.node.id) {
            self.ids.remove(&id);
        }
        if let Some(id) = node.id {
            self.ids.insert(id, key.clone());
        }
        self.indexes.nodes = self.index;
        touched.insert(Topic::Nodes);
        touched.insert(Topic::Node(key.clone()));
        self.refresh_node(&key, touched);
    }

    fn remove_node(&mut self, key: &Key, touched: &mut Touched) {
        let Some(old) = self.nodes.remove(key) else { return };
        if let Some(id) = old.node.id
            && self.ids.get(&id) == Some(key)
        {
            self.ids.remove(&id);
        }
        self.indexes.nodes = self.index;
        self.indexes.nodes_gone = self.index;
        touched.insert(Topic::Nodes);
        touched.insert(Topic::Node(key.clone()));
    }

    fn put_service(&mut self, service: &Arc<Service>, touched: &mut Touched) {
        let (node, id) = (service.node.key(), service.id.key());
        let name = service.name.key();
        let old = self.services.insert((node.clone(), id.clone()), service.clone());
        let same_name = old.as_ref().is_some_and(|old| old.name.key() == name);
        if let Some(old) = old
            && !same_name
        {
            self.remove_instance(old.name.key(), &node, &id, touched);
        }
        if !same_name {
            let fresh = || ServiceEntry { name: service.name.clone(), index: self.index, instances: 0 };
            self.names.entry(name).or_insert_with(fresh).instances += 1;
        }
        self.touch_services(&node, touched);
        self.refresh_instance(&node, &id, touched);
    }

    fn remove_service(&mut self, node: Key, id: Key, touched: &mut Touched) {
        let Some(old) = self.services.remove(&(node.clone(), id.clone())) else { return };
        self.remove_instance(old.name.key(), &node, &id, touched);
        self.touch_services(&node, touched);
    }

    fn touch_services(&mut self, node: &Key, touched: &mut Touched) {
        self.indexes.services = self.index;
        touched.insert(Topic::Services);
        self.touch_node(node, touched);
    }

    fn remove_instance(&mut self, name: Key, node: &Key, id: &Key, touched: &mut Touched) {
        self.instances.remove(&(name.clone(), node.clone(), id.clone()));
        if let Some(entry) = self.names.get_mut(&name) {
            entry.instances -= 1;
            entry.index = self.index;
            if entry.instances == 0 {
                self.names.remove(&name);
                self.indexes.services_gone = self.index;
            }
        }
        touched.insert(Topic::Service(name));
    }

    fn put_check(&mut self, check: &Arc<Check>, touched: &mut Touched) {
        let (node, id, about) = (check.node.key(), check.id.key(), check.service_id.key());
        let old = self.checks.insert((node.clone(), id.clone()), check.clone());
        if let Some(old) = &old {
            self.touch_check(old, touched);
            let was_about = old.service_id.key();
            if was_about != about {
                self.bound.remove(&(node.clone(), was_about.clone(), id.clone()));
                self.refresh_about(&node, &was_about, touched);
            }
        }
        self.bound.insert((node.clone(), about.clone(), id), check.clone());
        self.touch_check(check, touched);
        self.refresh_about(&node, &about, touched);
    }

    fn remove_check(&mut self, node: Key, id: Key, touched: &mut Touched) {
        let Some(old) = self.checks.remove(&(node.clone(), id.clone())) else { return };
        let about = old.service_id.key();
        self.bound.remove(&(node.clone(), about.clone(), id));
        self.touch_check(&old, touched);
        self.refresh_about(&node, &about, touched);
    }

    fn touch_check(&mut self, check: &Check, touched: &mut Touched) {
        self.indexes.checks = self.index;
        self.indexes.by_status[check.status as usize] = self.index;
        touched.insert(Topic::Checks);
        touched.insert(Topic::Status(check.status));
        self.touch_node(&check.node.key(), touched);
    }

    fn touch_coordinates(&mut self, touched: &mut Touched) {
        self.indexes.coordinates = self.index;
        touched.insert(Topic::Coordinates);
    }

    fn touch_node(&mut self, node: &Key, touched: &mut Touched) {
        if let Some(entry) = self.nodes.get_mut(node) {
            entry.index = self.index;
            touched.insert(Topic::Node(node.clone()));
        }
    }

    /// Rebuilds the instances that a check is about: one service's, or all of the node's.
    fn refresh_about(&mut self, node: &Key, service_id: &Key, touched: &mut Touched) {
        if service_id.as_str().is_empty() {
            self.refresh_node(node, touched);
        } else {
            self.refresh_instance(node, service_id, touched);
        }
    }

    fn refresh_node(&mut self, node: &Key, touched: &mut Touched) {
        let ids: Vec<Key> = self.node_services(node.as_str()).map(|service| service.id.key()).collect();
        for id in ids {
            self.refresh_instance(node, &id, touched);
        }
    }

    fn refresh_instance(&mut self, node_key: &Key, id: &Key, touched: &mut Touched) {
        let Some(entry) = self.nodes.get(node_key) else { return };
        let Some(service) = self.services.get(&(node_key.clone(), id.clone())) else { return };
        let own = Key::default();
        let checks = self.checks_about(node_key, &own).chain(self.checks_about(node_key, id)).cloned().collect();
        let instance = Instance { node: entry.node.clone(), service: service.clone(), checks };
        let name = service.name.key();
        self.instances.insert((name.clone(), node_key.clone(), id.clone()), Arc::new(instance));
        if let Some(entry) = self.names.get_mut(&name) {
            entry.index = self.index;
        }
        touched.insert(Topic::Service(name));
    }
}

/// Builds a state from the records of another, a piece at a time. A clone costs as little as one of a state.
#[derive(Clone, Debug, Default)]
pub struct Loader {
    state: State,
    touched: Touched,
    node_indexes: Vector<(Key, Index)>,
    service_indexes: Vector<(ServiceName, Index)>,
    indexes: Indexes,
}

impl Loader {
    /// Takes one record. A node comes before its services, a service before its checks.
    pub fn push(&mut self, record: Record) {
        match record {
            Record::Node(node, index) => {
                self.node_indexes.push_back((node.name.key(), index));
                self.state.put(&Row::Node(node), &mut self.touched);
            }
            Record::Service(service) => self.state.put(&Row::Service(service), &mut self.touched),
            Record::Check(check) => self.state.put(&Row::Check(check), &mut self.touched),
            Record::Coordinate(coordinate) => self.state.put(&Row::Coordinate(coordinate), &mut self.touched),
            Record::Autopilot(autopilot) => self.state.put(&Row::Autopilot(autopilot), &mut self.touched),
            Record::Query(query) => self.state.put(&Row::Query(query), &mut self.touched),
            Record::Access(row) => self.state.put(&Row::Access(row), &mut self.touched),
            Record::ServiceIndex(name, index) => self.service_indexes.push_back((name, index)),
            Record::Indexes(indexes) => self.indexes = indexes,
            Record::Key(row) => self.state.keys.put(row),
            Record::KeyGone(key, index, due) => self.state.keys.put_gone(key, index, due),
            Record::LockDelay(key, due) => self.state.keys.put_delay(key, due),
            Record::Session(session) => self.state.sessions.put(session),
            Record::CoordinationIndexes(indexes) => {
                let state = &mut self.state;
                (state.keys.index, state.keys.forgotten) = (indexes.keys, indexes.keys_forgotten);
                (state.sessions.index, state.sessions.gone) = (indexes.sessions, indexes.sessions_gone);
                state.ahead = indexes.ahead;
            }
            Record::Restoring(id, time) => self.state.begin_restore(id, time),
            Record::Staged(records) => self.state.stage(records),
        }
        self.touched.clear();
    }

    /// The whole state of a server, as of this index of the log.
    #[must_use]
    pub fn finish_at(self, log_index: u64) -> State {
        let index = Index(log_index.saturating_add(self.state.ahead));
        self.finish(index)
    }

    /// The whole state, as of `index`.
    #[must_use]
    pub fn finish(self, index: Index) -> State {
        let mut state = self.state;
        for (node, index) in self.node_indexes {
            if let Some(entry) = state.nodes.get_mut(&node) {
                entry.index = index;
            }
        }
        for (name, index) in self.service_indexes {
            if let Some(entry) = state.names.get_mut(&name.key()) {
                entry.index = index;
                entry.name = name;
            }
        }
        state.indexes = self.indexes;
        state.index = index;
        state
    }
}
