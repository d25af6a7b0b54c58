//! A saved state on its way into the registry.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use lictor_shared::{catalog::Record, command::RestoreCommand, model::Index};
use prost::{
    Message,
    encoding::{DecodeContext, decode_key, skip_field},
};

use super::{
    DecodeError,
    coordination::{id, id_bytes},
    decode_record, encode_record, required,
};
use crate::internal::{self, record::Record as Kind, restore::Step};

/// The message of a part.
pub(super) fn part(number: u32, records: &[Record]) -> internal::RestorePart {
    internal::RestorePart { number, records: records.iter().map(encode_record).collect() }
}

/// The records of a part. Those of another restore are none of a state.
pub(super) fn records(encoded: &[Bytes]) -> Result<Arc<[Record]>, DecodeError> {
    let plain = |encoded: &Bytes| {
        // Looked at before it is decoded: parts within parts would be without end.
        if is_of_restore(encoded) {
            return Err(DecodeError::Missing { field: "RestorePart.records" });
        }
        decode_record(encoded)
    };
    encoded.iter().map(plain).collect()
}

/// The fields of a record that are about a restore under way, by the numbers that the generated code gives them.
static OF_RESTORES: LazyLock<[u32; 2]> = LazyLock::new(|| {
    let kinds = [Kind::Restoring(internal::Restoring::default()), Kind::Staged(internal::RestorePart::default())];
    kinds.map(|kind| {
        let encoded = internal::Record { record: Some(kind) }.encode_to_vec();
        decode_key(&mut encoded.as_slice()).map_or(0, |(number, _)| number)
    })
});

/// Whether an encoded record is one of a restore under way, by the numbers of its fields.
fn is_of_restore(encoded: &[u8]) -> bool {
    let mut keys = encoded;
    while let Ok((number, wire_type)) = decode_key(&mut keys) {
        if OF_RESTORES.contains(&number) {
            return true;
        }
        let context = DecodeContext::default();
        if skip_field(wire_type, number, &mut keys, context).is_err() {
            break;
        }
    }
    false
}

impl From<&RestoreCommand> for internal::Restore {
    fn from(command: &RestoreCommand) -> Self {
        let (id, step) = match command {
            RestoreCommand::Begin(id) => (id, Step::Begin(internal::RestoreBegin {})),
            RestoreCommand::Records { id, number, records } => (id, Step::Part(part(*number, records))),
            RestoreCommand::Commit { id, parts, saved } => {
                (id, Step::Commit(internal::RestoreCommit { parts: *parts, saved_index: saved.0 }))
            }
            RestoreCommand::Abandon(id) => (id, Step::Abandon(internal::RestoreAbandon {})),
        };
        Self { id: id_bytes(*id), step: Some(step) }
    }
}

impl TryFrom<internal::Restore> for RestoreCommand {
    type Error = DecodeError;

    fn try_from(restore: internal::Restore) -> Result<Self, DecodeError> {
        let id = id(&restore.id, "Restore.id")?;
        Ok(match required(restore.step, "Restore.step")? {
            Step::Begin(_) => Self::Begin(id),
            Step::Part(part) => Self::Records { id, number: part.number, records: records(&part.records)? },
            Step::Commit(commit) => Self::Commit { id, parts: commit.parts, saved: Index(commit.saved_index) },
            Step::Abandon(_) => Self::Abandon(id),
        })
    }
}
