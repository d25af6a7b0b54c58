//! What the log holds: a command and the moment its leader stamped it with.
//!
//! A proposal is encoded once, by the task that proposes it, and decoded once, when it arrives; its bytes are then
//! shared by the log, the replication to every follower and the cache. The command itself is gone once it is applied:
//! the log keeps thousands of entries in memory, and needs their bytes only. Never interprets a command: that is the
//! catalog's `apply`, called from `machine`.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use lictor_shared::{command::Command, model::Time};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The largest encoded proposal that is accepted, in bytes. Well over any registration that a handler lets through.
pub const MAX_PROPOSAL_BYTES: usize = 8 << 20;

/// The payload of a log entry. A clone shares its contents.
#[derive(Clone)]
pub struct Proposal {
    time: Time,
    /// Until it is taken.
    command: Arc<Mutex<Option<Command>>>,
    encoded: Bytes,
}

impl PartialEq for Proposal {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl Eq for Proposal {}

/// Why bytes are no proposal.
#[derive(Debug, thiserror::Error)]
pub enum ProposalError {
    /// There are too few for a time.
    #[error("a log entry of {0} bytes holds no command")]
    Short(usize),
    /// The command cannot be read.
    #[error("a log entry's command: {0}")]
    Command(#[from] lictor_proto::DecodeError),
}

impl Proposal {
    /// Encodes a command stamped with `time`: eight bytes of time (little-endian), then the command in protobuf.
    pub fn new(time: Time, command: Command) -> Self {
        let body = lictor_proto::encode_command(&command);
        let mut encoded = Vec::with_capacity(size_of::<u64>() + body.len());
        encoded.extend_from_slice(&time.0.to_le_bytes());
        encoded.extend_from_slice(&body);
        Self { time, command: held(command), encoded: encoded.into() }
    }

    /// Reads what [`Proposal::encoded`] gave.
    ///
    /// # Errors
    /// [`ProposalError`] when the bytes are no proposal.
    pub fn decode(encoded: Bytes) -> Result<Self, ProposalError> {
        let (time, command) = parts(&encoded)?;
        Ok(Self { time, command: held(command), encoded })
    }

    /// When its leader proposed it.
    #[must_use]
    pub fn time(&self) -> Time {
        self.time
    }

    /// What it does. Takes it out of this proposal and its clones, who decode it anew if they are asked too.
    ///
    /// # Errors
    /// [`ProposalError`], never for a proposal that [`Proposal::decode`] took.
    pub fn take_command(&self) -> Result<Command, ProposalError> {
        let held = self.command.lock().unwrap_or_else(PoisonError::into_inner).take();
        held.map_or_else(|| Ok(parts(&self.encoded)?.1), Ok)
    }

    /// Its bytes, as in the log.
    #[must_use]
    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }
}

fn held(command: Command) -> Arc<Mutex<Option<Command>>> {
    Arc::new(Mutex::new(Some(command)))
}

fn parts(encoded: &Bytes) -> Result<(Time, Command), ProposalError> {
    let (time, body) = encoded.split_first_chunk().ok_or(ProposalError::Short(encoded.len()))?;
    Ok((Time(u64::from_le_bytes(*time)), lictor_proto::decode_command(body)?))
}

impl Serialize for Proposal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.encoded)
    }
}

impl<'de> Deserialize<'de> for Proposal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Encoded;

        impl de::Visitor<'_> for Encoded {
            type Value = Proposal;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the bytes of a proposal")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Proposal, E> {
                Proposal::decode(Bytes::copy_from_slice(bytes)).map_err(E::custom)
            }

            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Proposal, E> {
                Proposal::decode(bytes.into()).map_err(E::custom)
            }
        }

        deserializer.deserialize_byte_buf(Encoded)
    }
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proposal").field("time", &self.time).field("bytes", &self.encoded.len()).finish_non_exhaustive()
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a command of {} bytes", self.encoded.len())
    }
}
