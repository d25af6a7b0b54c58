//! Answers of recursors, as long as they may be kept. Pure: the caller says what time it is.
//!
//! Bounded by entries and bytes; where there is no room, what would be dropped first anyway goes first.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{question::Key, received::Received};

/// Answers kept at once, at most.
pub(super) const ENTRIES_MAX: usize = 20_000;
/// Memory that they take together, at most, in bytes.
const BYTES_MAX: usize = 32 << 20;
/// What an entry takes beside its answer and twice its key, about, in bytes.
const ENTRY_BYTES: usize = 256;

/// An answer and when it came.
#[derive(Clone, Debug)]
pub(in crate::dns) struct Kept {
    pub(super) answer: Arc<Received>,
    pub(super) since: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: HashMap<Key, (Kept, u64)>,
    /// In the order of their ends; the number parts those that end together.
    ends: BTreeMap<(Instant, u64), Key>,
    bytes: usize,
    number: u64,
}

impl Cache {
    pub(super) fn get(&self, key: &Key, now: Instant) -> Option<Kept> {
        let (kept, _) = self.entries.get(key)?;
        (now < end(kept)).then(|| kept.clone())
    }

    /// Keeps it, if it may be kept.
    pub(super) fn put(&mut self, key: Key, kept: Kept) {
        self.remove(&key);
        let bytes = size(&key, &kept);
        if kept.answer.lifetime == 0 || bytes > BYTES_MAX {
            return;
        }
        while self.entries.len() >= ENTRIES_MAX || self.bytes + bytes > BYTES_MAX {
            let Some(first) = self.ends.values().next().cloned() else { break };
            self.remove(&first);
        }
        // What is over goes even where there is room.
        while let Some(((_, _), over)) = self.ends.first_key_value().filter(|((end, _), _)| *end <= kept.since) {
            let over = over.clone();
            self.remove(&over);
        }
        self.number += 1;
        self.bytes += bytes;
        self.ends.insert((end(&kept), self.number), key.clone());
        self.entries.insert(key, (kept, self.number));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn remove(&mut self, key: &Key) {
        if let Some((kept, number)) = self.entries.remove(key) {
            self.ends.remove(&(end(&kept), number));
            self.bytes -= size(key, &kept);
        }
    }
}

fn end(kept: &Kept) -> Instant {
    kept.since + Duration::from_secs(u64::from(kept.answer.lifetime))
}

fn size(key: &Key, kept: &Kept) -> usize {
    kept.answer.bytes() + 2 * key.bytes() + ENTRY_BYTES
}
