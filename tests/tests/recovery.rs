//! A quorum that is lost for ever, and the one server that is left.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::{fs, path::PathBuf, time::Duration};

use lictor_tests::{agent::Agent, cluster::Cluster, ports::Ports, wait};
use serde_json::{Value, json};

/// Longest time until servers agree on something.
const CHANGE_LIMIT: Duration = Duration::from_secs(40);

fn peers_file(server: &Agent) -> PathBuf {
    server.data_directory().join("raft/peers.json")
}

fn identity(server: &Agent) -> Value {
    serde_json::from_slice(&fs::read(server.data_directory().join("server.json")).unwrap()).unwrap()
}

fn put(agent: &Agent, key: &str) -> Result<(), String> {
    let answer = agent.http().send("PUT", &format!("/v1/kv/{key}"), &[], b"value")?;
    wait::ensure(answer.text() == "true", || answer.text())
}

fn voters(agent: &Agent) -> Result<Vec<String>, String> {
    let found = agent.http().json("/v1/operator/raft/configuration")?;
    let voters = found["Servers"].as_array().into_iter().flatten().filter(|server| server["Voter"] == true);
    let mut names: Vec<String> = voters.filter_map(|server| server["Node"].as_str()).map(str::to_owned).collect();
    names.sort();
    Ok(names)
}

#[test]
fn one_server_goes_on_with_all_that_was_written_and_new_ones_join_it() {
    let mut cluster = Cluster::start(3, 1);
    for number in 0..100 {
        put(&cluster.sidecars[0], &format!("k/{number:03}")).unwrap();
    }
    // One that did not lead is left, and knows no more than what it was sent.
    let left = (cluster.leader() + 1) % 3;
    cluster.kill_servers();
    let mut survivor = cluster.servers.swap_remove(left);
    cluster.servers.clear();

    let raft_id = identity(&survivor)["raft_id"].clone();
    let node_id = identity(&survivor)["node_id"].as_str().unwrap().to_owned();
    let address = format!("127.0.0.1:{}", survivor.ports.server);
    let bad = [
        ("[]".to_owned(), "it names no server"),
        (
            json!([{"id": "5e26a3af-f4fc-4104-a8bb-4da9f19cb278", "address": address}]).to_string(),
            "none of the servers",
        ),
    ];
    for (text, reason) in bad {
        fs::write(peers_file(&survivor), &text).unwrap();
        survivor.start();
        let log = survivor.directory().join(format!("{}.log", survivor.name));
        assert!(!survivor.wait_for_end().success());
        let log = fs::read_to_string(log).unwrap();
        assert!(log.contains("peers.json") && log.contains(reason), "{log}");
        assert!(peers_file(&survivor).exists());
    }

    fs::write(peers_file(&survivor), json!([{"id": node_id, "address": address}]).to_string()).unwrap();
    survivor.start();
    wait::until("the one that is left leads and writes", CHANGE_LIMIT, || put(&survivor, "after"));
    assert!(!peers_file(&survivor).exists() && survivor.data_directory().join("raft/peers.json.done").exists());
    assert_eq!(voters(&survivor).unwrap(), [survivor.name.clone()]);
    assert_eq!(identity(&survivor)["raft_id"], raft_id);
    let keys = survivor.http().json("/v1/kv/k/?keys").unwrap();
    assert_eq!(keys.as_array().unwrap().len(), 100);
    // The sidecar has found it again.
    wait::until("the sidecar writes", CHANGE_LIMIT, || put(&cluster.sidecars[0], "by-sidecar"));

    // A restart is a restart like any other.
    survivor.kill();
    survivor.start();
    wait::until("it leads again", CHANGE_LIMIT, || put(&survivor, "restarted"));

    // New servers, one of them under the name of one that is lost.
    let ports: Vec<Ports> = vec![survivor.ports];
    let lost = if survivor.name == "server-1" { "server-2" } else { "server-1" };
    let new = [lost, "server-new"].map(|name| Agent::server(name, 3).joining(&ports).started());
    let mut expected = vec![survivor.name.clone(), lost.to_owned(), "server-new".to_owned()];
    expected.sort();
    for server in new.iter().chain([&survivor]) {
        wait::until(&format!("{} knows three voters", server.name), CHANGE_LIMIT, || {
            let found = voters(server)?;
            wait::ensure(found == expected, || format!("{found:?}"))
        });
    }
    // And they do without the one that was recovered, once a majority has agreed that they are three.
    wait::until("a write after the last of them came", CHANGE_LIMIT, || put(&survivor, "joined"));
    survivor.kill();
    wait::until("the new ones write", CHANGE_LIMIT, || put(&new[1], "without"));
    let keys = new[0].http().json("/v1/kv/k/?keys").unwrap();
    assert_eq!(keys.as_array().unwrap().len(), 100);
}
