//! Keys, and the sessions that lock them. Plain data; what may be done with it is `catalog`'s matter.
//!
//! Unlike names of the catalog, keys are told apart by letter case, and no text is refused.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use uuid::Uuid;

use super::{CheckId, Index, NodeName};

/// A key and its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyValue {
    /// The key, as it was written.
    pub key: SmolStr,
    /// Any bytes.
    pub value: Bytes,
    /// Kept for the client.
    pub flags: u64,
    /// The session that holds the lock, if one does.
    pub session: Option<Uuid>,
    /// How often the lock was taken.
    pub lock_index: u64,
    /// When it was first written.
    pub create_index: Index,
    /// When it last changed.
    pub modify_index: Index,
}

/// What happens to the keys of a session that ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Behavior {
    /// Their locks are released.
    #[default]
    Release,
    /// They are deleted.
    Delete,
}

impl Behavior {
    /// Consul's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Delete => "delete",
        }
    }
}

/// A holder of locks. It never changes; it ends when it is destroyed, when one of its checks is critical or gone, when
/// its node is gone, and some time after its time to live has passed without a renewal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Never used twice.
    pub id: Uuid,
    /// For people.
    pub name: SmolStr,
    /// The node it is bound to.
    pub node: NodeName,
    /// Checks of that node whose failure ends it.
    pub node_checks: Vec<CheckId>,
    /// Checks of services on that node whose failure ends it.
    pub service_checks: Vec<CheckId>,
    /// How long nobody may take a lock that was lost with it.
    pub lock_delay: Duration,
    /// What happens to its keys.
    pub behavior: Behavior,
    /// Ends without a renewal for longer; zero: never.
    pub ttl: Duration,
    /// The same as its creator wrote it, for that is what clients are shown.
    pub ttl_text: SmolStr,
    /// When it was created.
    pub create_index: Index,
    /// The same.
    pub modify_index: Index,
}

impl Session {
    /// All its checks.
    pub fn checks(&self) -> impl Iterator<Item = &CheckId> {
        self.node_checks.iter().chain(&self.service_checks)
    }
}
