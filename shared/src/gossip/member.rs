//! What is known of one member, and how two pieces of knowledge about the same life of it are joined.
//!
//! The join is a lattice: later identities win whole, and within one identity facts only accumulate (it meant to
//! leave, it is down, it was pruned). So peers that exchange records in any order end with the same record. Where
//! records of different names or addresses meet is [`super::table`]'s matter.

use std::{collections::BTreeMap, fmt, net::SocketAddr};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, MapAccess, Visitor},
};

use super::{
    identity::Identity,
    limits::{MAX_NAME_BYTES, MAX_TAG_BYTES, MAX_TAGS},
};

/// How a member stands. The words are Consul's (`consul members`, serf's member states).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MemberStatus {
    /// It answers probes (or is only suspected not to).
    Alive,
    /// It has said that it is going, and still answers.
    Leaving,
    /// It left on purpose, or an operator said so of a failed one. Not a failure.
    Left,
    /// It stopped answering without a word.
    Failed,
}

impl MemberStatus {
    /// The word shown in `members` tables: `alive`, `leaving`, `left` or `failed`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Leaving => "leaving",
            Self::Left => "left",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for MemberStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A member of the pool as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The node name, unique in the pool.
    pub name: String,
    /// The address it told others, for UDP and TCP.
    pub address: SocketAddr,
    /// What it says about itself (role, datacenter, ports, build).
    pub tags: BTreeMap<String, String>,
    /// How it stands.
    pub status: MemberStatus,
    /// Grows with each life of the process and each time it has refuted being down. Milliseconds of the wall clock
    /// at its start, plus the refutations.
    pub incarnation: u64,
}

/// What travels of a member in push-pull and, for its own owner, in broadcasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub name: String,
    pub identity: Identity,
    #[serde(deserialize_with = "bounded_tags")]
    pub tags: BTreeMap<String, String>,
    /// Counts the owner's changes of its tags within this life.
    pub revision: u64,
    pub facts: Facts,
    /// For how many seconds the facts have stood, so that nobody's clock is needed to forget a member everywhere.
    pub age_s: u32,
}

/// What is known against an identity being alive. Facts are only ever added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Facts {
    /// It announced that it leaves, or an operator forced it out.
    pub leaves: bool,
    /// The failure detector declared it down.
    pub down: bool,
    /// An operator asked not to see it any more. Kept as a tombstone until it is reaped.
    pub pruned: bool,
}

impl Facts {
    pub fn join(self, other: Self) -> Self {
        Self { leaves: self.leaves || other.leaves, down: self.down || other.down, pruned: self.pruned || other.pruned }
    }

    pub fn status(self) -> MemberStatus {
        match (self.leaves, self.down) {
            (false, false) => MemberStatus::Alive,
            (true, false) => MemberStatus::Leaving,
            (true, true) => MemberStatus::Left,
            (false, true) => MemberStatus::Failed,
        }
    }
}

/// Why a record from a peer, or our own, is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Empty, too long or unprintable.
    #[error("node name {0:?} must have 1 to {MAX_NAME_BYTES} printable bytes")]
    Name(String),
    /// Too many or too large.
    #[error(
        "the tags of {name:?} have {count} keys and {bytes} bytes, more than {MAX_TAGS} keys or {MAX_TAG_BYTES} bytes"
    )]
    Tags {
        /// The node name.
        name: String,
        /// The number of keys.
        count: usize,
        /// Keys and values together.
        bytes: usize,
    },
    /// Unspecified, multicast, without a port, or of an impossible generation.
    #[error("member {name:?} has the address {address}, which cannot be a member's")]
    Address {
        /// The node name.
        name: String,
        /// The address it came with.
        address: SocketAddr,
    },
}

impl Record {
    pub fn check(&self) -> Result<(), RecordError> {
        check_name(&self.name)?;
        check_tags(&self.name, &self.tags)?;
        if self.identity.is_plausible() {
            Ok(())
        } else {
            Err(RecordError::Address { name: self.name.clone(), address: self.identity.address })
        }
    }

    /// Takes what `newer` knows about the same process life (same address and generation). True when it changed us.
    pub fn absorb(&mut self, newer: &Record) -> bool {
        let mut changed = false;
        if newer.revision > self.revision {
            self.revision = newer.revision;
            changed |= self.tags != newer.tags;
            self.tags.clone_from(&newer.tags);
        }
        changed | self.observe(newer.identity, newer.facts)
    }

    /// Takes facts about an identity of the same process life. A later renewal is a refutation: it clears them.
    pub fn observe(&mut self, identity: Identity, facts: Facts) -> bool {
        if identity.renewal < self.identity.renewal {
            return false;
        }
        let before = (self.identity, self.facts);
        self.facts = if identity.renewal > self.identity.renewal { facts } else { self.facts.join(facts) };
        self.identity = identity;
        before != (self.identity, self.facts)
    }

    pub fn member(&self) -> Member {
        Member {
            name: self.name.clone(),
            address: self.identity.address,
            tags: self.tags.clone(),
            status: self.facts.status(),
            incarnation: self.identity.generation + u64::from(self.identity.renewal),
        }
    }
}

/// Decodes as many tags as a member may have; a frame has room for millions.
fn bounded_tags<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct Bounded;
    impl<'de> Visitor<'de> for Bounded {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(formatter, "at most {MAX_TAGS} tags")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut tags = BTreeMap::new();
            while let Some((key, value)) = map.next_entry()? {
                if tags.len() == MAX_TAGS {
                    return Err(A::Error::invalid_length(MAX_TAGS + 1, &self));
                }
                tags.insert(key, value);
            }
            Ok(tags)
        }
    }
    deserializer.deserialize_map(Bounded)
}

pub(super) fn check_name(name: &str) -> Result<(), RecordError> {
    let good = (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.chars().any(|c| c.is_control() || c.is_whitespace());
    if good { Ok(()) } else { Err(RecordError::Name(name.chars().take(MAX_NAME_BYTES).collect())) }
}

pub(super) fn check_tags(name: &str, tags: &BTreeMap<String, String>) -> Result<(), RecordError> {
    let bytes = tags.iter().map(|(key, value)| key.len() + value.len()).sum();
    if tags.len() <= MAX_TAGS && bytes <= MAX_TAG_BYTES {
        Ok(())
    } else {
        Err(RecordError::Tags { name: name.to_owned(), count: tags.len(), bytes })
    }
}
