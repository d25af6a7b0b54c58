//! The agent's own services and checks: files, reload, check runners, and the repair of the catalog.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test, also where it is not in a test function")]

use std::{
    net::TcpListener,
    process::Command,
    time::{Duration, Instant},
};

use lictor_tests::{agent::Agent, binary, cluster::Cluster, ports, process::Process, wait, web::Web};
use rustix::process::Signal;
use serde_json::json;

/// Longest time until a check that runs every 200 ms has told the catalog, on a busy machine.
const CHECK_LIMIT: Duration = Duration::from_secs(10);
/// Longest time until damage to the catalog is repaired.
const REPAIR_LIMIT: Duration = Duration::from_secs(90);

fn wait_for_passing(agent: &Agent, service: &str, wanted: &[&str]) {
    wait::until(&format!("passing instances of {service}: {wanted:?}"), CHECK_LIMIT, || {
        let passing = agent.passing(service)?;
        wait::ensure(passing == wanted, || format!("passing: {passing:?}"))
    });
}

#[test]
fn files_add_and_remove_services() {
    let agent = Agent::dev("node-a").with_config_directory();
    agent.write_file("one.json", r#"{"service": {"name": "one", "port": 1001}}"#);
    let mut agent = agent.started();
    wait_for_passing(&agent, "one", &["one"]);

    let two =
        r#"{"services": [{"name": "two", "id": "two-1", "port": 1002}, {"name": "two", "id": "two-2", "port": 1003}]}"#;
    agent.write_file("two.json", two);
    let output = agent.command(&["reload"]);
    assert!(output.status.success(), "{output:?}");
    wait_for_passing(&agent, "two", &["two-1", "two-2"]);

    agent.remove_file("one.json");
    agent.signal(Signal::HUP);
    wait_for_passing(&agent, "one", &[]);
    wait_for_passing(&agent, "two", &["two-1", "two-2"]);
}

#[test]
fn a_reload_with_a_bad_file_changes_nothing_and_says_so() {
    let agent = Agent::dev("node-a").with_config_directory();
    agent.write_file("one.json", r#"{"service": {"name": "one", "port": 1001}}"#);
    let agent = agent.started();
    wait_for_passing(&agent, "one", &["one"]);

    agent.remove_file("one.json");
    agent.write_file("two.json", r#"{"service": {"name": "two", "port": 1002}}"#);
    agent.write_file("wrong.json", r#"{"service": {"name": "three", "prot": 1003}}"#);
    let output = agent.command(&["reload"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("wrong.json") && said.contains("prot"), "{said}");
    let answer = agent.http().send("PUT", "/v1/agent/reload", &[], b"").unwrap();
    assert_eq!(answer.status, 500);
    assert!(answer.text().contains("wrong.json"), "{}", answer.text());
    wait_for_passing(&agent, "one", &["one"]);
    wait_for_passing(&agent, "two", &[]);

    agent.remove_file("wrong.json");
    let output = agent.command(&["reload"]);
    assert!(output.status.success(), "{output:?}");
    wait_for_passing(&agent, "one", &[]);
    wait_for_passing(&agent, "two", &["two"]);
}

#[test]
fn damage_to_the_catalog_is_repaired() {
    let cluster = Cluster::start(1, 1);
    let (server, sidecar) = (&cluster.servers[0], &cluster.sidecars[0]);
    let service = json!({"ID": "web-1", "Name": "web", "Port": 80, "Check": {"TTL": "1h", "Status": "passing"}});
    sidecar.http().put("/v1/agent/service/register", &service).unwrap();
    wait_for_passing(server, "web", &["web-1"]);

    let damage = json!({"Node": "sidecar-1", "ServiceID": "web-1"});
    server.http().put("/v1/catalog/deregister", &damage).unwrap();
    let (_, time) = wait::timed("the service is registered again", REPAIR_LIMIT, || {
        let passing = server.passing("web")?;
        wait::ensure(passing == ["web-1"], || format!("passing: {passing:?}"))
    });
    eprintln!("deregistered by somebody else: repaired after {time:?}");

    // Something that the agent never registered, on its node, goes.
    let foreign = json!({"ID": "ghost-1", "Service": "ghost", "Port": 1});
    let body = json!({"Node": "sidecar-1", "Address": "127.0.0.1", "SkipNodeUpdate": true, "Service": foreign});
    server.http().put("/v1/catalog/register", &body).unwrap();
    let (_, time) = wait::timed("the foreign service is removed", REPAIR_LIMIT, || {
        let passing = server.passing("ghost")?;
        wait::ensure(passing.is_empty(), || format!("passing: {passing:?}"))
    });
    eprintln!("registered by somebody else: removed after {time:?}");
}

#[test]
fn a_ttl_check_expires_and_passes_again() {
    let agent = Agent::dev("node-a").started();
    let service = json!({"Name": "beat", "Port": 1, "Check": {"CheckID": "beat-ttl", "TTL": "1s"}});
    agent.http().put("/v1/agent/service/register", &service).unwrap();
    for _ in 0..2 {
        agent.http().put("/v1/agent/check/pass/beat-ttl", &json!(null)).unwrap();
        wait_for_passing(&agent, "beat", &["beat"]);
        wait_for_passing(&agent, "beat", &[]);
    }
}

#[test]
fn a_tcp_check_follows_its_service() {
    let agent = Agent::dev("node-a").started();
    let port = ports::free();
    let start = || {
        let mut command = Command::new(binary::path("hello"));
        Process::start("hello", agent.directory(), command.arg(format!("--listen=127.0.0.1:{port}")))
    };
    let check = json!({"TCP": format!("127.0.0.1:{port}"), "Interval": "200ms", "Timeout": "1s"});
    let service = json!({"Name": "hello", "Port": port, "Check": check});
    agent.http().put("/v1/agent/service/register", &service).unwrap();
    for _ in 0..2 {
        let mut hello = start();
        wait_for_passing(&agent, "hello", &["hello"]);
        hello.kill();
        wait_for_passing(&agent, "hello", &[]);
    }
}

#[test]
fn an_http_check_follows_the_status_code() {
    let agent = Agent::dev("node-a").started();
    let web = Web::start("");
    let url = format!("http://127.0.0.1:{}/health", web.port);
    let check = json!({"CheckID": "web-http", "HTTP": url, "Interval": "200ms"});
    let service = json!({"Name": "web", "Port": web.port, "Check": check});
    agent.http().put("/v1/agent/service/register", &service).unwrap();
    for (code, expected) in [(200, "passing"), (429, "warning"), (500, "critical"), (204, "passing")] {
        web.set_health(code);
        wait::until(&format!("{code} is {expected}"), CHECK_LIMIT, || {
            let found = agent.check_status("node-a", "web-http")?;
            wait::ensure(found.as_deref() == Some(expected), || format!("{found:?}"))
        });
    }
}

#[test]
fn an_agent_that_is_told_to_end_frees_its_ports() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut agent = Agent::dev("node-a").started();
        agent.signal(signal);
        let status = agent.wait_for_end();
        assert!(status.success(), "{signal:?}: {status}");
        for (name, port) in agent.ports.named() {
            assert!(ports::is_free(port), "{signal:?}: the {name} port {port} is still bound");
        }
    }
}

#[test]
fn an_agent_that_waits_for_a_join_can_be_stopped() {
    // Takes the connection and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for signal in [Signal::INT, Signal::TERM] {
        let mut agent = Agent::sidecar("node-a").argument(format!("-join={}", silent.local_addr().unwrap()));
        agent.start();
        let held = silent.accept().unwrap();
        let asked = Instant::now();
        agent.signal(signal);
        assert!(agent.wait_for_end().success(), "{signal:?}");
        assert!(asked.elapsed() < Duration::from_secs(5), "{signal:?}: only after {:?}", asked.elapsed());
        drop(held);
    }
}
