//! What the log holds: a command and the moment its leader stamped it with.
//!
//! A proposal is encoded once, by the task that proposes it, and decoded once, when it arrives; its bytes are then
//! shared by the log, the replication to every follower and the cache. Never interprets a command: that is the
//! catalog's `apply`, called from `machine`.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use lictor_shared::{command::Command, model::Time};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The largest encoded proposal that is accepted, in bytes. Well over any registration that a handler lets through.
pub const MAX_PROPOSAL_BYTES: usize = 8 << 20;

/// The payload of a log entry. A clone shares its contents.
#[derive(Clone, PartialEq, Eq)]
pub struct Proposal {
    time: Time,
    command: Arc<Command>,
    encoded: Bytes,
}

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
        Self { time, command: Arc::new(command), encoded: encoded.into() }
    }

    /// Reads what [`Proposal::encoded`] gave.
    ///
    /// # Errors
    /// [`ProposalError`] when the bytes are no proposal.
    pub fn decode(encoded: Bytes) -> Result<Self, ProposalError> {
        let (time, body) = encoded.split_first_chunk().ok_or(ProposalError::Short(encoded.len()))?;
        let command = Arc::new(lictor_proto::decode_command(body)?);
        Ok(Self { time: Time(u64::from_le_bytes(*time)), command, encoded })
    }

    /// When its leader proposed it.
    #[must_use]
    pub fn time(&self) -> Time {
        self.time
    }

    /// What it does.
    #[must_use]
    pub fn command(&self) -> &Command {
        &self.command
    }

    /// Its bytes, as in the log.
    #[must_use]
    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }
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
        f.debug_struct("Proposal").field("time", &self.time).field("command", &self.command).finish_non_exhaustive()
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a command of {} bytes", self.encoded.len())
    }
}
