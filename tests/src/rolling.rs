//! Servers are restarted one after the other, as an upgrade does it, while a sidecar is asked and written to.
//!
//! Lookups never fail; no acknowledged write is lost; and writes go on: between two acknowledged ones less than
//! [`LONGEST_STALL`] passes, because a leader hands over before it ends.

use std::{
    collections::BTreeSet,
    fmt,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    agent::{Agent, texts},
    cluster::Cluster,
    http::Client,
    wait,
};

/// Writes may stand still for so long, on a machine that does nothing else.
pub const LONGEST_STALL: Duration = Duration::from_secs(2);
/// Longest time until something works, on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);
/// A write that has no answer by then is given up; whether it was done is not known.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Restarts of a server.
    pub restarts: usize,
    /// How many of them were of the leader.
    pub of_leaders: usize,
    /// In how many of those another led when the process had ended.
    pub handed_over: usize,
    /// Lookups that were answered.
    pub lookups: usize,
    /// Writes that were acknowledged.
    pub writes: usize,
    /// Writes that got an error or no answer.
    pub unanswered: usize,
    /// The longest time between two acknowledged writes.
    pub stall: Duration,
    /// What is wrong.
    pub wrong: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { restarts, of_leaders, handed_over, lookups, writes, unanswered, stall, wrong } = self;
        write!(
            formatter,
            "{restarts} restarts ({of_leaders} of leaders, {handed_over} handed over): {lookups} lookups, {writes} writes ({unanswered} more \
             without an answer), longest stall {stall:.2?}"
        )?;
        wrong.iter().try_for_each(|wrong| write!(formatter, "\nWRONG: {wrong}"))
    }
}

/// Restarts each of three servers so many times; `told` hears of each round. Writes that stand still for `stall` are wrong.
///
/// # Panics
/// The cluster does not come up, or a server does not come back.
#[must_use]
pub fn run(rounds: usize, stall: Duration, told: &dyn Fn(&str)) -> Report {
    let mut cluster = Cluster::start(3, 2);
    let service = json!({"ID": "web-1", "Name": "web", "Port": 80});
    let registered = cluster.sidecars[0].http().put("/v1/agent/service/register", &service);
    registered.unwrap_or_else(|error| panic!("web was not registered: {error}"));
    wait::until("web is known elsewhere", LIMIT, || lookup(&cluster.sidecars[1]));

    let (servers, sidecars) = (&mut cluster.servers, &cluster.sidecars);
    let (done, lookups) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut report = thread::scope(|scope| {
        let asker = scope.spawn(|| ask(&sidecars[1], &done, &lookups));
        let writer = scope.spawn(|| write(&sidecars[1].http(), &done));
        let restarted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| restart(servers, rounds, told)));
        done.store(true, Relaxed);
        let failed = asker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let mut report = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let restarted = restarted.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (report.restarts, report.of_leaders, report.handed_over) = restarted;
        report.wrong.extend(failed);
        report
    });
    report.lookups = lookups.load(Relaxed);
    if report.stall >= stall {
        report.wrong.push(format!("writes stood still for {:.2?}", report.stall));
    }
    report
}

fn restart(servers: &mut [Agent], rounds: usize, told: &dyn Fn(&str)) -> (usize, usize, usize) {
    let (mut of_leaders, mut handed_over) = (0, 0);
    for round in 1..=rounds {
        for at in 0..servers.len() {
            let other = &servers[(at + 1) % servers.len()];
            let leader = wait::until("a leader", LIMIT, || other.http().json("/v1/status/leader"));
            let leads = leader == servers[at].address(servers[at].ports.server).to_string();
            of_leaders += usize::from(leads);
            let started = Instant::now();
            let ended = servers[at].terminate();
            assert!(ended.success(), "{}: {ended}", servers[at].name);
            let down = started.elapsed();
            let next = servers[(at + 1) % servers.len()].http().json("/v1/status/leader").unwrap_or_default();
            let another = next.as_str().is_some_and(|next| !next.is_empty()) && next != leader;
            handed_over += usize::from(leads && another);
            servers[at].start();
            servers[at].wait_for_http();
            // What an operator waits for before the next: that all are voters again, and healthy.
            wait::until("all servers are healthy", LIMIT, || {
                let health = servers[at].http().json("/v1/operator/autopilot/health")?;
                let healthy = health["Healthy"] == true && health["FailureTolerance"] == 1;
                wait::ensure(healthy, || health.to_string())
            });
            let role = if leads { "leader" } else { "follower" };
            let took = started.elapsed();
            told(&format!(
                "round {round}: {} ({role}) ended in {down:.2?}, all well after {took:.2?}",
                servers[at].name
            ));
        }
    }
    (rounds * servers.len(), of_leaders, handed_over)
}

/// A lookup by HTTP and by DNS.
fn lookup(agent: &Agent) -> Result<(), String> {
    let (passing, addresses) = (agent.passing("web")?, agent.dns().addresses("web.service.consul")?);
    let found = passing == ["web-1"] && addresses.len() == 1;
    wait::ensure(found, || format!("web by HTTP {passing:?}, by DNS {addresses:?}"))
}

fn ask(agent: &Agent, done: &AtomicBool, lookups: &AtomicUsize) -> Vec<String> {
    let mut failed = Vec::new();
    while !done.load(Relaxed) && failed.len() < 10 {
        match lookup(agent) {
            Ok(()) => drop(lookups.fetch_add(1, Relaxed)),
            Err(error) => failed.push(format!("a lookup failed: {error}")),
        }
    }
    failed
}

/// Writes one key after the other until the end, and then looks whether all that was acknowledged is there.
fn write(client: &Client, done: &AtomicBool) -> Report {
    let client = client.with_time_out(ANSWER_LIMIT);
    let (mut report, mut acknowledged) = (Report::default(), BTreeSet::new());
    let mut last = Instant::now();
    for number in 0_u64.. {
        if done.load(Relaxed) {
            break;
        }
        let key = format!("rolling/{number}");
        match client.put(&format!("/v1/kv/{key}"), &Value::from(number)) {
            Ok(_) => {
                report.stall = report.stall.max(last.elapsed());
                last = Instant::now();
                acknowledged.insert(key);
            }
            Err(_) => report.unanswered += 1,
        }
    }
    report.stall = report.stall.max(last.elapsed());
    report.writes = acknowledged.len();
    let held = wait::until("the keys are read", LIMIT, || client.json("/v1/kv/rolling/?recurse&consistent"));
    let held: BTreeSet<String> = texts(&held, "/Key").into_iter().collect();
    let lost: Vec<_> = acknowledged.difference(&held).take(10).collect();
    if !lost.is_empty() {
        report.wrong.push(format!("acknowledged and not there: {lost:?}"));
    }
    report
}
