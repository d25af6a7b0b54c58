//! Profiles: who may have them, one at a time, and what ends them. They are taken by [`fake`].

use std::sync::mpsc::{Receiver, RecvTimeoutError};

use super::*;
use crate::{catalog::AccessRow, command::AccessCommand, http::profile::PATH};

/// How many long ones have begun, in all tests of this process.
static BEGUN: Mutex<Vec<u64>> = Mutex::new(Vec::new());

/// Says how long it was to look, and what has ended it. One second is over at once.
pub fn fake(span: Duration, end: &Receiver<()>) -> Result<Vec<u8>, String> {
    BEGUN.lock().unwrap().push(span.as_secs());
    let ended = if span > Duration::from_secs(1) { end.recv_timeout(span) } else { Err(RecvTimeoutError::Timeout) };
    match ended {
        Ok(()) => Ok(format!("{span:?} that were cut short").into_bytes()),
        Err(RecvTimeoutError::Timeout) => Ok(format!("{span:?}").into_bytes()),
        Err(RecvTimeoutError::Disconnected) => Err("nobody waits".into()),
    }
}

/// Waits until one of so many seconds has begun, which only one test asks for.
async fn begun(seconds: u64) {
    let waiting = async {
        while !BEGUN.lock().unwrap().contains(&seconds) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it never began");
}

async fn enabled() -> TestServer {
    TestServer::with(|settings| settings.debug = true).await
}

/// A request that goes on beside the test.
fn asking(server: &TestServer, path: &str) -> tokio::task::JoinHandle<Reply> {
    let request = http::Request::builder().uri(path).header("host", "test").body(Full::default()).unwrap();
    tokio::spawn(exchange(server.address, request))
}

/// Asks until the answer has that status.
async fn until(server: &TestServer, path: &str, status: u16) -> Reply {
    let asking = async {
        loop {
            let reply = server.get(path).await;
            if reply.status.as_u16() == status {
                return reply;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("it never was so")
}

#[tokio::test]
async fn what_is_no_profile_says_why() {
    let closed = TestServer::start().await;
    let without = TestServer::of(Fake::new(), &[], None, |settings| settings.debug = true).await;
    let failing: TakeProfile = |_, _| Err("no timer".into());
    let failing = TestServer::of(Fake::new(), &[], Some(failing), |settings| settings.debug = true).await;
    let open = enabled().await;
    for (server, query, status, part) in [
        (&closed, "", 403, "enable_debug = true"),
        (&without, "", 501, "no profiler"),
        (&failing, "", 500, "No profile can be taken: no timer"),
        (&open, "?seconds=0", 400, "from 1 to 300"),
        (&open, "?seconds=301", 400, "from 1 to 300"),
        (&open, "?seconds=1.5", 400, "from 1 to 300"),
        (&open, "?seconds=long", 400, "from 1 to 300"),
    ] {
        let reply = server.get(&format!("{PATH}{query}")).await;
        let text = String::from_utf8_lossy(&reply.body);
        assert!(reply.status.as_u16() == status && text.contains(part), "{query}: {reply:?}");
    }
}

#[tokio::test]
async fn one_comes_as_it_is() {
    let server = enabled().await;
    let reply = server.send_with(Method::GET, &format!("{PATH}?seconds=1"), "", &[("accept-encoding", "gzip")]).await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, Some("application/octet-stream")));
    assert_eq!((reply.header("content-encoding"), &reply.body[..]), (None, &b"1s"[..]), "it is packed already");
}

#[tokio::test]
async fn there_is_one_at_a_time_and_it_ends_with_its_caller() {
    let server = enabled().await;
    let first = asking(&server, &format!("{PATH}?seconds=300"));
    begun(300).await;
    let refused = server.get(&format!("{PATH}?seconds=1")).await;
    assert_eq!(refused.status.as_u16(), 503);
    assert!(refused.header("retry-after").is_some() && refused.body.starts_with(b"A profile is being taken"));
    first.abort();
    until(&server, &format!("{PATH}?seconds=1"), 200).await;
}

#[tokio::test]
async fn it_ends_with_the_node_and_half_a_minute_is_usual() {
    let server = enabled().await;
    let first = asking(&server, PATH);
    begun(30).await;
    server.tasks.stopping().cancel();
    let reply = tokio::time::timeout(PATIENCE, first).await.unwrap().unwrap();
    assert_eq!((reply.status.as_u16(), &reply.body[..]), (200, &b"30s that were cut short"[..]));
}

#[tokio::test]
async fn whose_token_is_taken_away_meanwhile_gets_none() {
    let (server, token, secret) = page::guarded(r#"operator = "read""#).await;
    let first = asking(&server, &format!("{PATH}?seconds=299&token={secret}"));
    begun(299).await;
    let gone = AccessCommand::Remove(vec![AccessRow::TokenGone(token.accessor)]);
    assert!(server.backend.apply(&Command::Access(gone)).outcome.is_done());
    server.tasks.stopping().cancel();
    let reply = tokio::time::timeout(PATIENCE, first).await.unwrap().unwrap();
    assert_eq!(reply.status.as_u16(), 403, "{reply:?}");
}
