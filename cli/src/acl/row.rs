//! A row that was read, on its way back with a change in it, or a new one.

use serde_json::{Map, Value};

/// The fields of a row by their names in JSON.
pub type Row = Map<String, Value>;

/// What whoever keeps the row says of it, and nobody else.
const KEPT_BY_OTHERS: [&str; 3] = ["Hash", "CreateIndex", "ModifyIndex"];

/// Empties it but for these fields.
pub fn only(row: &mut Row, kept: &[&str]) {
    row.retain(|key, _| kept.contains(&key.as_str()));
}

/// Takes out what is not the writer's to say.
pub fn forget(row: &mut Row) {
    row.retain(|key, _| !KEPT_BY_OTHERS.contains(&key.as_str()));
}

/// Sets a text, if it was said.
pub fn set(row: &mut Row, key: &str, text: Option<&str>) {
    if let Some(text) = text {
        row.insert(key.into(), text.into());
    }
}
