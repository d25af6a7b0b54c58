//! What a reader can wait for, and the index of each: a blocking query wakes only for what it asked.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::model::{Index, Key, Status};

/// Something a blocking read holds on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Any node's own row.
    Nodes,
    /// One node with its services and checks.
    Node(Key),
    /// The list of services and their tags.
    Services,
    /// One service: its instances, their nodes and checks.
    Service(Key),
    /// Any check.
    Checks,
    /// The set of checks in one status.
    Status(Status),
    /// Any node's coordinate.
    Coordinates,
}

/// The topics that a change has touched.
pub type Touched = HashSet<Topic>;

/// The indexes that are not kept beside a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Indexes {
    /// The last change of a node's row.
    pub nodes: Index,
    /// The last removal of a node: the index of every node that is not there.
    pub nodes_gone: Index,
    /// The last change of a service's row.
    pub services: Index,
    /// The last time a service lost its last instance: the index of every service that is not there.
    pub services_gone: Index,
    /// The last change of a check.
    pub checks: Index,
    /// The last change of a check that had, or got, each [`Status`].
    pub by_status: [Index; 3],
    /// The last change of a coordinate.
    pub coordinates: Index,
}
