//! Writes of keys and sessions, and transactions over these and the catalog.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use uuid::Uuid;

use super::Registration;
use crate::model::{Check, CheckId, Index, KeyValue, Node, NodeName, Service, ServiceId, Session};

/// What is written to a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyEntry {
    /// The key.
    pub key: SmolStr,
    /// Any bytes.
    pub value: Bytes,
    /// Kept for the client.
    pub flags: u64,
}

/// A write of one key or, when deleting, of all below a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyCommand {
    /// Put it, whoever holds its lock.
    Set(KeyEntry),
    /// Put it if its modify index is this (0: it is not there).
    Cas(KeyEntry, Index),
    /// Put it and take its lock for a session, unless another has it.
    Acquire(KeyEntry, Uuid),
    /// Put it and give up the lock that this session has on it.
    Release(KeyEntry, Uuid),
    /// Delete it.
    Delete(SmolStr),
    /// Delete it if its modify index is this. One that is not there is as good as deleted.
    DeleteCas(SmolStr, Index),
    /// Delete all keys that begin with this text.
    DeleteTree(SmolStr),
}

/// A write of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionCommand {
    /// Create it; its indexes do not matter.
    Create(Box<Session>),
    /// End it, with what that means for its keys; one that is not there is no error.
    Destroy(Uuid),
}

/// One step of a transaction: a write, a look, or a condition on all the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Write a key; a condition of its own that does not hold fails the transaction.
    Key(KeyCommand),
    /// Give a key; it must be there.
    GetKey(SmolStr),
    /// Give all keys that begin with this text.
    GetTree(SmolStr),
    /// The key must have this modify index.
    CheckIndex(SmolStr, Index),
    /// The session must hold the key's lock.
    CheckSession(SmolStr, Uuid),
    /// The key must not be there.
    CheckAbsent(SmolStr),
    /// Put a node, a service or a check.
    Put(CatalogRow, Condition),
    /// Give one; it must be there.
    Get(CatalogName),
    /// Remove one.
    Remove(CatalogName, Condition),
    /// End a session.
    DestroySession(Uuid),
}

impl Operation {
    /// Whether it can change anything.
    #[must_use]
    pub fn is_write(&self) -> bool {
        matches!(self, Self::Key(_) | Self::Put(..) | Self::Remove(..) | Self::DestroySession(_))
    }
}

/// The modify index that a row of the catalog must have (0: it is not there), if that matters.
pub type Condition = Option<Index>;

/// A row of the catalog to put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CatalogRow {
    /// A node.
    Node(Box<Node>),
    /// A service on a node that is there.
    Service(Box<Service>),
    /// A check on a node that is there.
    Check(Box<Check>),
}

/// A row of the catalog by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CatalogName {
    /// A node.
    Node(NodeName),
    /// A service of a node.
    Service(NodeName, ServiceId),
    /// A check of a node.
    Check(NodeName, CheckId),
}

impl CatalogRow {
    /// What it is the row of.
    #[must_use]
    pub fn name(&self) -> CatalogName {
        match self {
            Self::Node(node) => CatalogName::Node(node.name.clone()),
            Self::Service(service) => CatalogName::Service(service.node.clone(), service.id.clone()),
            Self::Check(check) => CatalogName::Check(check.node.clone(), check.id.clone()),
        }
    }

    /// The registration that puts it, with nothing else.
    #[must_use]
    pub fn registration(&self) -> Registration {
        let on = |node: &NodeName| Node { name: node.clone(), ..Node::default() };
        match self {
            Self::Node(node) => Registration { node: (**node).clone(), ..Registration::default() },
            Self::Service(service) => Registration {
                node: on(&service.node),
                skip_node_update: true,
                service: Some((**service).clone()),
                checks: Vec::new(),
            },
            Self::Check(check) => Registration {
                node: on(&check.node),
                skip_node_update: true,
                service: None,
                checks: vec![(**check).clone()],
            },
        }
    }
}

/// What an operation of a transaction gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperationResult {
    /// A key as it is now; without its value where it was written.
    Key(KeyValue),
    /// A node as it is now.
    Node(Box<Node>),
    /// A service as it is now.
    Service(Box<Service>),
    /// A check as it is now.
    Check(Box<Check>),
}

/// Why an operation fails its transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationError {
    /// Its place in the transaction, from 0.
    pub place: u32,
    /// The sentence that a client sees.
    pub reason: String,
}
