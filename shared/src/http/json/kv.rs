//! Keys as Consul shows them: the value in Base64, null where it is empty.

use base64::{display::Base64Display, engine::general_purpose::STANDARD};
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::model::KeyValue;

/// A value.
struct Value<'a>(&'a [u8]);

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_empty() {
            return serializer.serialize_none();
        }
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

/// A key.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyRow<'a> {
    lock_index: u64,
    key: &'a str,
    flags: u64,
    value: Value<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<Uuid>,
    create_index: u64,
    modify_index: u64,
}

impl<'a> KeyRow<'a> {
    /// The row of a key.
    #[must_use]
    pub fn new(row: &'a KeyValue) -> Self {
        Self {
            lock_index: row.lock_index,
            key: &row.key,
            flags: row.flags,
            value: Value(&row.value),
            session: row.session,
            create_index: row.create_index.0,
            modify_index: row.modify_index.0,
        }
    }
}
