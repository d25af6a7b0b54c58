//! An answer of the HTTP interface on its way to a sidecar, in pieces: no message has more than [`PIECE_BYTES`] of it.
//!
//! The body is in memory once, and is let go with the stream. Short answers are one message.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::Stream;
use lictor_proto::internal::FetchReply;
use lictor_shared::backend::Fetched;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;

/// The most bytes of a body in one message.
const PIECE_BYTES: usize = 256 << 10;

/// The messages of an answer.
pub struct FetchStream {
    head: Option<FetchReply>,
    body: Bytes,
    _place: OwnedSemaphorePermit,
}

impl FetchStream {
    pub(super) fn new(fetched: Fetched, place: OwnedSemaphorePermit) -> Self {
        let mut head = FetchReply::from(fetched);
        let body = mem::take(&mut head.body);
        Self { head: Some(head), body, _place: place }
    }
}

impl Stream for FetchStream {
    type Item = Result<FetchReply, Status>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let length = self.body.len().min(PIECE_BYTES);
        let body = self.body.split_to(length);
        Poll::Ready(match self.head.take() {
            Some(head) => Some(Ok(FetchReply { body, ..head })),
            None if body.is_empty() => None,
            None => Some(Ok(FetchReply { body, ..FetchReply::default() })),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::StreamExt;
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
}
