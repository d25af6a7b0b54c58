//! Watches in an agent's files: run, kept and stopped by a reload.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::{fs, path::Path, time::Duration};

use lictor_tests::{agent::Agent, wait};
use serde_json::{Value, json};

/// Longest time until a handler has run, on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// A watch of a service's passing instances that appends each change's ports to a file.
fn ports_of(service: &str, file: &Path) -> Value {
    let line = format!("(grep -o '\"Port\":[0-9]*' | grep -v ':0$' | tr '\\n' ' '; echo) >> {}", file.display());
    json!({"type": "service", "service": service, "passingonly": true, "args": ["sh", "-c", line]})
}

fn wait_for_line(file: &Path, wanted: &str) {
    wait::until(&format!("{} ends with {wanted:?}", file.display()), LIMIT, || {
        let text = fs::read_to_string(file).unwrap_or_default();
        wait::ensure(text.lines().last().is_some_and(|line| line.trim() == wanted), || format!("{text:?}"))
    });
}

fn register(agent: &Agent, name: &str, port: u16) {
    let body = json!({"Name": name, "Port": port}).to_string();
    let answer = agent.http().send("PUT", "/v1/agent/service/register", &[], body.as_bytes()).unwrap();
    assert_eq!(answer.status, 200);
}

#[test]
fn handlers_run_at_each_change_and_a_reload_starts_and_stops_them() {
    let agent = Agent::dev("node-a").with_config_directory();
    let (first, second) = (agent.directory().join("first"), agent.directory().join("second"));
    agent.write_file("watches.json", &json!({"watches": [ports_of("one", &first)]}).to_string());
    let agent = agent.started();
    register(&agent, "one", 1001);
    wait_for_line(&first, "\"Port\":1001");
    register(&agent, "one", 1002);
    wait_for_line(&first, "\"Port\":1002");

    agent.write_file("watches.json", &json!({"watches": [ports_of("two", &second)]}).to_string());
    assert!(agent.command(&["reload"]).status.success());
    register(&agent, "one", 1003);
    register(&agent, "two", 2001);
    wait_for_line(&second, "\"Port\":2001");
    wait_for_line(&first, "\"Port\":1002");
}

#[test]
fn a_watch_needs_no_http_port_and_a_failing_handler_ends_nothing() {
    let agent = Agent::dev("node-a").with_config_directory().without_http();
    let file = agent.directory().join("nodes");
    let line = format!("cat >> {}; exit 3", file.display());
    agent.write_file("w.hcl", &format!("watches {{ type = \"nodes\" handler = {line:?} }}"));
    let mut agent = agent;
    agent.start();
    wait::until("the handler has run", LIMIT, || {
        let text = fs::read_to_string(&file).unwrap_or_default();
        wait::ensure(text.contains("\"Node\":\"node-a\""), || format!("{text:?}"))
    });
    wait::until("its failure is said", LIMIT, || {
        let log = agent.log();
        wait::ensure(log.contains("a watch's handler failed") && log.contains("exit status 3"), || log)
    });
    assert!(agent.terminate().success());
}
