//! The end of the log, in memory: everything that is not durable yet, and recent entries besides.
//!
//! Always a suffix of the log without holes. Pure data: no I/O, no lock (see `super` for who holds which).

use std::{collections::VecDeque, ops::Range};

use openraft::{EntryPayload, entry::RaftEntry};

use crate::raft::Entry;

/// Durable entries that are kept for followers, at most.
const KEPT_ENTRIES: usize = 1024;
/// ... and their bytes.
const KEPT_BYTES: usize = 8 << 20;
/// What an entry takes beside its command.
const ENTRY_BYTES: usize = 128;

/// The size of an entry in memory, roughly: its command's bytes count twice (encoded and decoded).
pub(super) fn bytes(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(proposal) => ENTRY_BYTES + 2 * proposal.encoded().len(),
        EntryPayload::Blank => ENTRY_BYTES,
        EntryPayload::Membership(membership) => ENTRY_BYTES * (1 + membership.nodes().count()),
    }
}

/// A suffix of the log.
pub(super) struct Tail {
    entries: VecDeque<Entry>,
    /// The index of the first entry, or the one that comes next.
    first: u64,
    bytes: usize,
}

impl Tail {
    /// An empty one, before the entry `next`.
    pub fn new(next: u64) -> Self {
        Self { entries: VecDeque::new(), first: next, bytes: 0 }
    }

    /// The index of its first entry; of the next where it is empty. What lies before is in the file.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Adds the next entry of the log.
    pub fn push(&mut self, entry: Entry) {
        if self.entries.is_empty() {
            self.first = entry.index();
        }
        self.bytes += bytes(&entry);
        self.entries.push_back(entry);
    }

    /// Its entries in `range`; no more than `limit` bytes but at least one.
    pub fn range(&self, range: Range<u64>, limit: usize) -> Vec<Entry> {
        let (start, end) = (self.offset(range.start), self.offset(range.end));
        let mut left = limit;
        let fits = |entry: &&Entry| {
            let fits = bytes(entry) <= left || left == limit;
            left = left.saturating_sub(bytes(entry));
            fits
        };
        self.entries.range(start..end.max(start)).take_while(fits).cloned().collect()
    }

    /// Removes the entries from the index `from` on.
    pub fn truncate(&mut self, from: u64) {
        while self.entries.back().is_some_and(|entry| entry.index() >= from) {
            let entry = self.entries.pop_back();
            entry.iter().for_each(|entry| self.forget(entry));
        }
        if self.entries.is_empty() {
            self.first = from;
        }
    }

    /// Removes the entries up to the index `upto`.
    pub fn purge(&mut self, upto: u64) {
        while self.entries.front().is_some_and(|entry| entry.index() <= upto) {
            self.pop_front();
        }
        self.first = self.first.max(upto + 1);
    }

    /// Removes old entries that are on the disk, which has all before `durable`, as far as there are too many.
    pub fn evict(&mut self, durable: u64) {
        while self.first < durable && (self.entries.len() > KEPT_ENTRIES || self.bytes > KEPT_BYTES) {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.first = entry.index() + 1;
            self.forget(&entry);
        }
    }

    fn forget(&mut self, entry: &Entry) {
        self.bytes -= bytes(entry);
    }

    fn offset(&self, index: u64) -> usize {
        let offset = usize::try_from(index.saturating_sub(self.first)).unwrap_or(usize::MAX);
        offset.min(self.entries.len())
    }
}
