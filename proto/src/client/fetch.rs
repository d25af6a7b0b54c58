//! An answer of a server's HTTP interface, as it comes: whole where it is short, else its beginning and the rest in pieces.
//!
//! A long one is never held as a whole: the rest is read as the caller takes it. One that breaks off ends with an error.

use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use lictor_shared::{
    backend::{BackendError, Fetched, Pieces},
    forward::AskError,
};
use tokio::time::timeout;
use tonic::Status;

use super::refusal::{missing, refused};
use crate::internal::FetchReply;

/// How long a server may take for the next piece.
const PIECE_LIMIT: Duration = Duration::from_secs(10);

/// Takes the answer, up to where its beginning has come.
pub(super) async fn answer(
    mut replies: impl Stream<Item = Result<FetchReply, Status>> + Unpin + Send + 'static,
) -> Result<Fetched, AskError> {
    let first = replies.next().await.ok_or_else(|| missing("FetchReply.status"))?.map_err(refused)?;
    let missing_bytes = first.body_bytes.saturating_sub(first.body.len() as u64);
    let rest = if missing_bytes > 0 {
        Some(rest(replies, missing_bytes))
    } else {
        // There is only its end to come: to leave before it would have the connection told so.
        let _ = replies.next().await;
        None
    };
    Ok(Fetched { rest, rest_bytes: missing_bytes, ..first.into() })
}

fn rest(
    replies: impl Stream<Item = Result<FetchReply, Status>> + Unpin + Send + 'static,
    missing_bytes: u64,
) -> Pieces {
    Pieces::new(stream::unfold(Some((replies, missing_bytes)), |state| async {
        let (mut replies, missing_bytes) = state?;
        let failed = |reason: &str| {
            Some((Err(BackendError::Failed(format!("the answer of the server broke off: {reason}"))), None))
        };
        if missing_bytes == 0 {
            return None;
        }
        let reply = match timeout(PIECE_LIMIT, replies.next()).await {
            Err(_) => return failed("it fell silent"),
            Ok(None) => return failed("it ended early"),
            Ok(Some(Err(status))) => return failed(status.message()),
            Ok(Some(Ok(reply))) => reply,
        };
        match missing_bytes.checked_sub(reply.body.len() as u64) {
            Some(_) if reply.body.is_empty() => failed("a piece of it is empty"),
            Some(missing_bytes) => Some((Ok(reply.body), Some((replies, missing_bytes)))),
            None => failed("it is longer than it was said to be"),
        }
    }))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn piece(body: &'static str, body_bytes: u64) -> Result<FetchReply, Status> {
        Ok(FetchReply { body: body.into(), body_bytes, ..FetchReply::default() })
    }

    /// What was taken of an answer, and whether it was whole.
    async fn taken(replies: Vec<Result<FetchReply, Status>>) -> (String, bool) {
        let fetched = answer(stream::iter(replies)).await.unwrap();
        let (mut body, mut whole) = (fetched.body.to_vec(), true);
        if let Some(rest) = fetched.rest {
            let rest: Vec<Result<Bytes, BackendError>> = rest.collect().await;
            whole = rest.iter().all(Result::is_ok);
            body.extend(rest.into_iter().flatten().flatten());
        }
        (String::from_utf8(body).unwrap(), whole)
    }

    #[tokio::test]
    async fn an_answer_is_whole_or_known_not_to_be() {
        for (replies, body, whole) in [
            (vec![piece("", 0)], "", true),
            // As a server of the version before says it.
            (vec![piece("abc", 0)], "abc", true),
            (vec![piece("abc", 3)], "abc", true),
            (vec![piece("ab", 5), piece("cd", 0), piece("e", 0)], "abcde", true),
            (vec![piece("ab", 5), piece("cd", 0)], "abcd", false),
            (vec![piece("ab", 5), Err(Status::unavailable("gone"))], "ab", false),
            (vec![piece("ab", 5), piece("", 0), piece("cde", 0)], "ab", false),
            (vec![piece("ab", 5), piece("cdef", 0)], "ab", false),
        ] {
            assert_eq!(taken(replies.clone()).await, (body.to_owned(), whole), "{replies:?}");
        }
        assert!(answer(stream::iter([])).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_falls_silent_is_not_waited_for() {
        let replies = stream::iter([piece("ab", 5)]).chain(stream::pending());
        let mut rest = answer(replies.boxed()).await.unwrap().rest.unwrap();
        assert!(rest.next().await.unwrap().is_err());
        assert!(rest.next().await.is_none());
    }
}
