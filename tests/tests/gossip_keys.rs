//! Gossip keys of a live cluster: rotated under traffic, asked for through a sidecar, and what a stranger gets.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::{
    process::Command,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use lictor_tests::{agent::Agent, binary, cluster::Cluster, ports::Ports, wait};

const OLD: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
/// Longest time until something is seen, on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

fn said(agent: &Agent, line: &str) -> (Option<i32>, String) {
    let output = agent.command(&line.split(' ').collect::<Vec<_>>());
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// Names of nodes whose `serfHealth` does not pass, by the view of `agent`.
fn not_passing(agent: &Agent) -> Result<Vec<String>, String> {
    let critical = agent.http().json("/v1/health/state/critical?stale")?;
    Ok(lictor_tests::agent::texts(&critical, "/Node"))
}

#[test]
fn keys_are_rotated_on_a_live_cluster_and_strangers_stay_outside() {
    let cluster = Cluster::start_with(3, 2, |agent| agent.argument(format!("-encrypt={OLD}")));
    let ports: Vec<Ports> = cluster.servers.iter().map(|agent| agent.ports).collect();
    let sidecar = &cluster.sidecars[0];
    let made = Command::new(binary::path("lictor")).arg("keygen").output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let new = String::from_utf8(made.stdout).unwrap();
    let new = new.trim();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut failures = Vec::new();
            let mut writes = 0;
            while !done.load(Relaxed) {
                failures.extend(not_passing(sidecar).unwrap());
                let answer = cluster.sidecars[1].http().send("PUT", "/v1/kv/traffic", &[], b"x").unwrap();
                assert_eq!(answer.text(), "true");
                writes += 1;
            }
            (failures, writes)
        });
        for (step, sentence) in [
            (format!("keyring -install={new}"), "==> Installing new gossip encryption key...\n"),
            (format!("keyring -use={new}"), "==> Changing primary gossip encryption key...\n"),
            (format!("keyring -remove={OLD}"), "==> Removing gossip encryption key...\n"),
        ] {
            assert_eq!(said(sidecar, &step), (Some(0), sentence.to_owned()), "{step}");
        }
        // Longer than a failure would take to be called one.
        thread::sleep(Duration::from_secs(10));
        done.store(true, Relaxed);
        let (failures, writes) = watcher.join().unwrap();
        assert!(failures.is_empty() && writes > 0, "{failures:?}");
    });
    let (_, list) = said(sidecar, "keyring -list");
    assert!(list.contains(&format!("dc1 (LAN):\n  {new} [5/5]")), "{list}");
    assert!(!list.contains(OLD), "{list}");

    for (name, key) in [("stranger-1", Some(OLD)), ("stranger-2", None)] {
        let stranger = Agent::sidecar(name).joining(&ports);
        let stranger = match key {
            Some(key) => stranger.argument(format!("-encrypt={key}")),
            None => stranger,
        };
        let mut stranger = stranger;
        stranger.start();
        wait::until("it says that it stays outside", LIMIT, || {
            let log = stranger.log();
            wait::ensure(log.contains("could not join"), || log)
        });
        let members = sidecar.http().json("/v1/agent/members").unwrap();
        assert_eq!(members.as_array().unwrap().len(), 5, "{members}");
    }
    let metrics = cluster.servers[0].http().get("/v1/agent/metrics?format=prometheus").unwrap().text();
    let dropped = metrics.lines().filter(|line| line.starts_with("lictor_gossip_dropped_total{"));
    assert!(dropped.into_iter().any(|line| !line.ends_with(" 0")), "nothing of the strangers' was counted: {metrics}");
}
