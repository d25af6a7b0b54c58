//! The recorded conversations: every answer the same as Consul's.

use lictor_tests::conformance::differences;

/// Replays a scenario; `is_compared` says for each step whether it must hold.
fn replay(name: &str, is_compared: impl Fn(&str) -> bool) {
    let (differing, compared) = differences(name, is_compared);
    let same = compared - differing.len();
    assert!(differing.is_empty(), "{same} of {compared} answers the same\n{}", differing.join("\n"));
}

#[test]
fn catalog() {
    replay("catalog", |_| true);
}

#[test]
fn health() {
    replay("health", |_| true);
}

/// Lookups of services and nodes. The `addr`, `query` and `connect` forms and PTR are not served yet.
#[test]
fn dns() {
    let later = [".addr.", ".query.", ".connect.", ".in-addr.arpa."];
    replay("dns", |step| !later.iter().any(|form| step.contains(form)));
}
