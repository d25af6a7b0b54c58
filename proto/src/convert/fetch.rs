//! Requests that a server answers with its HTTP interface, and renewals of sessions.

use std::time::Duration;

use bytes::Bytes;
use lictor_shared::{
    acl::Credential,
    backend::{Fetch, Fetched},
};
use uuid::Uuid;

use super::{
    DecodeError,
    coordination::{id, id_bytes},
};
use crate::internal::{FetchReply, FetchRequest, Header, RenewRequest};

impl From<&Fetch> for FetchRequest {
    fn from(fetch: &Fetch) -> Self {
        Self {
            method: fetch.method.clone(),
            path_and_query: fetch.path_and_query.clone(),
            body: fetch.body.clone(),
            token: fetch.token.expose().to_owned(),
            datacenter: fetch.datacenter.clone(),
            once: fetch.once,
            crossed: fetch.crossed,
        }
    }
}

impl From<FetchRequest> for Fetch {
    /// How long it may take is the caller's matter, who drops it.
    fn from(request: FetchRequest) -> Self {
        Self {
            method: request.method,
            path_and_query: request.path_and_query,
            body: request.body,
            token: Credential::new(&request.token),
            any_server: false,
            limit: Duration::MAX,
            datacenter: request.datacenter,
            once: request.once,
            crossed: request.crossed,
        }
    }
}

impl From<Fetched> for FetchReply {
    /// All in one message: a long body is for him to divide who sends it.
    fn from(fetched: Fetched) -> Self {
        let header = |(name, value): (String, Bytes)| Header { name, value };
        Self {
            status: fetched.status.into(),
            headers: fetched.headers.into_iter().map(header).collect(),
            body_bytes: fetched.body.len() as u64 + fetched.rest_bytes,
            body: fetched.body,
        }
    }
}

impl From<FetchReply> for Fetched {
    /// What is missing of the body is for him to add who has the stream.
    fn from(reply: FetchReply) -> Self {
        Self {
            // What is no status is none that the interface knows.
            status: u16::try_from(reply.status).unwrap_or_default(),
            headers: reply.headers.into_iter().map(|header| (header.name, header.value)).collect(),
            body: reply.body,
            rest: None,
            rest_bytes: 0,
        }
    }
}

impl From<Uuid> for RenewRequest {
    fn from(session: Uuid) -> Self {
        Self { session: id_bytes(session) }
    }
}

impl TryFrom<RenewRequest> for Uuid {
    type Error = DecodeError;

    fn try_from(request: RenewRequest) -> Result<Self, DecodeError> {
        id(&request.session, "RenewRequest.session")
    }
}
