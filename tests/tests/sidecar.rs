//! What becomes of a host's services when its sidecar is killed, comes back, or leaves.

use std::{process::Command, time::Duration};

use lictor_tests::{binary, cluster::Cluster, ports, process::Process, wait};
use serde_json::json;

/// Longest time from the kill of a sidecar until its node is critical elsewhere.
const DETECTION_LIMIT: Duration = Duration::from_secs(15);
/// Longest time until a change is seen elsewhere: a check's interval, and time for a busy machine.
const SPREAD_LIMIT: Duration = Duration::from_secs(10);

#[test]
fn the_services_of_a_killed_sidecar_leave_and_come_back_with_it() {
    let mut cluster = Cluster::start(3, 2);
    let port = ports::free();
    let mut hello = Process::start(
        "hello",
        cluster.sidecars[0].directory(),
        Command::new(binary::path("hello")).arg(format!("--listen=127.0.0.1:{port}")),
    );
    let check = json!({"TCP": format!("127.0.0.1:{port}"), "Interval": "1s", "Timeout": "1s"});
    let service = json!({"ID": "hello-1", "Name": "hello", "Port": port, "Check": check});
    cluster.sidecars[0].http().put("/v1/agent/service/register", &service).unwrap();
    wait_for_instances(&cluster, &["hello-1"]);

    cluster.sidecars[0].kill();
    let (_, time) = wait::timed("the node of the killed sidecar is critical", DETECTION_LIMIT, || {
        let status = cluster.sidecars[1].check_status("sidecar-1", "serfHealth")?;
        wait::ensure(status.as_deref() == Some("critical"), || format!("serfHealth: {status:?}"))
    });
    eprintln!("sidecar killed: its node was critical at the other one after {time:?}");
    wait_for_instances(&cluster, &[]);

    cluster.sidecars[0].start();
    cluster.wait_until_complete();
    wait_for_instances(&cluster, &["hello-1"]);
    let services = cluster.sidecars[0].http().json("/v1/agent/services").unwrap();
    assert_eq!(services["hello-1"]["Port"], port, "{services}");

    // Its check runs again: it sees that the service ends.
    hello.kill();
    wait_for_instances(&cluster, &[]);
}

/// Waits until sidecar-2 has exactly these passing instances of `hello`, by HTTP and by DNS.
fn wait_for_instances(cluster: &Cluster, wanted: &[&str]) {
    wait::until(&format!("passing instances {wanted:?}"), SPREAD_LIMIT, || {
        let passing = cluster.sidecars[1].passing("hello")?;
        wait::ensure(passing == wanted, || format!("passing: {passing:?}"))?;
        let ports = cluster.sidecars[1].dns().ports("hello.service.consul")?;
        wait::ensure(ports.len() == wanted.len(), || format!("DNS: {ports:?}"))
    });
}

#[test]
fn a_sidecar_that_is_told_to_end_leaves() {
    let mut cluster = Cluster::start(1, 2);
    let service = json!({"ID": "web-1", "Name": "web", "Port": 80});
    cluster.sidecars[1].http().put("/v1/agent/service/register", &service).unwrap();
    let status = cluster.sidecars[1].terminate();
    assert!(status.success(), "{status}");
    for (name, port) in cluster.sidecars[1].ports.named() {
        assert!(ports::is_free(port), "the {name} port {port} is still bound");
    }
    wait::until("the node is gone from the catalog", SPREAD_LIMIT, || {
        let rows = cluster.sidecars[0].http().json("/v1/catalog/node/sidecar-2")?;
        wait::ensure(rows.is_null(), || rows.to_string())?;
        let members = cluster.sidecars[0].command(&["members"]);
        let table = String::from_utf8_lossy(&members.stdout).into_owned();
        let row = table.lines().find(|line| line.starts_with("sidecar-2 "));
        wait::ensure(row.is_some_and(|row| row.contains(" left ")), || table.clone())
    });

    cluster.sidecars[1].start();
    cluster.wait_until_complete();
}
