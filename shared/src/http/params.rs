//! What the common query parameters mean: consistency, blocking, node metadata, filter.
//!
//! Parameters that only name things (`token`, `pretty`) are accepted everywhere. A token comes in `X-Consul-Token`,
//! `Authorization: Bearer` or `?token=` and is accepted whatever it says, as with Consul's ACLs switched off.

use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::{Failure, query::Query};
use crate::{
    agent::duration,
    catalog::State,
    model::{Index, Node, NodeName},
};

/// How long a blocking read waits unless told.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(5 * 60);
/// The longest it waits, whatever it is told.
pub const LONGEST_WAIT: Duration = Duration::from_secs(10 * 60);
/// The most jitter that is added to a wait, as its part of it: 1/16.
pub const JITTER_PART: u32 = 16;

/// How fresh the caller wants its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As the leader knows it.
    Leader,
    /// ... confirmed by a quorum.
    Consistent,
    /// Whatever this node knows (`?stale`, `?max_stale=`), if its last word from the leader is at most that old.
    Stale(Option<Duration>),
    /// Whatever this node knows, answered as from a cache (`?cached`).
    Cached,
}

/// The parameters that every read takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How fresh.
    pub mode: Mode,
    /// The index after which the caller waits for a change; 0: it does not wait.
    pub index: Index,
    /// How long, without jitter.
    pub wait: Duration,
}

impl Options {
    /// Reads them.
    ///
    /// # Errors
    /// 400 for a value that cannot be read and for modes that contradict each other.
    pub fn parse(query: &Query) -> Result<Self, Failure> {
        Ok(Self { mode: mode(query)?, index: index(query)?, wait: wait(query)? })
    }
}

fn mode(query: &Query) -> Result<Mode, Failure> {
    let max_stale = match query.filled("max_stale") {
        Some(text) => Some(duration::parse(text).map_err(|_| bad("Invalid max_stale value", text))?),
        None => None,
    };
    let stale = query.has("stale") || max_stale.is_some();
    match (query.has("consistent"), stale, query.has("cached")) {
        (true, true, _) => Err(conflict("stale")),
        (true, _, true) => Err(conflict("cached")),
        (true, false, false) => Ok(Mode::Consistent),
        (false, _, true) => Ok(Mode::Cached),
        (false, true, false) => Ok(Mode::Stale(max_stale)),
        (false, false, false) => Ok(Mode::Leader),
    }
}

fn conflict(with: &str) -> Failure {
    Failure::BadRequest(format!("Cannot specify ?{with} with ?consistent, conflicting semantics."))
}

fn bad(what: &str, text: &str) -> Failure {
    Failure::BadRequest(format!("{what}: {text:?}"))
}

fn index(query: &Query) -> Result<Index, Failure> {
    let Some(text) = query.filled("index") else { return Ok(Index(0)) };
    text.parse().map(Index).map_err(|_| bad("Invalid index", text))
}

fn wait(query: &Query) -> Result<Duration, Failure> {
    let Some(text) = query.filled("wait") else { return Ok(DEFAULT_WAIT) };
    let wait = duration::parse(text).map_err(|_| bad("Invalid wait time", text))?;
    Ok(if wait.is_zero() { DEFAULT_WAIT } else { wait.min(LONGEST_WAIT) })
}

/// Reads a switch that counts when it stands alone (`?passing`) and otherwise by its value, as Go reads booleans.
///
/// # Errors
/// 400 for a value that is no boolean.
pub fn switch(query: &Query, name: &str) -> Result<bool, Failure> {
    match query.get(name) {
        None => Ok(false),
        Some("") => Ok(true),
        Some(text) => boolean(text).ok_or_else(|| Failure::BadRequest(format!("Invalid value for ?{name}"))),
    }
}

/// A boolean as Go's `strconv.ParseBool` reads it.
#[must_use]
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A UUID in the one form that IDs are given in; or what is wrong.
///
/// # Errors
/// The sentence that follows where it was looked for.
pub fn uuid(text: &str) -> Result<Uuid, String> {
    if text.len() != 36 {
        return Err("UUID must be 36 characters".into());
    }
    Uuid::try_parse(text).map_err(|error| error.to_string())
}

/// The pairs a node's metadata must have: `?node-meta=rack:r1`, repeatable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeMeta(Vec<(String, String)>);

impl NodeMeta {
    /// Reads them; a pair without a colon asks for an empty value.
    #[must_use]
    pub fn parse(query: &Query) -> Self {
        let pair = |text: &str| {
            let (key, value) = text.split_once(':').unwrap_or((text, ""));
            (key.to_string(), value.to_string())
        };
        Self(query.all("node-meta").map(pair).collect())
    }

    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether pairs as they are written have all of them.
    #[must_use]
    pub fn matches_row(&self, meta: &Value) -> bool {
        self.0.iter().all(|(key, value)| meta.get(key).and_then(Value::as_str) == Some(value))
    }

    /// Whether the node has all of them.
    #[must_use]
    pub fn matches(&self, node: &Node) -> bool {
        self.0.iter().all(|(key, value)| node.meta.get(key.as_str()).is_some_and(|v| v == value))
    }
}

/// The node from which lists are to be sorted: `?near=NAME`, or `?near=_agent` for this one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Near(Option<String>);

impl Near {
    /// Reads it; `own` is this node's name.
    #[must_use]
    pub fn parse(query: &Query, own: &str) -> Self {
        Self(query.filled("near").map(|name| if name == "_agent" { own } else { name }.to_string()))
    }

    /// Whether lists are to be sorted at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The rows as [`State::nearest_first`] sorts them; as they came where no node was named.
    pub fn sort<T>(&self, state: &State, rows: impl Iterator<Item = T>, node: impl Fn(&T) -> &NodeName) -> Vec<T> {
        let rows = rows.collect();
        match &self.0 {
            Some(name) => state.nearest_first(name, rows, node),
            None => rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn options(text: &str) -> Result<Options, String> {
        Options::parse(&Query::parse(text)).map_err(|failure| failure.to_string())
    }

    #[test]
    fn modes() {
        let minute = Duration::from_secs(60);
        for (text, mode) in [
            ("", Mode::Leader),
            ("consistent", Mode::Consistent),
            ("stale=false", Mode::Stale(None)),
            ("max_stale=1m", Mode::Stale(Some(minute))),
            ("stale&max_stale=1m", Mode::Stale(Some(minute))),
            ("cached", Mode::Cached),
            ("cached&stale", Mode::Cached),
        ] {
            assert_eq!(options(text).unwrap().mode, mode, "{text}");
        }
        for text in ["stale&consistent", "consistent&cached", "consistent&max_stale=1s"] {
            assert!(options(text).unwrap_err().contains("conflicting semantics"), "{text}");
        }
    }

    #[test]
    fn waits() {
        for (text, index, wait) in [
            ("", 0, DEFAULT_WAIT),
            ("index=0&wait=", 0, DEFAULT_WAIT),
            ("index=7&wait=525s", 7, Duration::from_secs(525)),
            ("index=7&wait=0s", 7, DEFAULT_WAIT),
            ("wait=11m", 0, LONGEST_WAIT),
        ] {
            let options = options(text).unwrap();
            assert_eq!((options.index.0, options.wait), (index, wait), "{text}");
        }
        for (text, sentence) in [
            ("index=-1", "Invalid index: \"-1\""),
            ("index=x", "Invalid index: \"x\""),
            ("wait=10", "Invalid wait time: \"10\""),
            ("max_stale=soon", "Invalid max_stale value: \"soon\""),
        ] {
            assert_eq!(options(text).unwrap_err(), sentence);
        }
    }

    #[test]
    fn switches_count_when_present_and_are_read_when_filled() {
        for (text, on) in [("", Some(false)), ("passing", Some(true)), ("passing=0", Some(false)), ("passing=x", None)]
        {
            assert_eq!(switch(&Query::parse(text), "passing").ok(), on, "{text}");
        }
    }

    #[test]
    fn node_metadata_must_all_match() {
        let meta = [("rack".into(), "r1".into()), ("os".into(), "linux".into())].into();
        let node = Node { meta, ..Node::default() };
        for (text, matches) in [
            ("", true),
            ("node-meta=rack:r1", true),
            ("node-meta=rack:r1&node-meta=os:linux", true),
            ("node-meta=rack:r1&node-meta=os:bsd", false),
            ("node-meta=rack", false),
        ] {
            assert_eq!(NodeMeta::parse(&Query::parse(text)).matches(&node), matches, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_query_panics(text in ".*", wait in "[0-9.a-zµ+-]{0,12}") {
            let _ = Options::parse(&Query::parse(&text));
            let _ = Options::parse(&Query::parse(&format!("wait={wait}&index={wait}&max_stale={wait}")));
        }
    }
}
