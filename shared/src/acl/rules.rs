//! The rules of one policy, as people write them (HCL or JSON, Consul's "ACL rules" document):
//!
//! ```hcl
//! service_prefix "web" { policy = "write" }
//! key "secret"         { policy = "deny" }
//! operator = "read"
//! ```
//!
//! `..._prefix` is about all names that begin with its label, the others about one name; `acl`, `keyring`, `operator` and
//! the mesh's words stand alone. What a service's block says of `intentions`, and `mesh`, `peering`, are read and have
//! no effect: there is no mesh.

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value};
use smol_str::SmolStr;

use crate::{agent::definition::fold, config::hcl};

/// The longest text of rules, in bytes: every node holds them all.
pub const MAX_RULES_BYTES: usize = 64 * 1024;
/// The longest label, in bytes.
const MAX_LABEL_BYTES: usize = 1024;

/// What the builtin policy says, for those who read it; what it means needs no reading.
pub const MANAGEMENT_RULES: &str = r#"acl = "write"
agent_prefix "" { policy = "write" }
event_prefix "" { policy = "write" }
key_prefix "" { policy = "write" }
keyring = "write"
node_prefix "" { policy = "write" }
operator = "write"
query_prefix "" { policy = "write" }
service_prefix "" { policy = "write" }
session_prefix "" { policy = "write" }
"#;

/// How much is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Nothing.
    #[default]
    Deny,
    /// To look.
    Read,
    /// To look, also at all keys below a prefix at once.
    List,
    /// To look and to change.
    Write,
}

impl Level {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "deny" => Self::Deny,
            "read" => Self::Read,
            "list" => Self::List,
            "write" => Self::Write,
            _ => return None,
        })
    }

    /// The stricter of two rules of the same name: who denies is heard first, then who allows more (Consul's "Rule
    /// precedence").
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        if self == Self::Deny || other == Self::Deny { Self::Deny } else { self.max(other) }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Deny => "deny",
            Self::Read => "read",
            Self::List => "list",
            Self::Write => "write",
        })
    }
}

/// What a right is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Tokens, policies, roles, and all else that only who may change these may do.
    Acl,
    /// An agent itself, by its node's name.
    Agent,
    /// User events, by name.
    Event,
    /// Keys.
    Key,
    /// The keys of gossip.
    Keyring,
    /// Nodes of the catalog, by name.
    Node,
    /// The servers.
    Operator,
    /// Prepared queries, by name.
    Query,
    /// Services, by name.
    Service,
    /// Sessions, by their node's name.
    Session,
}

impl Resource {
    /// Those of which each rule is about names.
    pub const NAMED: [Self; 7] =
        [Self::Agent, Self::Event, Self::Key, Self::Node, Self::Query, Self::Service, Self::Session];
    /// Those that are there once.
    pub const SINGLE: [Self; 3] = [Self::Acl, Self::Keyring, Self::Operator];

    /// As it is written in rules.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acl => "acl",
            Self::Agent => "agent",
            Self::Event => "event",
            Self::Key => "key",
            Self::Keyring => "keyring",
            Self::Node => "node",
            Self::Operator => "operator",
            Self::Query => "query",
            Self::Service => "service",
            Self::Session => "session",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Why rules cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Failed to parse ACL rules: {0}")]
pub struct RulesError(String);

/// The rules of one policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// About exactly these names.
    pub exact: BTreeMap<(Resource, SmolStr), Level>,
    /// About all names that begin so.
    pub prefix: BTreeMap<(Resource, SmolStr), Level>,
    /// About what is there once.
    pub single: BTreeMap<Resource, Level>,
}

impl Rules {
    /// Those that allow everything.
    #[must_use]
    pub fn management() -> Self {
        Self::about_all(Level::Write)
    }

    /// Those that deny everything, whatever others allow of all names.
    #[must_use]
    pub fn denial() -> Self {
        Self::about_all(Level::Deny)
    }

    fn about_all(level: Level) -> Self {
        Self {
            exact: BTreeMap::new(),
            prefix: Resource::NAMED.map(|resource| ((resource, SmolStr::default()), level)).into(),
            single: Resource::SINGLE.map(|resource| (resource, level)).into(),
        }
    }

    /// Reads them.
    ///
    /// # Errors
    /// Says what cannot be read, where.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        if text.len() > MAX_RULES_BYTES {
            return Err(RulesError(format!("they have more than {MAX_RULES_BYTES} bytes")));
        }
        let body = hcl::parse(text).map_err(|error| RulesError(error.to_string()))?;
        let mut rules = Self::default();
        for (key, value) in &body {
            rules.add(key, value)?;
        }
        Ok(rules)
    }

    fn add(&mut self, key: &str, value: &Value) -> Result<(), RulesError> {
        let folded = fold(key);
        if let Some(resource) = Resource::SINGLE.into_iter().find(|resource| resource.as_str() == folded) {
            let level = single(key, value)?;
            add(&mut self.single, resource, level);
            return Ok(());
        }
        // Of the mesh, which is not there; checked, so that a slip is told.
        if matches!(folded.as_str(), "mesh" | "peering") {
            return single(key, value).map(drop);
        }
        let (name, is_prefix) = match folded.strip_suffix("prefix") {
            Some(name) => (name, true),
            None => (folded.as_str(), false),
        };
        let Some(resource) = Resource::NAMED.into_iter().find(|resource| resource.as_str() == name) else {
            return Err(RulesError(format!("unknown resource {key:?}")));
        };
        let rules = if is_prefix { &mut self.prefix } else { &mut self.exact };
        for (label, block) in blocks(key, value)? {
            if label.len() > MAX_LABEL_BYTES {
                return Err(RulesError(format!("{key}: a name has more than {MAX_LABEL_BYTES} bytes")));
            }
            let level = block_level(key, resource, &label, block)?;
            add(rules, (resource, label), level);
        }
        Ok(())
    }
}

/// One more about the same thing: both count, as [`Level::merge`] has it.
pub(super) fn add<K: Ord>(map: &mut BTreeMap<K, Level>, key: K, level: Level) {
    map.entry(key).and_modify(|old| *old = old.merge(level)).or_insert(level);
}

fn single(key: &str, value: &Value) -> Result<Level, RulesError> {
    let text = match value {
        Value::String(text) => Some(text.as_str()),
        Value::Object(block) => block.get("policy").and_then(Value::as_str),
        _ => None,
    };
    match text.map(|text| (text, Level::parse(text))) {
        Some((_, Some(level))) if level != Level::List => Ok(level),
        Some((text, _)) => Err(RulesError(format!("Invalid {key} policy: {text:?} (give read, write or deny)"))),
        None => Err(RulesError(format!("{key}: write it as {key} = \"read\""))),
    }
}

/// A label and its block.
type Labelled<'a> = (SmolStr, &'a Map<String, Value>);

/// Each label with its block. Of several blocks HCL makes a list; a label that stands several times has a list too.
fn blocks<'a>(key: &str, value: &'a Value) -> Result<Vec<Labelled<'a>>, RulesError> {
    let wrong = || RulesError(format!("{key}: write it as {key} \"name\" {{ policy = \"read\" }}"));
    let mut found = Vec::new();
    let labelled = match value {
        Value::Object(map) => vec![map],
        Value::Array(list) => list.iter().map(|item| item.as_object().ok_or_else(wrong)).collect::<Result<_, _>>()?,
        _ => return Err(wrong()),
    };
    for map in labelled {
        for (label, block) in map {
            match block {
                Value::Object(block) => found.push((label.as_str().into(), block)),
                Value::Array(list) => {
                    for block in list {
                        found.push((label.as_str().into(), block.as_object().ok_or_else(wrong)?));
                    }
                }
                _ => return Err(wrong()),
            }
        }
    }
    Ok(found)
}

fn block_level(key: &str, resource: Resource, label: &str, block: &Map<String, Value>) -> Result<Level, RulesError> {
    let mut level = None;
    for (field, value) in block {
        match (field.as_str(), value.as_str()) {
            ("policy", Some(text)) => {
                let read = Level::parse(text).filter(|level| *level != Level::List || resource == Resource::Key);
                let choices =
                    if resource == Resource::Key { "read, list, write or deny" } else { "read, write or deny" };
                let wrong = || RulesError(format!("Invalid {key} policy: {label:?} has {text:?} (give {choices})"));
                level = Some(read.ok_or_else(wrong)?);
            }
            ("intentions", Some(text)) if resource == Resource::Service => {
                let wrong = || RulesError(format!("Invalid {key} intentions policy: {label:?} has {text:?}"));
                Level::parse(text).ok_or_else(wrong)?;
            }
            // An enterprise setting.
            ("sentinel", None) => {}
            _ => return Err(RulesError(format!("{key} {label:?}: unknown field {field:?}"))),
        }
    }
    level.ok_or_else(|| RulesError(format!("{key} {label:?}: it has no policy")))
}
