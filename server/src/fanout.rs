//! The watch fan-out: every change, encoded once, kept for a while in a ring that all watchers read.
//!
//! The thread that applies pushes and goes on; it waits for nobody. A watcher keeps a cursor, the index it has, and
//! reads what comes after it, a bounded batch at a time; how slow it is concerns nobody else. A cursor that the ring
//! no longer reaches back to (too slow, away for too long, or the state was replaced by a snapshot) begins anew with
//! the whole state. Log indexes have no holes and neither has the ring: between its oldest and its newest change, each
//! index is there, if only as a change without rows.
//!
//! Never looks into a change. `grpc::watch` has the streams; `raft::machine` pushes.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use lictor_shared::{catalog::Change, model::Index};
use tokio::sync::watch;

use crate::raft::ChangeSink;

/// The most changes kept.
pub const MAX_CHANGES: usize = 65_536;
/// The most bytes of encoded changes kept; the newest change is kept whatever its size.
pub const MAX_BYTES: usize = 16 << 20;
/// The most changes a watcher is given at once.
pub const MAX_BATCH_CHANGES: usize = 1024;
/// The most bytes a watcher is given at once, but for a single change that is larger.
pub const MAX_BATCH_BYTES: usize = 1 << 20;

/// The ring and the news of it.
#[derive(Debug)]
pub struct Fanout {
    ring: Mutex<Ring>,
    newest: watch::Sender<Index>,
    max_changes: usize,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct Ring {
    changes: VecDeque<Kept>,
    bytes: usize,
    /// Every change after this one is in the ring.
    floor: Index,
    newest: Index,
}

#[derive(Debug)]
struct Kept {
    index: Index,
    encoded: Bytes,
}

/// What there is after a cursor.
#[derive(Debug, PartialEq, Eq)]
pub enum After {
    /// The next changes, each encoded, up to `last`.
    Changes {
        /// In the order of the log.
        encoded: Vec<Bytes>,
        /// The cursor to go on from.
        last: Index,
    },
    /// None yet.
    Nothing,
    /// The ring does not reach back to the cursor: a state of at least index `floor` is needed.
    TooOld {
        /// The least index to begin from.
        floor: Index,
    },
}

impl Default for Fanout {
    fn default() -> Self {
        Self::with_limits(MAX_CHANGES, MAX_BYTES)
    }
}

impl Fanout {
    /// An empty ring, for a state that is at index 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty ring that keeps at most that many changes and bytes.
    #[must_use]
    pub fn with_limits(max_changes: usize, max_bytes: usize) -> Self {
        Self { ring: Mutex::default(), newest: watch::Sender::new(Index(0)), max_changes, max_bytes }
    }

    /// Takes the changes of a batch, in log order. Encodes each; waits for nobody.
    pub fn push(&self, changes: &[Change]) {
        let encoded =
            changes.iter().map(|change| Kept { index: change.index, encoded: lictor_proto::encode_change(change) });
        let encoded: Vec<_> = encoded.collect();
        let newest = {
            let mut ring = self.ring();
            for kept in encoded {
                ring.push(kept);
            }
            ring.trim(self.max_changes, self.max_bytes);
            ring.newest
        };
        self.newest.send_replace(newest);
    }

    /// The state was replaced as a whole and is now at `index`: every watcher that is not there begins anew.
    pub fn restart(&self, index: Index) {
        self.ring().restart(index);
        self.newest.send_replace(index);
    }

    /// The next batch after `cursor`.
    #[must_use]
    pub fn after(&self, cursor: Index) -> After {
        self.ring().after(cursor)
    }

    /// The least cursor that the ring reaches back to.
    #[must_use]
    pub fn floor(&self) -> Index {
        self.ring().floor
    }

    /// The index of the newest change, and the news of every later one.
    #[must_use]
    pub fn newest(&self) -> watch::Receiver<Index> {
        self.newest.subscribe()
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // No code that holds the lock can leave the ring half changed.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChangeSink for Fanout {
    fn applied(&self, changes: Vec<Change>) {
        self.push(&changes);
    }

    fn replaced(&self, index: Index) {
        self.restart(index);
    }
}

impl Ring {
    fn push(&mut self, kept: Kept) {
        if kept.index.0 != self.newest.0 + 1 {
            // A hole: what was kept cannot be gone on from.
            self.restart(Index(kept.index.0.saturating_sub(1)));
        }
        self.newest = kept.index;
        self.bytes += kept.encoded.len();
        self.changes.push_back(kept);
    }

    fn trim(&mut self, max_changes: usize, max_bytes: usize) {
        while self.changes.len() > 1 && (self.changes.len() > max_changes || self.bytes > max_bytes) {
            if let Some(oldest) = self.changes.pop_front() {
                self.bytes -= oldest.encoded.len();
                self.floor = oldest.index;
            }
        }
    }

    fn restart(&mut self, index: Index) {
        self.changes.clear();
        self.bytes = 0;
        self.floor = index;
        self.newest = index;
    }

    fn after(&self, cursor: Index) -> After {
        if cursor < self.floor {
            return After::TooOld { floor: self.floor };
        }
        let from = self.changes.partition_point(|kept| kept.index <= cursor);
        let (mut encoded, mut bytes, mut last) = (Vec::new(), 0, cursor);
        for kept in self.changes.range(from..).take(MAX_BATCH_CHANGES) {
            bytes += kept.encoded.len();
            if bytes > MAX_BATCH_BYTES && !encoded.is_empty() {
                break;
            }
            encoded.push(kept.encoded.clone());
            last = kept.index;
        }
        if encoded.is_empty() { After::Nothing } else { After::Changes { encoded, last } }
    }
}

#[cfg(test)]
mod tests {
    use lictor_shared::catalog::Row;

    use super::*;

    fn change(index: u64, name_bytes: usize) -> Change {
        Change { index: Index(index), rows: vec![Row::NodeGone("n".repeat(name_bytes).as_str().into())] }
    }

    fn push(fanout: &Fanout, indexes: std::ops::RangeInclusive<u64>) {
        fanout.push(&indexes.map(|index| change(index, 10)).collect::<Vec<_>>());
    }

    fn indexes(after: After) -> Vec<u64> {
        let After::Changes { encoded, .. } = after else { panic!("no changes: {after:?}") };
        encoded.iter().map(|bytes| lictor_proto::decode_change(bytes).unwrap().index.0).collect()
    }

    #[test]
    fn a_cursor_is_given_what_comes_after_it() {
        let fanout = Fanout::new();
        push(&fanout, 1..=5);
        assert_eq!(indexes(fanout.after(Index(2))), [3, 4, 5]);
        assert_eq!(indexes(fanout.after(Index(0))), [1, 2, 3, 4, 5]);
        assert_eq!(fanout.after(Index(5)), After::Nothing);
        assert_eq!(fanout.after(Index(50)), After::Nothing, "a watcher may be ahead of a server that lags");
        push(&fanout, 6..=51);
        assert_eq!(indexes(fanout.after(Index(50))), [51]);
    }

    #[test]
    fn who_falls_off_the_ring_begins_anew_and_disturbs_nobody() {
        let fanout = Fanout::with_limits(4, usize::MAX);
        push(&fanout, 1..=3);
        let (slow, fast) = (Index(0), Index(3));
        push(&fanout, 4..=6);
        assert_eq!(fanout.after(slow), After::TooOld { floor: Index(2) });
        assert_eq!(indexes(fanout.after(fast)), [4, 5, 6]);
        assert_eq!(indexes(fanout.after(Index(2))), [3, 4, 5, 6]);
    }

    #[test]
    fn the_ring_is_bounded_in_bytes_and_keeps_the_newest() {
        let fanout = Fanout::with_limits(usize::MAX, 1000);
        for index in 1..=100 {
            fanout.push(&[change(index, 100)]);
            let ring = fanout.ring();
            assert!(ring.bytes <= 1000);
            assert_eq!(ring.bytes, ring.changes.iter().map(|kept| kept.encoded.len()).sum::<usize>());
        }
        fanout.push(&[change(101, 5000)]);
        assert_eq!(indexes(fanout.after(Index(100))), [101]);
        assert_eq!(fanout.after(Index(99)), After::TooOld { floor: Index(100) });
    }

    #[test]
    fn a_batch_is_bounded() {
        let fanout = Fanout::new();
        push(&fanout, 1..=3000);
        assert_eq!(indexes(fanout.after(Index(0))).len(), MAX_BATCH_CHANGES);
        fanout.push(&[change(3001, MAX_BATCH_BYTES), change(3002, MAX_BATCH_BYTES), change(3003, 1)]);
        assert_eq!(indexes(fanout.after(Index(3000))), [3001]);
    }

    #[test]
    fn a_replaced_state_and_a_hole_begin_anew() {
        let fanout = Fanout::new();
        push(&fanout, 1..=5);
        fanout.restart(Index(40));
        assert_eq!(fanout.after(Index(5)), After::TooOld { floor: Index(40) });
        assert_eq!(fanout.after(Index(40)), After::Nothing);
        push(&fanout, 50..=51);
        assert_eq!(fanout.after(Index(40)), After::TooOld { floor: Index(49) });
        assert_eq!(indexes(fanout.after(Index(49))), [50, 51]);
    }

    #[tokio::test]
    async fn news_wake_every_watcher() {
        let fanout = Fanout::new();
        let mut watchers: Vec<_> = (0..10).map(|_| fanout.newest()).collect();
        push(&fanout, 1..=7);
        for watcher in &mut watchers {
            watcher.changed().await.unwrap();
            assert_eq!(*watcher.borrow(), Index(7));
        }
    }
}
