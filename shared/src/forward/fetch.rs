//! Requests that a server answers with its HTTP interface: any will do, for each makes itself as fresh as the request
//! wants it. The leader is the shortest way, except where staleness is welcome: then the servers have turns.
//!
//! A request that a server left unanswered is put to another. It may wait long (a blocking read), so it is bounded by
//! the time it brings along and by the number of such requests, not by the limits of a write. One that is to be done at
//! most once is put to another only if it certainly did not arrive.
//!
//! What is meant for another datacenter goes the same way, to any server, who passes it on; such requests have places of
//! their own, so that a datacenter that does not answer takes nothing from what this one is asked.

use std::sync::atomic::Ordering;

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

use super::{AskError, Route, Servers, Tried, pause};
use crate::backend::{BackendError, Fetch, Fetched};

/// The most requests at the servers at the same time, below what a server takes of one connection.
pub(super) const MAX_FETCHES: usize = 2000;

/// The most of them that are for other datacenters.
pub(super) const MAX_FETCHES_ABROAD: usize = 1000;

/// A place for one request among `most`.
pub(super) fn place(places: &Semaphore, most: usize) -> Result<SemaphorePermit<'_>, BackendError> {
    places.try_acquire().map_err(|_| {
        BackendError::Failed(format!("this agent has {most} such requests at the servers already: ask less at once"))
    })
}

pub(super) async fn fetch<S: Servers>(
    route: &Route<S>,
    places: &Semaphore,
    fetch: &Fetch,
) -> Result<Fetched, BackendError> {
    let _place = place(places, MAX_FETCHES)?;
    let deadline = Instant::now() + fetch.limit;
    // How long it is worth looking for a server that answers at all.
    let patience = Instant::now() + route.limits.write_hold;
    let mut tried = Tried::default();
    loop {
        let Some(server) = route.choose(fetch.any_server, &tried) else { return Err(BackendError::NoServers) };
        let error = match timeout_at(deadline, route.servers.fetch(&server, fetch)).await {
            Err(_) => return Err(BackendError::Failed(format!("no server answered within {:?}", fetch.limit))),
            Ok(Ok(fetched)) => return Ok(fetched),
            Ok(Err(AskError::Rejected(reason))) => return Err(BackendError::Failed(reason)),
            Ok(Err(AskError::Denied(reason))) => return Err(BackendError::Denied(reason)),
            Ok(Err(AskError::Unknown(reason))) if fetch.once => {
                return Err(BackendError::Failed(format!("it may or may not have been done: {reason}")));
            }
            Ok(Err(error)) => error,
        };
        let at_once = route.failed(&mut tried, server, error);
        if route.nobody_is_there(&tried) {
            return Err(BackendError::NoServers);
        }
        if !at_once {
            pause(patience.min(deadline)).await.ok_or_else(|| route.no_one(&tried))?;
        }
        tried.forgive();
    }
}

impl<S: Servers> Route<S> {
    /// The next server to be asked: the one that leads, or any.
    pub(super) fn choose(&self, any_server: bool, tried: &Tried) -> Option<String> {
        if any_server { self.any(tried) } else { self.next(tried) }
    }

    /// A server in turn, whoever leads.
    fn any(&self, tried: &Tried) -> Option<String> {
        let all = self.servers.to_ask();
        let there: Vec<&String> = all.iter().filter(|server| !tried.avoids(server)).collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        if there.is_empty() { self.next(tried) } else { Some(there[turn % there.len()].clone()) }
    }
}
