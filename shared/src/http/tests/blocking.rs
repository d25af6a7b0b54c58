//! Blocking reads, consistency, and answers without a leader.

use std::time::Instant;

use super::*;

/// A wait that a test would not survive: whoever returns was woken.
const LONG: &str = "wait=10m";

#[tokio::test]
async fn a_blocking_read_wakes_for_what_it_asked_and_nothing_else() {
    let server = TestServer::start().await;
    server.register("a", 1);
    server.register("b", 1);
    for (path, own, other) in [
        ("/v1/health/service/a?x=1", "a", "b"),
        ("/v1/catalog/service/a?stale", "a", "b"),
        ("/v1/catalog/node/on-a?x=1", "a", "b"),
        ("/v1/health/service/later?x=1", "later", "b"),
    ] {
        let index = server.get(path).await.index();
        let waiting_path = format!("{path}&{LONG}&index={index}");
        let waiting = server.get(&waiting_path);
        tokio::pin!(waiting);
        let early = tokio::time::timeout(Duration::from_millis(50), &mut waiting).await;
        assert!(early.is_err(), "{path}: {early:?}");
        server.register(other, u16::try_from(index).unwrap());
        let early = tokio::time::timeout(Duration::from_millis(50), &mut waiting).await;
        assert!(early.is_err(), "{path} woke for another service: {early:?}");
        server.register(own, u16::try_from(index).unwrap());
        let reply = waiting.await;
        assert_eq!(reply.status, StatusCode::OK);
        assert!(reply.index() > index, "{path}");
    }
}

#[tokio::test]
async fn a_wait_ends_with_the_same_index_when_nothing_happens() {
    let server = TestServer::start().await;
    server.register("a", 1);
    let index = server.get("/v1/health/service/a").await.index();
    let begun = Instant::now();
    let reply = server.get(&format!("/v1/health/service/a?index={index}&wait=80ms")).await;
    assert!(begun.elapsed() >= Duration::from_millis(80));
    assert_eq!(reply.index(), index);
    assert_eq!(reply.json().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_index_that_is_not_of_this_registry_is_answered_at_once() {
    let server = TestServer::start().await;
    server.register("a", 1);
    for index in ["1000000", "18446744073709551615"] {
        let reply = server.get(&format!("/v1/health/service/a?{LONG}&index={index}")).await;
        assert_eq!(reply.index(), 10);
    }
}

#[tokio::test]
async fn the_index_is_never_zero_and_an_empty_registry_can_be_watched() {
    let server = TestServer::start().await;
    for path in ["catalog/nodes", "catalog/services", "catalog/service/x", "health/state/any", "health/node/x"] {
        assert_eq!(server.get(&format!("/v1/{path}")).await.index(), 1, "{path}");
    }
    let waiting = server.get("/v1/catalog/services?index=1");
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err());
    server.register("a", 1);
    assert_eq!(waiting.await.index(), 10);
}

#[test]
fn jitter_is_at_most_a_sixteenth() {
    let wait = Duration::from_secs(160);
    for _ in 0..100 {
        let jittered = read::with_jitter(wait);
        assert!(jittered >= wait && jittered <= wait + Duration::from_secs(10));
    }
}

#[tokio::test]
async fn a_read_asks_the_leader_as_far_as_its_caller_wants() {
    let server = TestServer::start().await;
    server.register("a", 1);
    for (query, barriers, level) in [
        ("", 1, "leader"),
        ("?consistent", 1, "consistent"),
        ("?stale", 0, "stale"),
        ("?cached", 0, "stale"),
        ("?max_stale=1h", 0, "stale"),
    ] {
        let before = server.backend.barriers();
        let reply = server.get(&format!("/v1/health/service/a{query}")).await;
        assert_eq!(server.backend.barriers() - before, barriers, "{query}");
        assert_eq!(reply.header("x-consul-effective-consistency"), Some(level));
        assert_eq!(reply.header("x-consul-knownleader"), Some("true"));
        assert_eq!(reply.header("x-cache"), (query == "?cached").then_some("HIT"));
    }
    assert_eq!(server.get("/v1/health/service/a?stale&consistent").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn lookups_survive_the_loss_of_the_leader() {
    let server = TestServer::start().await;
    server.register("a", 1);
    server.backend.lose_leader(Duration::from_secs(7));
    for query in ["", "?stale", "?cached", "?max_stale=1s"] {
        let reply = server.get(&format!("/v1/health/service/a{query}")).await;
        assert_eq!(reply.json().as_array().unwrap().len(), 1, "{query}");
        assert_eq!(reply.header("x-consul-knownleader"), Some("false"), "{query}");
        assert_eq!(reply.header("x-consul-lastcontact"), Some("7000"), "{query}");
    }
    let insisting = server.get("/v1/health/service/a?consistent").await;
    let body = r#"{"Node": "n", "Address": "10.0.0.1"}"#;
    let write = server.send(Method::PUT, "/v1/catalog/register", body).await;
    for reply in [insisting, write] {
        assert_eq!((reply.status.as_u16(), &reply.body[..]), (500, &b"No cluster leader"[..]));
    }
}

#[tokio::test]
async fn a_leader_lost_during_a_wait_is_told() {
    let server = TestServer::start().await;
    server.register("a", 1);
    let waiting = server.get("/v1/health/service/a?index=10&wait=1s");
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err());
    server.backend.lose_leader(Duration::from_secs(7));
    let reply = waiting.await;
    assert_eq!(reply.header("x-consul-knownleader"), Some("false"));
    assert_eq!(reply.header("x-consul-lastcontact"), Some("7000"));
}

#[tokio::test]
async fn what_is_too_old_or_was_never_known_is_not_answered() {
    let strict = TestServer::with(|settings| settings.discovery_max_stale = Duration::ZERO).await;
    strict.register("a", 1);
    strict.backend.lose_leader(Duration::ZERO);
    let empty = TestServer::start().await;
    empty.backend.lose_leader(Duration::ZERO);
    for (server, query) in [(&strict, ""), (&empty, ""), (&empty, "?stale")] {
        let reply = server.get(&format!("/v1/catalog/services{query}")).await;
        assert_eq!((reply.status.as_u16(), &reply.body[..]), (500, &b"No cluster leader"[..]));
        assert_eq!(reply.header("x-consul-knownleader"), Some("false"));
    }
}
