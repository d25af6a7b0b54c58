//! The recorded conversations: every answer the same as Consul's.

use lictor_tests::conformance::differences;

/// Replays a scenario.
fn replay(name: &str) {
    let (differing, compared) = differences(name);
    let same = compared - differing.len();
    assert!(compared > 0, "{name}: nothing was compared");
    assert!(differing.is_empty(), "{same} of {compared} answers the same\n{}", differing.join("\n"));
}

#[test]
fn catalog() {
    replay("catalog");
}

#[test]
fn health() {
    replay("health");
}

#[test]
fn dns() {
    replay("dns");
}

#[test]
fn agent_service() {
    replay("agent-service");
}

#[test]
fn status_event_operator() {
    replay("status-event-operator");
}

#[test]
fn kv() {
    replay("kv");
}

#[test]
fn session_lock() {
    replay("session-lock");
}

#[test]
fn query() {
    replay("query");
}

#[test]
fn txn() {
    replay("txn");
}

#[test]
fn acl() {
    replay("acl");
}
