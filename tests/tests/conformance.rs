//! The recorded conversations: every answer the same as Consul's.

use lictor_tests::conformance::differences;

/// Replays a scenario; `is_compared` says for each step (number from 0, text) whether it must hold.
fn replay(name: &str, is_compared: impl Fn(usize, &str) -> bool) {
    let (differing, compared) = differences(name, is_compared);
    let same = compared - differing.len();
    assert!(compared > 0, "{name}: nothing was compared");
    assert!(differing.is_empty(), "{same} of {compared} answers the same\n{}", differing.join("\n"));
}

#[test]
fn catalog() {
    replay("catalog", |_, _| true);
}

#[test]
fn health() {
    replay("health", |_, _| true);
}

#[test]
fn dns() {
    replay("dns", |_, _| true);
}

/// The agent's services and checks. Maintenance is not there yet, nor the answers that show it (31 and 37).
#[test]
fn agent_service() {
    replay("agent-service", |number, step| !step.contains("maintenance") && ![31, 37].contains(&number));
}

/// The status, the members, joining and leaving, and what is unknown: the rest is not there yet.
#[test]
fn status() {
    let later = ["/v1/operator/", "/v1/event/", "/v1/coordinate/", "/v1/internal/", "wan=1"];
    replay("status-event-operator", |_, step| !later.iter().any(|part| step.contains(part)));
}
