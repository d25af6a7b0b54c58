//! Putting another state in the place of the present one: more than an entry of the log holds, so it comes in parts.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{catalog::Record, model::Index};

/// A step of a restore. Nothing is changed before the last one, and then everything at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestoreCommand {
    /// Begin one under this ID, which takes the place of any that is under way.
    Begin(Uuid),
    /// The next part.
    Records {
        /// The restore that it belongs to.
        id: Uuid,
        /// Counted from 0.
        number: u32,
        /// In the order of a snapshot.
        records: Arc<[Record]>,
    },
    /// All is there: make it the state.
    Commit {
        /// The restore.
        id: Uuid,
        /// How many parts it has.
        parts: u32,
        /// The index that the state had when it was saved.
        saved: Index,
    },
    /// Forget what has come; a restore that is not under way is no error.
    Abandon(Uuid),
}
