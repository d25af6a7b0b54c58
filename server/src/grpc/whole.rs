//! The whole state, encoded for streams that begin: once for all that begin together.
//!
//! When many watchers come at the same time (a snapshot replaced the state, or they were away for too long), they are
//! sent the same pieces, and what has changed since by the ring. Kept only as long as a stream is being sent it.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use lictor_proto::encode_record;
use lictor_shared::{catalog::State, model::Index, view::Reader};
use tokio::sync::Mutex;

/// A piece is full when it has this many bytes; one record may be larger.
const PIECE_BYTES: usize = 256 << 10;

/// An encoded state.
#[derive(Debug)]
pub(super) struct Whole {
    /// The state is of this index.
    pub index: Index,
    /// Its records, one message's worth each.
    pub pieces: Vec<Vec<Bytes>>,
}

impl Whole {
    fn new(state: &State) -> Self {
        let (mut pieces, mut piece, mut bytes) = (Vec::new(), Vec::new(), 0);
        for record in state.catalog_records() {
            let record = encode_record(&record);
            bytes += record.len();
            piece.push(record);
            if bytes >= PIECE_BYTES {
                pieces.push(std::mem::take(&mut piece));
                bytes = 0;
            }
        }
        pieces.push(piece);
        Self { index: state.index(), pieces }
    }
}

/// The encoded state that streams are being sent, if any are.
#[derive(Debug, Default)]
pub(super) struct Shared {
    whole: Mutex<Weak<Whole>>,
}

impl Shared {
    /// The state of `reader`, or one that others are being sent, of `floor` or later. `None` when it could not be
    /// encoded, as the process is stopping.
    pub async fn get(&self, reader: &Reader, floor: Index) -> Option<Arc<Whole>> {
        // Held while one encodes, so that the others take his.
        let mut shared = self.whole.lock().await;
        if let Some(whole) = shared.upgrade().filter(|whole| whole.index >= floor) {
            return Some(whole);
        }
        // What only this server shows is not the registry's.
        let state = reader.base();
        let whole = tokio::task::spawn_blocking(move || Whole::new(&state)).await.ok()?;
        let whole = Arc::new(whole);
        *shared = Arc::downgrade(&whole);
        Some(whole)
    }
}
