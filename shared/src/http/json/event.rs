//! User events.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;

use crate::acl::{Level, Resource, Rights};
use crate::gossip::UserEvent;
use crate::http::read::Guarded;

/// A user event.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct EventRow<'a> {
    #[serde(rename = "ID")]
    id: String,
    name: &'a str,
    payload: Option<String>,
    node_filter: &'a str,
    service_filter: &'a str,
    tag_filter: &'a str,
    version: u8,
    #[serde(rename = "LTime")]
    lamport_time: u64,
}

impl<'a> EventRow<'a> {
    /// The row of an event as nodes list it.
    #[must_use]
    pub fn new(event: &'a UserEvent) -> Self {
        Self {
            id: event.id.to_string(),
            name: &event.name,
            payload: (!event.payload.is_empty()).then(|| STANDARD.encode(&event.payload)),
            node_filter: &event.node_filter,
            service_filter: &event.service_filter,
            tag_filter: &event.tag_filter,
            version: 1,
            lamport_time: event.time,
        }
    }

    /// The same as its sender is told of it: without its time.
    #[must_use]
    pub fn fired(self) -> Self {
        Self { lamport_time: 0, ..self }
    }
}

impl Guarded for EventRow<'_> {
    fn is_visible(&self, rights: &Rights) -> bool {
        rights.allow(Resource::Event, Level::Read, self.name)
    }
}
