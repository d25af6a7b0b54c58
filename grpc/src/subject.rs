//! The three things that can be watched, and how each is listed from a snapshot: a service's instances, the services
//! there are, a node with what is on it. Pure functions of the snapshot and of the rows made before, which are kept
//! where nothing has changed; the order is the same everywhere.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use lictor_proto::v1;
use lictor_shared::{
    catalog::{Instance, State, Topic},
    model::Key,
};
use prost::Message;

/// What a row is known by: the node and ID of an instance, the name of a service.
pub type Identity = (Key, Key);

/// What is told of one instance or service.
pub trait Row: Message + Clone + PartialEq + Default + 'static {
    /// What is told when it is gone.
    type Id: Send + 'static;

    /// Its identity as it is told.
    fn id(&self) -> Self::Id;
}

impl Row for v1::Instance {
    type Id = v1::InstanceId;

    fn id(&self) -> v1::InstanceId {
        self.id.clone().unwrap_or_default()
    }
}

impl Row for v1::ServiceName {
    type Id = String;

    fn id(&self) -> String {
        self.name.clone()
    }
}

/// A row, made once for all streams.
#[derive(Debug)]
pub struct Entry<R> {
    /// What it is known by; entries are in this order.
    pub identity: Identity,
    /// What is told.
    pub row: R,
    /// Of the row's bytes.
    pub digest: u64,
    /// What it was made from, where that is an instance.
    pub instance: Option<Arc<Instance>>,
}

impl<R: Row> Entry<R> {
    fn new(identity: Identity, row: R, instance: Option<Arc<Instance>>) -> Self {
        Self { identity, digest: digest(&row), row, instance }
    }
}

/// Stands for the content of a message. Not the same in every version of Lictor.
pub fn digest(message: &impl Message) -> u64 {
    let mut hasher = DefaultHasher::new();
    message.encode_to_vec().hash(&mut hasher);
    hasher.finish()
}

/// Everything there is of a subject.
#[derive(Debug)]
pub struct Content<R> {
    /// The node, where that is what is watched and it exists.
    pub node: Option<v1::Node>,
    /// The rows, by identity.
    pub entries: Vec<Arc<Entry<R>>>,
}

impl<R> Default for Content<R> {
    fn default() -> Self {
        Self { node: None, entries: Vec::new() }
    }
}

impl<R> Content<R> {
    /// Whether nothing differs, for contents that were made one from the other.
    pub fn is_same(&self, other: &Self) -> bool {
        let same = |(a, b): (&Arc<Entry<R>>, &Arc<Entry<R>>)| Arc::ptr_eq(a, b);
        self.node == other.node
            && self.entries.len() == other.entries.len()
            && self.entries.iter().zip(&other.entries).all(same)
    }
}

/// Something that can be watched.
pub trait Subject: Send + Sync + 'static {
    /// What is told of each part of it.
    type Row: Row;

    /// What touches it.
    fn topic(&self) -> Topic;

    /// What there is of it in `state`. Entries of `previous` are taken over where they are as they were.
    fn list(&self, state: &State, previous: &Content<Self::Row>) -> Content<Self::Row>;
}

/// Entries that may be taken over, handed out in the order of their identities.
struct Previous<'a, R> {
    entries: &'a [Arc<Entry<R>>],
}

impl<'a, R> Previous<'a, R> {
    /// The entry of that identity. To be asked in order.
    fn find(&mut self, identity: &Identity) -> Option<&'a Arc<Entry<R>>> {
        let behind = self.entries.iter().take_while(|entry| entry.identity < *identity).count();
        self.entries = &self.entries[behind..];
        self.entries.first().filter(|entry| entry.identity == *identity)
    }
}

/// The instances of the service of that name.
pub struct ServiceSubject(pub Key);

impl Subject for ServiceSubject {
    type Row = v1::Instance;

    fn topic(&self) -> Topic {
        Topic::Service(self.0.clone())
    }

    fn list(&self, state: &State, previous: &Content<v1::Instance>) -> Content<v1::Instance> {
        let mut previous = Previous { entries: &previous.entries };
        let entry = |instance: &Arc<Instance>| {
            let identity = (instance.node.name.key(), instance.service.id.key());
            match previous.find(&identity) {
                Some(kept) if kept.instance.as_ref().is_some_and(|made_from| Arc::ptr_eq(made_from, instance)) => {
                    kept.clone()
                }
                _ => Arc::new(Entry::new(identity, (&**instance).into(), Some(instance.clone()))),
            }
        };
        Content { node: None, entries: state.instances(self.0.as_str()).map(entry).collect() }
    }
}

/// The services there are.
pub struct NamesSubject;

impl Subject for NamesSubject {
    type Row = v1::ServiceName;

    fn topic(&self) -> Topic {
        Topic::Services
    }

    fn list(&self, state: &State, previous: &Content<v1::ServiceName>) -> Content<v1::ServiceName> {
        let mut previous = Previous { entries: &previous.entries };
        let mut instances = state.all_instances().peekable();
        let entry = |service: &lictor_shared::catalog::ServiceEntry| {
            let (name, mut tags, mut count) = (service.name.key(), BTreeSet::new(), 0);
            // Both are in the order of the names.
            while let Some(instance) = instances.next_if(|instance| instance.service.name.key() <= name) {
                count += 1;
                tags.extend(&instance.service.tags);
            }
            let tags = tags.into_iter().map(ToString::to_string).collect();
            let row = v1::ServiceName { name: service.name.to_string(), tags, instances: count };
            unless_known(&mut previous, (name, Key::default()), row)
        };
        Content { node: None, entries: state.services().map(entry).collect() }
    }
}

/// The node of that name and all instances on it.
pub struct NodeSubject(pub Key);

impl Subject for NodeSubject {
    type Row = v1::Instance;

    fn topic(&self) -> Topic {
        Topic::Node(self.0.clone())
    }

    fn list(&self, state: &State, previous: &Content<v1::Instance>) -> Content<v1::Instance> {
        let (name, of_node) = (self.0.as_str(), Key::default());
        let Some(node) = state.node(name) else { return Content::default() };
        let mut previous = Previous { entries: &previous.entries };
        let entry = |service: &Arc<lictor_shared::model::Service>| {
            let id = service.id.key();
            let checks = state.checks_about(&self.0, &of_node).chain(state.checks_about(&self.0, &id)).cloned();
            let instance = Instance { node: node.clone(), service: service.clone(), checks: checks.collect() };
            unless_known(&mut previous, (self.0.clone(), id), (&instance).into())
        };
        let entries = state.node_services(name).map(entry).collect();
        Content { node: Some(v1::Node::new(node, state.checks_about(&self.0, &of_node))), entries }
    }
}

/// The entry made before, if the row is still the same.
fn unless_known<R: Row>(previous: &mut Previous<'_, R>, identity: Identity, row: R) -> Arc<Entry<R>> {
    match previous.find(&identity) {
        Some(kept) if kept.row == row => kept.clone(),
        _ => Arc::new(Entry::new(identity, row, None)),
    }
}
