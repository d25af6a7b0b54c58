//! Between the generated types and `lictor_shared`'s: `From` outwards, `TryFrom` inwards.
//!
//! Whatever comes in is checked here: a field that is missing or has a value that cannot be is a [`DecodeError`] that
//! names it. Nothing here panics, whatever the bytes. `model` has the rows, `command` the writes, `coordination` and
//! `transaction` those of keys and sessions, `query` prepared queries, `access` tokens and policies, `fetch` what a sidecar does not hold, `change` what
//! watchers and snapshots hold, `restore` a saved state on its way in, `servers` what the leader knows of the servers,
//! `public` what applications are told.

mod access;
mod change;
mod command;
mod coordination;
mod fetch;
mod model;
mod public;
mod query;
mod restore;
mod servers;
#[cfg(test)]
mod tests;
mod transaction;

use bytes::Bytes;
use lictor_shared::{
    catalog::{Change, Record},
    command::Command,
};
use prost::Message;

use crate::internal;

/// Why bytes are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not protobuf, or not of this message.
    #[error("malformed {what}: {reason}")]
    Malformed {
        /// The message.
        what: &'static str,
        /// What the decoder says.
        reason: prost::DecodeError,
    },
    /// A field that must be there is not, or is of a kind this version does not know.
    #[error("{field}: missing, or of a kind unknown to this version")]
    Missing {
        /// `Message.field`.
        field: &'static str,
    },
    /// A field has a value that cannot be.
    #[error("{field}: {value} is out of range")]
    OutOfRange {
        /// `Message.field`.
        field: &'static str,
        /// What it holds.
        value: i64,
    },
    /// An ID that is not 16 bytes.
    #[error("{field}: {length} bytes, an ID has 16")]
    IdLength {
        /// `Message.field`.
        field: &'static str,
        /// What it has.
        length: usize,
    },
}

/// Encodes a command, as an entry of the log holds it.
#[must_use]
pub fn encode_command(command: &Command) -> Bytes {
    internal::Command::from(command).encode_to_vec().into()
}

/// The command that [`encode_command`] encoded.
///
/// # Errors
/// [`DecodeError`], also for a command of a later version.
pub fn decode_command(bytes: &[u8]) -> Result<Command, DecodeError> {
    decode::<internal::Command>("Command", bytes)?.try_into()
}

/// Encodes a change, as watch streams carry it.
#[must_use]
pub fn encode_change(change: &Change) -> Bytes {
    internal::Change::from(change).encode_to_vec().into()
}

/// The change that [`encode_change`] encoded.
///
/// # Errors
/// [`DecodeError`], also for a row of a later version.
pub fn decode_change(bytes: &[u8]) -> Result<Change, DecodeError> {
    decode::<internal::Change>("Change", bytes)?.try_into()
}

/// Encodes a record, as snapshots hold it.
#[must_use]
pub fn encode_record(record: &Record) -> Bytes {
    internal::Record::from(record).encode_to_vec().into()
}

/// The record that [`encode_record`] encoded.
///
/// # Errors
/// [`DecodeError`], also for a record of a later version.
pub fn decode_record(bytes: &[u8]) -> Result<Record, DecodeError> {
    decode::<internal::Record>("Record", bytes)?.try_into()
}

fn decode<M: Message + Default>(what: &'static str, bytes: &[u8]) -> Result<M, DecodeError> {
    M::decode(bytes).map_err(|reason| DecodeError::Malformed { what, reason })
}

fn required<T>(value: Option<T>, field: &'static str) -> Result<T, DecodeError> {
    value.ok_or(DecodeError::Missing { field })
}
