//! The commands of the command line against a real agent, as a person at a terminal would use them.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::{process::Command, time::Duration};

use lictor_tests::{agent::Agent, binary, wait};

/// Longest time until a change is seen, on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// What a command printed; it must succeed.
fn printed(agent: &Agent, line: &str) -> String {
    let arguments: Vec<&str> = line.split(' ').collect();
    let output = agent.command(&arguments);
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn wait_for(agent: &Agent, line: &str, expected: &str) {
    wait::until(&format!("{line} prints {expected:?}"), LIMIT, || {
        let text = printed(agent, line);
        wait::ensure(text == expected, || text)
    });
}

#[test]
fn services_come_are_maintained_and_go() {
    let agent = Agent::dev("host-1").started();
    let register = "services register -name=web -id=web-1 -port=8080 -tag=blue -meta=team=a";
    assert_eq!(printed(&agent, register), "Registered service: web\n");
    wait_for(&agent, "catalog services -tags", "consul      \nweb         blue\n");
    assert_eq!(printed(&agent, "catalog services -node=host-1"), "consul\nweb\n");
    assert_eq!(printed(&agent, "catalog datacenters"), "dc1\n");
    let nodes = printed(&agent, "catalog nodes -service=web");
    assert!(nodes.starts_with("Node    ID") && nodes.contains("host-1  ") && nodes.ends_with("  dc1\n"), "{nodes}");
    let watched = printed(&agent, "watch -type=service -service=web -tag=blue -passingonly");
    assert!(watched.contains("\"ID\": \"web-1\"") && watched.contains("\"Port\": 8080"), "{watched}");

    let begun = printed(&agent, "maint -enable -service=web-1 -reason=slow");
    assert_eq!(begun, "Service maintenance is now enabled for \"web-1\"\n");
    wait_for(&agent, "watch -type=service -service=web -passingonly=true", "[]\n");
    assert_eq!(printed(&agent, "maint"), "Service:\n  ID:     web-1\n  Reason: slow\n\n");
    printed(&agent, "maint -disable -service=web-1");
    assert_eq!(printed(&agent, "maint"), "");

    assert_eq!(printed(&agent, "services deregister -id=web-1"), "Deregistered service: web-1\n");
    wait_for(&agent, "catalog services", "consul\n");
}

#[test]
fn a_watch_runs_a_program_at_a_change() {
    let agent = Agent::dev("host-1").started();
    let log = agent.directory().join("watched");
    let mut command = Command::new(binary::path("lictor"));
    command
        .arg("watch")
        .arg(format!("-http-addr=127.0.0.1:{}", agent.ports.http))
        .args(["-type=services", "-shell=false"]);
    command.args(["sh", "-c", "(cat; echo) >> $0"]).arg(&log);
    let mut watch = command.spawn().unwrap();
    let has = |text: &str| {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        wait::ensure(log.contains(text), || log.clone())
    };
    wait::until("the first state is handled", LIMIT, || has("consul"));
    printed(&agent, "services register -name=web");
    wait::until("the change is handled", LIMIT, || has("web"));
    watch.kill().unwrap();
    watch.wait().unwrap();
}
