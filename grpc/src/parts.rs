//! Sets and differences of any size, cut into messages of a bounded one.

use std::sync::Arc;

use lictor_proto::v1;

use crate::subject::{Entry, Row};

/// Rows are added to a message until it has this many bytes. A single row is smaller than a registration may be
/// (1 MiB), so that no message comes near the 4 MiB that clients take by default.
pub const PART_BYTES: usize = 256 << 10;
/// What protobuf puts around a field, at most.
const FRAMING_BYTES: usize = 16;

/// What there is beside the rows.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// Of a service.
    pub state: v1::ServiceState,
    /// The node, where that is what is watched and it exists.
    pub node: Option<v1::Node>,
}

/// The content of one message.
pub struct Part<R: Row> {
    /// Rows as they are now.
    pub upserted: Vec<R>,
    /// Rows that are gone.
    pub removed: Vec<R::Id>,
    /// In the last part only.
    pub end: Option<End>,
}

impl<R: Row> Part<R> {
    /// Whether the set is whole with it.
    pub fn is_last(&self) -> bool {
        self.end.is_some()
    }

    /// The state of a service; unspecified in all parts but the last.
    pub fn state(&self) -> v1::ServiceState {
        self.end.as_ref().map_or(v1::ServiceState::Unspecified, |end| end.state)
    }
}

/// Hands out one part after the other, the last one with the end in it.
pub struct Parts<'a, R> {
    removed: std::slice::Iter<'a, Arc<Entry<R>>>,
    upserted: std::slice::Iter<'a, Arc<Entry<R>>>,
    end: Option<End>,
}

impl<'a, R: Row> Parts<'a, R> {
    /// The parts of a difference, or of a whole set (nothing is removed).
    pub fn new(upserted: &'a [Arc<Entry<R>>], removed: &'a [Arc<Entry<R>>], end: End) -> Self {
        Self { removed: removed.iter(), upserted: upserted.iter(), end: Some(end) }
    }
}

impl<R: Row> Iterator for Parts<'_, R> {
    type Item = Part<R>;

    fn next(&mut self) -> Option<Part<R>> {
        self.end.as_ref()?;
        let (mut part, mut bytes) = (Part { upserted: Vec::new(), removed: Vec::new(), end: None }, 0);
        while bytes < PART_BYTES {
            if let Some(entry) = self.removed.next() {
                bytes += entry.identity.0.as_str().len() + entry.identity.1.as_str().len() + FRAMING_BYTES;
                part.removed.push(entry.row.id());
            } else if let Some(entry) = self.upserted.next() {
                bytes += entry.row.encoded_len() + FRAMING_BYTES;
                part.upserted.push(entry.row.clone());
            } else {
                part.end = self.end.take();
                break;
            }
        }
        Some(part)
    }
}
