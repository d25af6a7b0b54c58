//! Three servers and two sidecars as real processes: found by the other host, nothing lost, lookups never fail.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test, also where it is not in a test function")]

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use lictor_tests::{
    agent::{Agent, texts},
    cluster::Cluster,
    dns, http, wait,
};
use serde_json::json;

/// Longest time until what one agent acknowledged is seen at another one.
const SPREAD_LIMIT: Duration = Duration::from_secs(5);
/// Longest time from the kill of the leader until writes work. The promise is 2 s; the rest is for a machine that
/// does other things at the same time. The test prints the figure.
const FAIL_OVER_LIMIT: Duration = Duration::from_secs(5);
/// Longest time until an agent has told the registry what it could not tell it without a leader.
const RETRY_LIMIT: Duration = Duration::from_secs(15);
/// Longest time until writers and lookers have done their rounds.
const ROUNDS_LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_service_registered_at_one_sidecar_is_found_at_every_agent() {
    let cluster = Cluster::start(3, 2);
    let service = json!({"ID": "web-1", "Name": "web", "Port": 8080, "Tags": ["blue"]});
    cluster.sidecars[0].http().put("/v1/agent/service/register", &service).unwrap();
    for agent in cluster.agents() {
        wait::until(&format!("web at {}", agent.name), SPREAD_LIMIT, || {
            let passing = agent.passing("web")?;
            wait::ensure(passing == ["web-1"], || format!("passing: {passing:?}"))?;
            let dns = agent.dns();
            let addresses = dns.addresses("web.service.consul")?;
            wait::ensure(addresses == [IpAddr::V4(Ipv4Addr::LOCALHOST)], || format!("addresses: {addresses:?}"))?;
            let ports = dns.ports("blue.web.service.dc1.consul")?;
            wait::ensure(ports == [8080], || format!("ports: {ports:?}"))
        });
    }

    let output = cluster.sidecars[1].command(&["members"]);
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    for agent in cluster.agents() {
        let row = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let row = row.into_iter().find(|row| row.first() == Some(&agent.name.as_str()));
        let row = row.unwrap_or_else(|| panic!("{} is not in {table}", agent.name));
        let kind = if agent.name.starts_with("server") { "server" } else { "client" };
        assert_eq!((row[1], row[2], row[3]), (format!("127.0.0.1:{}", agent.ports.serf_lan).as_str(), "alive", kind));
    }

    cluster.sidecars[0].http().put("/v1/agent/service/deregister/web-1", &json!(null)).unwrap();
    for agent in cluster.agents() {
        wait::until(&format!("no web at {}", agent.name), SPREAD_LIMIT, || {
            let found = agent.dns().addresses("web.service.consul")?;
            wait::ensure(found.is_empty(), || format!("addresses: {found:?}"))
        });
    }
}

#[test]
fn a_wiped_server_takes_the_place_of_its_former_life() {
    let mut cluster = Cluster::start(3, 0);
    let leader = cluster.leader();
    let wiped = (leader + 1) % 3;
    let server = &mut cluster.servers[wiped];
    server.kill();
    std::fs::remove_dir_all(server.data_directory()).unwrap();
    server.start();
    server.wait_for_http();
    // Both lives have the same address and name: only the leader's log tells them apart from outside.
    wait::until("the leader has changed the set of servers", RETRY_LIMIT, || {
        let log = cluster.servers[leader].log();
        wait::ensure(log.contains("changed the set of servers"), || format!("the leader's log: {log}"))
    });
    // Of three, so that the former life does not count for a majority.
    cluster.servers[leader].kill();
    let node = json!({"Node": "after", "Address": "127.0.0.1"});
    wait::until("two of three can write", ROUNDS_LIMIT, || {
        cluster.servers[wiped].http().put("/v1/catalog/register", &node)
    });
}

#[test]
fn nothing_acknowledged_is_lost_and_lookups_never_fail() {
    let mut cluster = Cluster::start(3, 2);
    let steady = json!({"ID": "steady-1", "Name": "steady", "Port": 7000});
    cluster.sidecars[0].http().put("/v1/agent/service/register", &steady).unwrap();
    for sidecar in &cluster.sidecars {
        wait::until("the steady service is found", SPREAD_LIMIT, || Looker::new(sidecar).look());
    }

    let lookers: Vec<Looker> = cluster.sidecars.iter().map(Looker::new).collect();
    let leader = cluster.leader();
    let writers = [
        Writer::of_catalog("one", cluster.sidecars[0].http()),
        Writer::of_catalog("two", cluster.sidecars[1].http()),
        Writer::of_catalog("three", cluster.servers[(leader + 1) % 3].http()),
        Writer::of_agent("four", cluster.sidecars[0].http()),
    ];
    let stop = Stop::default();
    thread::scope(|scope| {
        let _stopped_even_by_a_panic = stop.guard();
        lookers.iter().for_each(|looker| drop(scope.spawn(|| looker.look_until(&stop))));
        writers.iter().for_each(|writer| drop(scope.spawn(|| writer.write_until(&stop))));
        wait_for_rounds(&writers, 50);
        cluster.servers[leader].kill();
        let killed = Instant::now();
        let returned = wait::until("writes work again", ROUNDS_LIMIT, || {
            let catalog = writers.iter().filter(|writer| !writer.by_agent);
            let first = catalog.map(|writer| writer.first_sent_after(killed));
            first.collect::<Option<Vec<Instant>>>().ok_or("not all writers have written")
        });
        let returned: Vec<Duration> = returned.iter().map(|&instant| instant - killed).collect();
        eprintln!("leader killed: writes worked again after {returned:?} (one figure for each writer)");
        assert!(returned.iter().all(|&time| time < FAIL_OVER_LIMIT), "{returned:?}");
        wait_for_rounds(&writers, 50);
    });
    lookers.iter().for_each(Looker::verify);
    for agent in cluster.agents().filter(|agent| agent.is_running()) {
        writers.iter().for_each(|writer| writer.verify(agent));
    }

    // The old leader comes back and catches up; then all of them go at once.
    cluster.servers[leader].start();
    cluster.wait_until_complete();
    writers.iter().for_each(|writer| writer.verify(&cluster.servers[leader]));
    let stop = Stop::default();
    thread::scope(|scope| {
        let _stopped_even_by_a_panic = stop.guard();
        lookers.iter().for_each(|looker| drop(scope.spawn(|| looker.look_until(&stop))));
        cluster.kill_servers();
        let before: Vec<usize> = lookers.iter().map(Looker::count).collect();
        wait::until("lookups without any server", ROUNDS_LIMIT, || {
            let rounds = lookers.iter().zip(&before).map(|(looker, before)| looker.count() - before);
            rounds.min().filter(|&least| least >= 100).ok_or("fewer than 100 rounds")
        });
        cluster.servers.iter_mut().for_each(Agent::start);
        cluster.wait_until_complete();
    });
    lookers.iter().for_each(Looker::verify);
    for agent in cluster.agents() {
        writers.iter().for_each(|writer| writer.verify(agent));
    }
    wait::until("writes work again", FAIL_OVER_LIMIT, || writers[0].write(usize::from(u16::MAX)));
}

/// Stops the threads of a scope, also when its main part panics (else the scope would wait for ever).
#[derive(Default)]
struct Stop(AtomicBool);

impl Stop {
    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn guard(&self) -> impl Drop {
        struct Guard<'a>(&'a Stop);
        impl Drop for Guard<'_> {
            fn drop(&mut self) {
                self.0.0.store(true, Ordering::Relaxed);
            }
        }
        Guard(self)
    }
}

/// Asks one sidecar for the steady service, again and again, in every way.
struct Looker {
    name: String,
    http: http::Client,
    dns: dns::Client,
    rounds: AtomicUsize,
    /// Of DNS, of `?stale`, and of the default.
    slowest: Mutex<[Duration; 3]>,
    failures: Mutex<Vec<String>>,
}

impl Looker {
    fn new(sidecar: &Agent) -> Self {
        Self {
            name: sidecar.name.clone(),
            http: sidecar.http(),
            dns: sidecar.dns(),
            rounds: AtomicUsize::new(0),
            slowest: Mutex::default(),
            failures: Mutex::default(),
        }
    }

    fn look(&self) -> Result<(), String> {
        (0..3).try_for_each(|way| self.look_by(way))
    }

    fn look_by(&self, way: usize) -> Result<(), String> {
        if way == 0 {
            let addresses = self.dns.addresses("steady.service.consul")?;
            wait::ensure(addresses == [IpAddr::V4(Ipv4Addr::LOCALHOST)], || format!("A: {addresses:?}"))?;
            let ports = self.dns.ports("steady.service.consul")?;
            return wait::ensure(ports == [7000], || format!("SRV: {ports:?}"));
        }
        let query = ["?passing&stale", "?passing"][way - 1];
        let entries = self.http.json(&format!("/v1/health/service/steady{query}"))?;
        let found = texts(&entries, "/Service/ID");
        wait::ensure(found == ["steady-1"], || format!("{query}: {found:?}"))
    }

    fn look_until(&self, stop: &Stop) {
        while !stop.is_set() {
            for way in 0..3 {
                let start = Instant::now();
                if let Err(error) = self.look_by(way) {
                    self.failures.lock().unwrap().push(error);
                }
                let slowest = &mut self.slowest.lock().unwrap()[way];
                *slowest = start.elapsed().max(*slowest);
            }
            self.rounds.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn count(&self) -> usize {
        self.rounds.load(Ordering::Relaxed)
    }

    fn verify(&self) {
        let (slowest, failures) = (self.slowest.lock().unwrap(), self.failures.lock().unwrap());
        let ([dns, stale, default], rounds) = (*slowest, self.count());
        eprintln!("{}: {rounds} rounds; the slowest: DNS {dns:?}, stale {stale:?}, default {default:?}", self.name);
        assert!(failures.is_empty(), "{}: {} failed, first {}", self.name, failures.len(), failures[0]);
    }
}

/// Registers instance after instance at one agent and remembers which of them were acknowledged, and when sent.
struct Writer {
    service: String,
    http: http::Client,
    by_agent: bool,
    acknowledged: Mutex<Vec<(String, Instant, Instant)>>,
}

impl Writer {
    fn of_catalog(service: &str, http: http::Client) -> Self {
        let http = http.with_time_out(Duration::from_secs(20));
        Self { service: service.into(), http, by_agent: false, acknowledged: Mutex::default() }
    }

    fn of_agent(service: &str, http: http::Client) -> Self {
        Self { by_agent: true, ..Self::of_catalog(service, http) }
    }

    fn write(&self, number: usize) -> Result<String, String> {
        let id = format!("{}-{number}", self.service);
        let node = format!("node-{}", self.service);
        if self.by_agent {
            let service = json!({"ID": id, "Name": self.service, "Port": number});
            self.http.put("/v1/agent/service/register", &service)?;
        } else {
            let service = json!({"ID": id, "Service": self.service, "Port": number});
            let body = json!({"Node": node, "Address": "10.0.0.1", "Service": service});
            self.http.put("/v1/catalog/register", &body)?;
        }
        Ok(id)
    }

    fn write_until(&self, stop: &Stop) {
        for number in 0.. {
            if stop.is_set() {
                return;
            }
            let sent = Instant::now();
            // A refused write is no acknowledged one; the next number is another instance.
            if let Ok(id) = self.write(number) {
                self.acknowledged.lock().unwrap().push((id, sent, Instant::now()));
            }
        }
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// When the first write that was sent after `instant` was acknowledged.
    fn first_sent_after(&self, instant: Instant) -> Option<Instant> {
        self.acknowledged.lock().unwrap().iter().find(|(_, sent, _)| *sent >= instant).map(|(_, _, done)| *done)
    }

    /// Every acknowledged instance is in the catalog as `agent` answers by default. An instance of the agent is
    /// acknowledged when the agent has it; it may be in the catalog later, after the agent's next try.
    fn verify(&self, agent: &Agent) {
        let wanted: BTreeSet<String> = self.acknowledged.lock().unwrap().iter().map(|(id, _, _)| id.clone()).collect();
        let within = if self.by_agent { RETRY_LIMIT } else { Duration::ZERO };
        let path = format!("/v1/catalog/service/{}", self.service);
        // Without a leader a default read answers from what the agent has, and says so. That is not what is asked here.
        wait::until(&format!("{} reads with a quorum", agent.name), RETRY_LIMIT, || {
            agent.http().json(&format!("{path}?consistent")).map(drop)
        });
        wait::until(&format!("what {} wrote is at {}", self.service, agent.name), within, || {
            let rows = agent.http().json(&path)?;
            let found: BTreeSet<String> = texts(&rows, "/ServiceID").into_iter().collect();
            let lost: Vec<&String> = wanted.difference(&found).collect();
            wait::ensure(lost.is_empty(), || format!("{} of {} are lost: {lost:?}", lost.len(), wanted.len()))
        });
    }
}

fn wait_for_rounds(writers: &[Writer], rounds: usize) {
    let before: Vec<usize> = writers.iter().map(Writer::count).collect();
    wait::until("registrations", ROUNDS_LIMIT, || {
        let done = writers.iter().zip(&before).map(|(writer, before)| writer.count() - before);
        let done: Vec<usize> = done.collect();
        wait::ensure(done.iter().all(|&done| done >= rounds), || format!("so many of {rounds} each: {done:?}"))
    });
}
