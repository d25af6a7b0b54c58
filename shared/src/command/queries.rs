//! Writes of prepared queries.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::PreparedQuery;

/// A write of a prepared query, which whoever made the command has looked over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueryCommand {
    /// Create it, under an ID that was never used; its indexes do not matter.
    Create(Box<PreparedQuery>),
    /// Put it in the place of the one with its ID.
    Update(Box<PreparedQuery>),
    /// Delete the one with this ID.
    Delete(Uuid),
}
