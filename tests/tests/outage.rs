//! What a host can do when every server is gone: ask, check, register, start.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test, also where it is not in a test function")]

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use hickory_proto::{op::ResponseCode, rr::RecordType};
use lictor_tests::{
    agent::Agent,
    cluster::Cluster,
    dns::{self, Transport},
    http, wait,
};
use serde_json::{Value, json};

/// How long questions are asked while no server lives.
const OUTAGE: Duration = Duration::from_secs(60);
/// Questions in all, and how many of them are by HTTP; the others are by DNS.
const QUESTIONS: u32 = 100_000;
const HTTP_QUESTIONS: u32 = 10_000;
/// Threads that ask by each protocol.
const ASKERS: u32 = 2;
/// Longest time until a change made on a host is seen there.
const LOCAL_LIMIT: Duration = Duration::from_secs(2);
/// Longest time from a leader until everything is as everyone wants it.
const CONVERGENCE_LIMIT: Duration = Duration::from_secs(5);
/// Longest time for what is waited for between the parts of a test.
const LIMIT: Duration = Duration::from_secs(20);

/// Asks `question` so many times, at an even pace; gives the errors.
fn ask(questions: u32, question: impl Fn() -> Result<(), String>) -> Vec<String> {
    let begun = Instant::now();
    let mut errors = Vec::new();
    for number in 0..questions {
        // An even pace, not a wait for something to happen.
        let due = OUTAGE * number / questions;
        thread::sleep(due.saturating_sub(begun.elapsed()));
        errors.extend(question().err());
    }
    errors
}

fn db_by_dns(client: dns::Client) -> Result<(), String> {
    let ports = client.ports("db.service.consul")?;
    wait::ensure(ports == [5432], || format!("db has the ports {ports:?}"))
}

fn db_by_http(client: http::Client) -> Result<(), String> {
    let answer = client.get("/v1/health/service/db?passing")?;
    let rows: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    let right = answer.status == 200 && rows[0]["Service"]["Port"] == 5432;
    wait::ensure(right && answer.header("x-consul-knownleader") == Some("false"), || format!("{answer:?}"))
}

fn passes(agent: &Agent, service: &str, expected: &[&str]) -> Result<(), String> {
    let passing = agent.passing(service)?;
    let ports = agent.dns().ports(&format!("{service}.service.consul"))?;
    wait::ensure(passing == expected && ports.len() == expected.len(), || format!("{service}: {passing:?} {ports:?}"))
}

fn says(agent: &Agent, line: &str) -> Result<(), String> {
    let log = agent.log();
    wait::ensure(log.contains(line), || log)
}

fn register(agent: &Agent, service: &Value) {
    agent.http().put("/v1/agent/service/register", service).unwrap();
}

fn report(agent: &Agent, verb: &str, check: &str) {
    agent.http().put(&format!("/v1/agent/check/{verb}/{check}"), &Value::Null).unwrap();
}

/// What a host does while no server lives: a check fails and recovers, a service comes, one fails for good.
fn live_on(agent: &Agent) {
    wait::until("the loss is noticed", LIMIT, || {
        let answer = agent.http().get("/v1/catalog/services")?;
        wait::ensure(answer.header("x-consul-knownleader") == Some("false"), || format!("{answer:?}"))
    });
    let index = agent.http().get("/v1/health/service/web").unwrap().header("x-consul-index").unwrap().to_owned();
    let watch = agent.http().with_time_out(LIMIT);
    let watcher = thread::spawn(move || watch.get(&format!("/v1/health/service/web?index={index}&wait=15s")));
    report(agent, "fail", "web-ttl");
    let ((), time) = wait::timed("the failed check shows", LOCAL_LIMIT, || passes(agent, "web", &[]));
    eprintln!("without servers: a check that failed showed after {time:?}");
    let woken = watcher.join().unwrap().unwrap();
    assert!(woken.text().contains("critical"), "a blocking query wakes for it: {}", woken.text());
    report(agent, "pass", "web-ttl");
    wait::until("the check that passes again shows", LOCAL_LIMIT, || passes(agent, "web", &["web-1"]));

    let begun = Instant::now();
    register(agent, &json!({"ID": "late-1", "Name": "late", "Port": 81}));
    eprintln!("without servers: a registration took {:?}", begun.elapsed());
    wait::until("a new registration shows", LOCAL_LIMIT, || passes(agent, "late", &["late-1"]));
    let body = json!({"Node": "elsewhere", "Address": "10.0.0.9"}).to_string();
    let refused = agent.http().send("PUT", "/v1/catalog/register", &[], body.as_bytes()).unwrap();
    assert_eq!(refused.status, 500, "the catalog itself cannot be written: {}", refused.text());
    report(agent, "fail", "api-ttl");
    wait::until("the second failed check shows", LOCAL_LIMIT, || passes(agent, "api", &[]));
}

fn ttl(id: &str, name: &str, port: u16) -> Value {
    let check = json!({"CheckID": format!("{name}-ttl"), "TTL": "10m", "Status": "passing"});
    json!({"ID": id, "Name": name, "Port": port, "Check": check})
}

#[test]
fn lookups_checks_and_registrations_survive_the_loss_of_every_server() {
    let mut cluster = Cluster::start(3, 2);
    register(&cluster.sidecars[0], &ttl("web-1", "web", 80));
    register(&cluster.sidecars[0], &ttl("api-1", "api", 82));
    register(&cluster.sidecars[1], &json!({"ID": "db-1", "Name": "db", "Port": 5432}));
    wait::until("everything is known", LIMIT, || {
        passes(&cluster.sidecars[0], "db", &["db-1"])?;
        passes(&cluster.sidecars[1], "web", &["web-1"])?;
        passes(&cluster.sidecars[1], "api", &["api-1"])
    });

    cluster.kill_servers();
    let host = &cluster.sidecars[0];
    wait::until("the loss is noticed", LIMIT, || db_by_http(host.http()));
    let (dns, http) = (host.dns(), host.http());
    let errors: Vec<String> = thread::scope(|scope| {
        let askers: Vec<_> = (0..ASKERS)
            .flat_map(|_| {
                let by_dns = move || ask((QUESTIONS - HTTP_QUESTIONS) / ASKERS, || db_by_dns(dns));
                let by_http = move || ask(HTTP_QUESTIONS / ASKERS, || db_by_http(http));
                [scope.spawn(by_dns), scope.spawn(by_http)]
            })
            .collect();
        live_on(host);
        askers.into_iter().flat_map(|asker| asker.join().unwrap()).collect()
    });
    wait::until("it is said", LIMIT, || says(host, "no leader is known"));
    assert!(
        errors.is_empty(),
        "{} of {QUESTIONS} questions failed: {:?}",
        errors.len(),
        &errors[..errors.len().min(5)]
    );

    for server in &mut cluster.servers {
        server.start();
    }
    cluster.servers[0].wait_for_http();
    let ((), time) = wait::timed("everything converges", CONVERGENCE_LIMIT, || {
        for agent in cluster.servers.iter().take(1).chain(&cluster.sidecars) {
            passes(agent, "web", &["web-1"])?;
            passes(agent, "late", &["late-1"])?;
            passes(agent, "api", &[])?;
            passes(agent, "db", &["db-1"])?;
            let answer = agent.http().get("/v1/catalog/services")?;
            wait::ensure(answer.header("x-consul-knownleader") == Some("true"), || format!("{answer:?}"))?;
        }
        Ok::<(), String>(())
    });
    wait::until("that is said, too", LIMIT, || says(&cluster.sidecars[0], "a leader is known again"));
    eprintln!("servers back: everything converged {time:?} after a leader was known");
}

#[test]
fn a_host_that_starts_without_servers_answers_from_what_it_knew() {
    let keep = |agent: Agent| agent.argument("-hcl=leave_on_terminate = false");
    let mut cluster = Cluster::start_with(1, 1, keep);
    register(&cluster.sidecars[0], &ttl("web-1", "web", 80));
    wait::until("it is known", LIMIT, || passes(&cluster.sidecars[0], "web", &["web-1"]));
    cluster.servers[0].kill();
    assert!(cluster.sidecars[0].terminate().success());

    let host = &mut cluster.sidecars[0];
    host.start();
    let ((), time) = wait::timed("lookups answer", LIMIT, || passes(host, "web", &["web-1"]));
    eprintln!("cold start without servers: lookups answered after {time:?}");
    let answer = host.http().get("/v1/health/service/web").unwrap();
    assert_eq!(answer.header("x-consul-knownleader"), Some("false"));
    assert_ne!(answer.header("x-consul-lastcontact"), Some("0"));
    // What it had registered is checked again.
    report(host, "fail", "web-ttl");
    wait::until("the failed check shows", LOCAL_LIMIT, || passes(host, "web", &[]));
    assert!(host.terminate().success());

    let file = host.data_directory().join("last-good.state");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    host.start();
    wait::until("a damaged file is as good as none", LIMIT, || {
        let answer = host.dns().ask(Transport::Udp, "web.service.consul", RecordType::A)?;
        let code = answer.metadata.response_code;
        wait::ensure(code == ResponseCode::ServFail, || format!("{code}"))?;
        says(host, "the last good state is not used")
    });

    cluster.servers[0].start();
    cluster.wait_until_complete();
    wait::until("its services are back", LIMIT, || {
        let services = cluster.sidecars[0].http().json("/v1/agent/services")?;
        wait::ensure(services["web-1"]["Port"] == 80, || services.to_string())
    });
}

#[test]
fn instances_whose_nodes_vanish_together_are_served_where_that_is_wanted() {
    let protect = |agent: Agent| agent.argument(r#"-hcl=discovery_protection { threshold = 0.5 window = "1m" }"#);
    let mut cluster = Cluster::start_with(1, 3, protect);
    for sidecar in &cluster.sidecars {
        register(sidecar, &json!({"ID": format!("{}-web", sidecar.name), "Name": "web", "Port": 80}));
    }
    let all = ["sidecar-1-web", "sidecar-2-web", "sidecar-3-web"];
    wait::until("all are known", LIMIT, || passes(&cluster.sidecars[0], "web", &all));
    for sidecar in &mut cluster.sidecars[1..] {
        sidecar.kill();
    }
    let host = &cluster.sidecars[0];
    wait::until("both vanished and are served", LIMIT, || {
        let answer = host.http().get("/v1/health/service/web?passing")?;
        wait::ensure(answer.header("x-lictor-protected") == Some("2"), || format!("{answer:?}"))?;
        let critical = host.http().json("/v1/health/state/critical")?;
        wait::ensure(critical.as_array().is_some_and(|rows| rows.len() == 2), || critical.to_string())?;
        let passing = host.passing("web")?;
        wait::ensure(passing == all, || format!("{passing:?}"))
    });
    wait::until("it is said", LIMIT, || says(host, "their instances are still served"));
    for sidecar in &mut cluster.sidecars[1..] {
        sidecar.start();
    }
    wait::until("they are back", LIMIT, || {
        let answer = cluster.sidecars[0].http().get("/v1/health/service/web?passing")?;
        wait::ensure(answer.header("x-lictor-protected").is_none(), || format!("{answer:?}"))?;
        let passing = cluster.sidecars[0].passing("web")?;
        wait::ensure(passing == all, || format!("{passing:?}"))
    });
}
