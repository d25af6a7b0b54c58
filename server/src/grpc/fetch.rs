//! An answer of the HTTP interface on its way to another node, in pieces: no message has more than [`PIECE_BYTES`] of it.
//!
//! The body is in memory once, and is let go with the stream. Short answers are one message. What another datacenter's
//! server answers goes through as it comes.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use lictor_proto::internal::FetchReply;
use lictor_shared::backend::{Fetched, Pieces};
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;

/// The most bytes of a body in one message.
const PIECE_BYTES: usize = 256 << 10;

/// The messages of an answer.
pub struct FetchStream {
    head: Option<FetchReply>,
    body: Bytes,
    rest: Option<Pieces>,
    _place: OwnedSemaphorePermit,
}

impl FetchStream {
    pub(super) fn new(mut fetched: Fetched, place: OwnedSemaphorePermit) -> Self {
        let rest = fetched.rest.take();
        let mut head = FetchReply::from(fetched);
        let body = mem::take(&mut head.body);
        Self { head: Some(head), body, rest, _place: place }
    }
}

impl Stream for FetchStream {
    type Item = Result<FetchReply, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while self.head.is_none() && self.body.is_empty() {
            let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
            match ready!(rest.poll_next_unpin(context)) {
                Some(Ok(piece)) => self.body = piece,
                Some(Err(error)) => {
                    self.rest = None;
                    return Poll::Ready(Some(Err(Status::unavailable(error.to_string()))));
                }
                None => self.rest = None,
            }
        }
        let length = self.body.len().min(PIECE_BYTES);
        let body = self.body.split_to(length);
        Poll::Ready(match self.head.take() {
            Some(head) => Some(Ok(FetchReply { body, ..head })),
            None => Some(Ok(FetchReply { body, ..FetchReply::default() })),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::stream;
    use lictor_shared::backend::BackendError;
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn a_body_comes_in_pieces_and_whole() {
        for (length, messages) in
            [(0, 1), (1, 1), (PIECE_BYTES, 1), (PIECE_BYTES + 1, 2), (3 * PIECE_BYTES, 3), (20 << 20, 80)]
        {
            let places = Arc::new(Semaphore::new(1));
            let body: Bytes = (0..length).map(|place| u8::try_from(place % 251).unwrap()).collect::<Vec<_>>().into();
            let fetched = Fetched { status: 200, body: body.clone(), ..Fetched::default() };
            let stream = FetchStream::new(fetched, places.clone().try_acquire_owned().unwrap());
            assert_eq!(places.available_permits(), 0, "it has a place as long as it lasts");
            let replies: Vec<FetchReply> = stream.map(Result::unwrap).collect().await;
            assert_eq!((replies.len(), places.available_permits()), (messages, 1), "{length}");
            assert_eq!((replies[0].status, replies[0].body_bytes), (200, length as u64));
            assert!(replies.iter().all(|reply| reply.body.len() <= PIECE_BYTES));
            assert!(replies.iter().flat_map(|reply| &reply.body).eq(&body), "{length}");
        }
    }

    #[tokio::test]
    async fn what_comes_from_elsewhere_goes_through_and_breaks_off_where_that_does() {
        let place = || Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let fetched = |rest: Vec<Result<Bytes, BackendError>>| Fetched {
            status: 200,
            body: "ab".into(),
            rest: Some(Pieces::new(stream::iter(rest))),
            rest_bytes: 3,
            ..Fetched::default()
        };
        let whole = FetchStream::new(fetched(vec![Ok("c".into()), Ok(Bytes::new()), Ok("de".into())]), place());
        let replies: Vec<FetchReply> = whole.map(Result::unwrap).collect().await;
        assert_eq!(replies[0].body_bytes, 5);
        assert_eq!(replies.iter().map(|reply| &reply.body[..]).collect::<Vec<_>>().concat(), b"abcde");
        let broken = FetchStream::new(fetched(vec![Ok("c".into()), Err(BackendError::NoServers)]), place());
        let replies: Vec<_> = broken.collect().await;
        assert_eq!(replies.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false]);
    }
}
