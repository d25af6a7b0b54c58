//! What a reader can wait for, and the index of each: a blocking query wakes only for what it asked.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Bound,
};

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use uuid::Uuid;

use crate::model::{Index, Key, Status};

/// Something a blocking read holds on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// One key.
    Key(SmolStr),
    /// All keys that begin with this text. Never touched itself: its keys are.
    Prefix(SmolStr),
    /// Any session.
    Sessions,
    /// One session.
    Session(Uuid),
    /// The sessions that are bound to a node.
    SessionsOf(Key),
    /// Any prepared query.
    Queries,
    /// One prepared query.
    Query(Uuid),
    /// Anything about who may do what.
    Access,
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
    /// The last change of a prepared query.
    pub queries: Index,
    /// The last time one was deleted: the index of every one that is not there.
    pub queries_gone: Index,
    /// The last change of a token, a policy, a role, or a way to log in.
    pub access: Index,
    /// The last time the whole state was replaced by a saved one: the least index of everything.
    pub restored: Index,
}

/// The indexes of keys and sessions that are not kept beside a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoordinationIndexes {
    /// The last change of a key.
    pub keys: Index,
    /// The latest deletion of a key that is no longer remembered by its key.
    pub keys_forgotten: Index,
    /// The last change of a session.
    pub sessions: Index,
    /// The last end of a session: the index of every session that is not there.
    pub sessions_gone: Index,
    /// How far the registry's indexes are ahead of those of the log.
    pub ahead: u64,
}

/// Calls `wake` for everyone who waits for a topic that was touched, and for the prefixes of a key. Of those who wait
/// for prefixes, however many there are, it looks at few more than it wakes.
pub fn for_each_woken<W>(waiting: &BTreeMap<Topic, W>, touched: &Topic, mut wake: impl FnMut(&Topic, &W)) {
    if let Some(waiting) = waiting.get(touched) {
        wake(touched, waiting);
    }
    let Topic::Key(key) = touched else { return };
    // From the key itself downwards. All prefixes of a text stand before it, the longer ones later; one that stands
    // between and is none of them shows how much shorter the next can be at most.
    let mut upper = Bound::Included(Topic::Prefix(key.clone()));
    let lower = Topic::Prefix(SmolStr::default());
    while let Some((topic @ Topic::Prefix(text), waiting)) = next_below(waiting, &lower, upper) {
        if key.starts_with(text.as_str()) {
            wake(topic, waiting);
            upper = Bound::Excluded(topic.clone());
        } else {
            upper = Bound::Included(Topic::Prefix(common_prefix(key, text).into()));
        }
    }
}

fn next_below<'a, W>(
    waiting: &'a BTreeMap<Topic, W>,
    lower: &Topic,
    upper: Bound<Topic>,
) -> Option<(&'a Topic, &'a W)> {
    // A range whose bounds are the same and left out would be none.
    if matches!(&upper, Bound::Excluded(upper) if upper <= lower) {
        return None;
    }
    waiting.range((Bound::Included(lower.clone()), upper)).next_back()
}

/// What both begin with.
pub(crate) fn common_prefix<'a>(one: &'a str, other: &str) -> &'a str {
    let same = one.char_indices().zip(other.chars()).take_while(|((_, a), b)| a == b);
    let end = same.last().map_or(0, |((at, letter), _)| at + letter.len_utf8());
    &one[..end]
}
