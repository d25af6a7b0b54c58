//! What an operator changes about the servers: who leads, who is in the set, how they are kept; and what is not done.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::time::Duration;

use lictor_tests::{agent::Agent, cluster::Cluster, http::Answer, ports::Ports, wait};
use serde_json::{Value, json};

/// Longest time until a change of the servers, or of their leader, is seen.
const CHANGE_LIMIT: Duration = Duration::from_secs(40);

fn send(agent: &Agent, method: &str, path: &str, body: &str) -> Answer {
    agent.http().with_time_out(CHANGE_LIMIT).send(method, path, &[], body.as_bytes()).unwrap()
}

fn servers(agent: &Agent) -> Result<Vec<Value>, String> {
    let configuration = agent.http().json("/v1/operator/raft/configuration")?;
    configuration["Servers"].as_array().cloned().ok_or_else(|| configuration.to_string())
}

fn id_of(agent: &Agent, name: &str) -> String {
    let servers = servers(agent).unwrap();
    servers.iter().find(|server| server["Node"] == name).unwrap()["ID"].as_str().unwrap().to_owned()
}

fn said(agent: &Agent, line: &str) -> (Option<i32>, String) {
    let output = agent.command(&line.split(' ').collect::<Vec<_>>());
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn write(agent: &Agent, key: &str) {
    wait::until("a write works", CHANGE_LIMIT, || {
        let answer = agent.http().send("PUT", &format!("/v1/kv/{key}"), &[], b"x")?;
        wait::ensure(answer.text() == "true", || answer.text())
    });
}

#[test]
fn the_leadership_goes_where_the_operator_wants_it() {
    let cluster = Cluster::start(3, 1);
    let sidecar = &cluster.sidecars[0];
    for round in 0..3 {
        let heir = &cluster.servers[(cluster.leader() + 1) % 3];
        let path = format!("/v1/operator/raft/transfer-leader?id={}", id_of(sidecar, &heir.name));
        let answer = send(sidecar, "POST", &path, "");
        assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"Success":true}"#), "round {round}");
        wait::until("it leads", CHANGE_LIMIT, || {
            wait::ensure(cluster.servers[cluster.leader()].name == heir.name, || "another leads".to_owned())
        });
        write(sidecar, "a");
    }
    let before = cluster.leader();
    assert_eq!(said(sidecar, "operator raft transfer-leader"), (Some(0), "Success\n".into()));
    wait::until("another leads", CHANGE_LIMIT, || wait::ensure(cluster.leader() != before, || "the same".to_owned()));
    let leader = id_of(sidecar, &cluster.servers[cluster.leader()].name);
    for (id, reason) in
        [(leader.as_str(), "is the leader already"), ("nobody", "was not found in the Raft configuration")]
    {
        let answer = send(sidecar, "POST", &format!("/v1/operator/raft/transfer-leader?id={id}"), "");
        assert!(answer.status == 500 && answer.text().contains(reason), "{}", answer.text());
    }
    let (code, list) = said(sidecar, "operator raft list-peers");
    assert!(code == Some(0) && list.lines().count() == 4 && list.contains("leader"), "{list}");
}

#[test]
fn a_dead_server_can_be_removed_and_no_command_costs_the_quorum() {
    let mut cluster = Cluster::start(3, 1);
    let leader = cluster.leader();
    let (dead, alive) = ((leader + 1) % 3, (leader + 2) % 3);
    let dead_name = cluster.servers[dead].name.clone();
    let alive_id = id_of(&cluster.sidecars[0], &cluster.servers[alive].name);
    let leader_id = id_of(&cluster.sidecars[0], &cluster.servers[leader].name);
    cluster.servers[dead].kill();
    let sidecar = &cluster.sidecars[0];
    // At once: it has answered a moment ago, and will not answer again.
    let answer = send(sidecar, "DELETE", &format!("/v1/operator/raft/peer?id={alive_id}"), "");
    assert!(answer.text().contains("1 of 2 voting servers would be alive"), "{} {}", answer.status, answer.text());
    for (query, status, reason) in [
        (format!("id={leader_id}"), 500, "transfer the leadership to another server first"),
        ("id=nobody".into(), 500, "was not found in the Raft configuration"),
        ("address=127.0.0.1:1".into(), 500, "was not found in the Raft configuration"),
        (String::new(), 400, "Must specify either ?id"),
        ("id=a&address=b".into(), 400, "Must specify only one"),
    ] {
        let answer = send(sidecar, "DELETE", &format!("/v1/operator/raft/peer?{query}"), "");
        assert!(
            answer.status == status && answer.text().contains(reason),
            "{query}: {} {}",
            answer.status,
            answer.text()
        );
    }
    assert_eq!(servers(sidecar).unwrap().len(), 3);
    let address = format!("127.0.0.1:{}", cluster.servers[dead].ports.server);
    let (code, text) = said(sidecar, &format!("operator raft remove-peer -address={address}"));
    assert_eq!((code, text), (Some(0), format!("Removed peer with address {address:?}\n")));
    let names: Vec<Value> = servers(sidecar).unwrap().into_iter().map(|server| server["Node"].clone()).collect();
    assert!(names.len() == 2 && !names.contains(&json!(dead_name)), "{names:?}");
    write(sidecar, "b");
    // It was only away: it is taken in again.
    cluster.servers[dead].start();
    wait::until("it is back", CHANGE_LIMIT, || {
        let servers = servers(&cluster.sidecars[0])?;
        wait::ensure(servers.len() == 3 && servers.iter().all(|server| server["Voter"] == true), || {
            format!("{servers:?}")
        })
    });
}

#[test]
fn a_dead_server_goes_by_itself_when_another_has_taken_its_place() {
    let mut cluster = Cluster::start(3, 1);
    let dead = (cluster.leader() + 1) % 3;
    let dead_name = cluster.servers[dead].name.clone();
    cluster.servers[dead].kill();
    let ports: Vec<Ports> = cluster.servers.iter().map(|agent| agent.ports).collect();
    let _new = Agent::server("server-4", 3).joining(&ports).started();
    let wait_for = |expected: [&str; 3]| {
        wait::until("the new server has taken the place of the dead one", CHANGE_LIMIT, || {
            let found = servers(&cluster.sidecars[0])?;
            let voters: Vec<&str> = found
                .iter()
                .filter(|server| server["Voter"] == true)
                .filter_map(|server| server["Node"].as_str())
                .collect();
            wait::ensure(found.len() == 3 && expected.iter().all(|name| voters.contains(name)), || {
                format!("{voters:?}")
            })
        });
    };
    let mut expected: Vec<&str> = ["server-1", "server-2", "server-3", "server-4"].to_vec();
    expected.retain(|name| *name != dead_name);
    wait_for(expected.try_into().unwrap());
    write(&cluster.sidecars[0], "c");
}

#[test]
fn autopilot_is_configured_by_compare_and_set_and_by_command() {
    let cluster = Cluster::start(1, 1);
    let sidecar = &cluster.sidecars[0];
    let path = "/v1/operator/autopilot/configuration";
    let present = sidecar.http().json(path).unwrap();
    let modified = present["ModifyIndex"].as_u64().unwrap();
    let mut wanted = present.clone();
    wanted["MaxTrailingLogs"] = json!(300);
    for (index, done) in [(modified + 1, "false"), (modified, "true"), (modified, "false")] {
        let answer = send(sidecar, "PUT", &format!("{path}?cas={index}"), &wanted.to_string());
        assert_eq!((answer.status, answer.text().trim()), (200, done), "cas={index}");
    }
    let set = "operator autopilot set-config -cleanup-dead-servers=false -min-quorum=3 -last-contact-threshold=300ms";
    assert_eq!(said(sidecar, set), (Some(0), "Configuration updated!\n".into()));
    let (code, text) = said(sidecar, "operator autopilot get-config");
    assert_eq!(code, Some(0));
    for line in ["CleanupDeadServers = false", "MinQuorum = 3", "LastContactThreshold = 300ms", "MaxTrailingLogs = 300"]
    {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    let (code, text) = said(sidecar, "operator autopilot set-config -last-contact-threshold=10");
    assert!(code == Some(1) && text.contains("-last-contact-threshold"), "{text}");
    let (code, text) = said(sidecar, "operator autopilot state");
    assert!(code == Some(0) && text.contains("Healthy:") && text.contains("Node Status:"), "{text}");
    let (code, text) = said(sidecar, "operator usage instances");
    assert!(code == Some(0) && text.contains("dc1"), "{text}");
}
