//! What the callers of this node's HTTP interface hold at this moment: connections, waiting reads, bodies that are being
//! received, and how often they may ask. One for all of a node's listeners, so that two of them do not double a limit.
//!
//! Knows limits, not HTTP's words for them: those are in `error` and `listener`.

use std::{hash::Hash, net::IpAddr, sync::Arc, time::Instant};

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Failure, listener::Caller, listener::Limits, query::Query};
use crate::{
    limits::{Buckets, Clients, Full, Place, Places, Port, Seat, client, share},
    metrics::{HTTP_WATCHING_CLIENTS, Refusal},
};

/// What the bodies of all requests under way may take together, in bytes.
const BODIES_BYTES: usize = 64 * 1024 * 1024;
/// So much of each body is not counted.
const SMALL_BODY_BYTES: usize = 16 * 1024;
/// Callers that are told at the same time that there is no place; more find their connection closed.
const REFUSALS: usize = 16;

/// See the module.
#[derive(Debug)]
pub struct Guests {
    places: Places,
    refusals: Arc<Semaphore>,
    watches: Clients,
    watches_per_client: usize,
    bodies: Arc<Semaphore>,
    of_client: Option<Buckets>,
    of_token: Option<Buckets>,
}

/// A body that was received, and what it takes of the memory for all of them.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub body: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl Guests {
    /// Nobody is here yet.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            places: Places::new(share(Port::Http, limits.connections), limits.connections_per_client),
            refusals: Arc::new(Semaphore::new(REFUSALS)),
            watches: Clients::measured(&HTTP_WATCHING_CLIENTS),
            watches_per_client: limits.watches_per_client.unwrap_or(usize::MAX),
            bodies: Arc::new(Semaphore::new(BODIES_BYTES)),
            of_client: limits.rate_per_client.map(Buckets::new),
            of_token: limits.rate_per_token.map(Buckets::new),
        }
    }

    /// A place for a connection.
    pub(super) fn seat(&self, peer: Option<IpAddr>) -> Result<Seat, Full> {
        self.places.seat(peer).inspect_err(|full| match full {
            Full::All => Refusal::HttpConnections.count(),
            Full::OfClient => Refusal::HttpConnectionsOfClient.count(),
        })
    }

    /// A place to be told that there is none.
    pub(super) fn refusal(&self) -> Option<OwnedSemaphorePermit> {
        self.refusals.clone().try_acquire_owned().ok()
    }

    /// Counts a request. Costs nothing where no rate is set.
    pub(super) fn admit(&self, peer: Option<IpAddr>, head: &Parts) -> Result<(), Failure> {
        if let (Some(buckets), Some(peer)) = (&self.of_client, peer) {
            take(buckets, &client(peer), "limits.http_rate_per_client")?;
        }
        let Some(buckets) = &self.of_token else { return Ok(()) };
        let shown = Caller::token_in(&head.headers);
        let query = shown.is_empty().then(|| Query::parse(head.uri.query().unwrap_or_default()));
        let token = query.as_ref().map_or(shown, |query| query.get("token").unwrap_or_default());
        if token.is_empty() { Ok(()) } else { take(buckets, &token, "limits.http_rate_per_token") }
    }

    /// A place for a read that waits.
    pub(super) fn watch(&self, peer: Option<IpAddr>) -> Result<Place, Failure> {
        self.watches.enter(peer, self.watches_per_client).ok_or_else(|| {
            Refusal::HttpWatches.count();
            Failure::TooManyWatches(self.watches_per_client)
        })
    }

    /// Receives a whole body of at most `limit` bytes. It takes room as it comes, so that who announces much and sends
    /// little takes little.
    pub(super) async fn receive<B>(&self, mut body: B, limit: usize) -> Result<Received, Failure>
    where
        B: Body<Data = Bytes, Error: std::fmt::Display> + Unpin,
    {
        if body.size_hint().lower() > limit as u64 {
            return Err(Failure::TooLarge(limit));
        }
        let (mut first, mut whole, mut room) = (Bytes::new(), BytesMut::new(), None::<OwnedSemaphorePermit>);
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let broken = |error| Failure::BadRequest(format!("The request's body did not arrive whole: {error}"));
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            length += data.len();
            if length > limit {
                return Err(Failure::TooLarge(limit));
            }
            let wanted = length.saturating_sub(SMALL_BODY_BYTES).min(data.len());
            self.take_room(&mut room, wanted)?;
            if whole.is_empty() && first.is_empty() {
                first = data;
            } else {
                if whole.is_empty() {
                    whole.extend_from_slice(&std::mem::take(&mut first));
                }
                whole.extend_from_slice(&data);
            }
        }
        let body = if whole.is_empty() { first } else { whole.freeze() };
        Ok(Received { body, _room: room })
    }

    fn take_room(&self, room: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Result<(), Failure> {
        if bytes == 0 {
            return Ok(());
        }
        let permits = u32::try_from(bytes).ok();
        let taken = permits.and_then(|permits| self.bodies.clone().try_acquire_many_owned(permits).ok());
        let taken = taken.ok_or_else(|| {
            Refusal::HttpBodies.count();
            Failure::NoRoom(BODIES_BYTES)
        })?;
        match room {
            Some(room) => room.merge(taken),
            None => *room = Some(taken),
        }
        Ok(())
    }
}

fn take(buckets: &Buckets, key: &impl Hash, setting: &'static str) -> Result<(), Failure> {
    buckets.take(key, Instant::now()).map_err(|after| {
        Refusal::HttpRate.count();
        Failure::TooOften { setting, retry_after_s: after.as_secs() + u64::from(after.subsec_nanos() > 0) }
    })
}

#[cfg(test)]
mod tests {
    use http_body_util::{Full as Whole, StreamBody};
    use hyper::body::Frame;

    use super::*;

    #[tokio::test]
    async fn bodies_share_their_memory() {
        let guests = Guests::new(&Limits::default());
        let large = || Whole::new(Bytes::from(vec![7; 1 << 20]));
        let mut held = Vec::new();
        loop {
            match guests.receive(large(), 1 << 20).await {
                Ok(received) => {
                    assert_eq!(received.body.len(), 1 << 20);
                    held.push(received);
                }
                Err(failure) => {
                    assert_eq!(failure, Failure::NoRoom(BODIES_BYTES));
                    break;
                }
            }
        }
        assert!((64..=66).contains(&held.len()), "{}", held.len());
        let small = guests.receive(Whole::new(Bytes::from(vec![7; SMALL_BODY_BYTES])), 1 << 20).await;
        assert_eq!(small.unwrap().body.len(), SMALL_BODY_BYTES, "small ones go on");
        held.clear();
        assert!(guests.receive(large(), 1 << 20).await.is_ok());
        assert_eq!(guests.receive(large(), 1000).await.unwrap_err(), Failure::TooLarge(1000));
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_put_together() {
        let guests = Guests::new(&Limits::default());
        let piece = |piece| Ok::<_, std::io::Error>(Frame::data(Bytes::from(piece)));
        let body = || StreamBody::new(futures_util::stream::iter(["a", "", "bc", "d"].map(piece)));
        assert_eq!(guests.receive(body(), 4).await.unwrap().body, "abcd");
        assert_eq!(guests.receive(body(), 3).await.unwrap_err(), Failure::TooLarge(3));
    }
}
