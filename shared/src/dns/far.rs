//! Questions about other datacenters, and about prepared queries that are answered by another: asked of this node's own
//! HTTP interface, which knows the way, and answered like any other from a state made of what that has said.
//!
//! They are on the slow path: each has one of [`MAX_WAITING`] places, or SERVFAIL at once. A datacenter that does not
//! answer is SERVFAIL, one that nobody knows NXDOMAIN.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::StatusCode;
use smol_str::SmolStr;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{Settings, handler::FarQuestion};
use crate::acl::Credential;
use crate::http::{
    Inside,
    json::far::{self, Told},
    query::encode,
};

/// The most questions that wait for other datacenters at once.
const MAX_WAITING: usize = 512;
/// How long one waits.
const LIMIT: Duration = Duration::from_secs(3);

/// What is asked of another datacenter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Far {
    /// The datacenter; empty: whichever answers the query.
    pub datacenter: SmolStr,
    /// What is asked for.
    pub subject: FarSubject,
}

/// What can be asked of another datacenter, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FarSubject {
    /// The instances of a service.
    Service(SmolStr),
    /// A node.
    Node(SmolStr),
    /// A prepared query's answer.
    Query(SmolStr),
}

impl Far {
    /// The path and query that ask for it.
    fn target(&self) -> String {
        let path = match &self.subject {
            FarSubject::Service(name) => format!("/v1/health/service/{}", encode(name)),
            FarSubject::Node(name) => format!("/v1/catalog/node/{}", encode(name)),
            FarSubject::Query(name) => format!("/v1/query/{}/execute", encode(name)),
        };
        let datacenter =
            if self.datacenter.is_empty() { String::new() } else { format!("&dc={}", encode(&self.datacenter)) };
        format!("{path}?stale{datacenter}")
    }

    /// What an answer says; none where it cannot be read.
    fn read(&self, body: &[u8]) -> Option<Told> {
        let told = match &self.subject {
            FarSubject::Service(_) => far::instances(body),
            FarSubject::Node(_) => far::node(body),
            FarSubject::Query(name) => far::execution(body, name),
        };
        told.inspect_err(|error| tracing::debug!(%error, "DNS: the answer of another datacenter cannot be read")).ok()
    }
}

/// Asks for what other datacenters have.
pub struct FarLookups {
    inside: Inside,
    places: Arc<Semaphore>,
}

/// A question that has its place among those who wait.
pub(super) struct Asking {
    lookups: Arc<FarLookups>,
    _place: OwnedSemaphorePermit,
}

impl FarLookups {
    /// Asks this interface.
    #[must_use]
    pub fn new(inside: Inside) -> Self {
        Self { inside, places: Arc::new(Semaphore::new(MAX_WAITING)) }
    }

    /// A place among those who wait; none: too many do.
    pub(super) fn place(self: &Arc<Self>) -> Option<Asking> {
        Some(Asking { _place: self.places.clone().try_acquire_owned().ok()?, lookups: self.clone() })
    }
}

impl Asking {
    /// The message, in its time.
    pub async fn reply(self, question: FarQuestion, settings: &Settings, by: Credential) -> Option<Vec<u8>> {
        let target = question.far.target();
        let Ok(Some((status, body))) = timeout(LIMIT, self.lookups.inside.look(&target, by)).await else {
            return question.fail();
        };
        match status {
            StatusCode::OK => match question.far.read(&body) {
                Some(told) => question.finish(&told, settings),
                None => question.fail(),
            },
            StatusCode::NOT_FOUND => question.give_up(),
            _ if is_unknown(&body) => question.give_up(),
            _ => question.fail(),
        }
    }
}

/// Whether a failure says that nobody knows the datacenter.
fn is_unknown(body: &Bytes) -> bool {
    *body == crate::backend::BackendError::NoPath.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for() {
        for (datacenter, subject, target) in [
            ("dc2", FarSubject::Service("web".into()), "/v1/health/service/web?stale&dc=dc2"),
            ("a b", FarSubject::Node("n/1".into()), "/v1/catalog/node/n%2F1?stale&dc=a%20b"),
            ("", FarSubject::Query("geo".into()), "/v1/query/geo/execute?stale"),
        ] {
            assert_eq!(Far { datacenter: datacenter.into(), subject }.target(), target);
        }
    }
}
