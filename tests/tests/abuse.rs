//! An agent that is abused, and one that has few descriptors. In full: `tests/src/bin/abuse.rs`.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test, also where it is not in a test function")]

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::{Duration, Instant},
};

use lictor_tests::{
    abuse::{Plan, run, source::connect_from},
    agent::Agent,
    turn, wait,
};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// Longest time until an agent has recovered.
const LIMIT: Duration = Duration::from_secs(20);
const FEW: u64 = 256;

#[test]
fn another_client_is_answered_meanwhile_and_nothing_is_left() {
    let plan = Plan { names: 40_000, median: Duration::from_millis(100), growth: 50 << 20 };
    let wrong = run(plan, &|line| eprintln!("{line}"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Connects from many addresses, as often as it goes.
fn crowd(agent: &Agent, count: u8) -> Vec<TcpStream> {
    let target = agent.address(agent.ports.http);
    (0..count).filter_map(|number| connect_from(Ipv4Addr::new(127, 0, 10, number), target).ok()).collect()
}

/// What it says at once to one who asks, if it does.
fn status(stream: &mut TcpStream) -> Option<u16> {
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    stream.write_all(b"GET /v1/status/leader HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).ok()?;
    std::str::from_utf8(&answer[9..]).ok()?.parse().ok()
}

fn is_served(agent: &Agent) -> Result<(), String> {
    wait::ensure(agent.http().json("/v1/status/leader")?.is_string(), || "no leader".into())
}

#[test]
fn with_few_descriptors_it_refuses_and_recovers() {
    let _turn = turn::take();
    let agent = Agent::dev("narrow").with_config_directory().with_descriptors(FEW);
    let service = r#"{"service": {"name": "web", "port": 80,
        "check": {"http": "http://127.0.0.1:HTTP/v1/status/leader", "interval": "1s"}}}"#;
    agent.write_file("web.json", &service.replace("HTTP", &agent.ports.http.to_string()));
    let agent = agent.started();
    let mut held = crowd(&agent, 250);
    let statuses: Vec<_> = held.iter_mut().map(status).collect();
    let served = statuses.iter().filter(|status| **status == Some(200)).count();
    assert!((40..200).contains(&served), "{served} are served: {statuses:?}");
    assert!(statuses.contains(&Some(503)), "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, None | Some(200 | 429 | 503))), "{statuses:?}");
    agent.dns().ports("web.service.consul").unwrap();
    let open = agent.descriptors();
    assert!((open as u64) < FEW - 20, "{open} descriptors leave none for the agent itself");
    drop(held);
    wait::until("it serves again", LIMIT, || is_served(&agent));
    wait::until("its check passes", LIMIT, || {
        wait::ensure(agent.passing("web")? == ["web"], || "the check does not pass".into())
    });
}

/// The seconds that a process was on a processor.
fn processor_seconds(agent: &Agent) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", agent.pid())).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap());
    ticks.sum::<f64>() / 100.0
}

#[test]
fn without_any_descriptor_it_waits_without_spinning() {
    let _turn = turn::take();
    let agent = Agent::dev("none").started();
    let pid = Pid::from_raw(i32::try_from(agent.pid()).unwrap());
    let usual = prlimit(pid, Resource::Nofile, Rlimit { current: Some(10), maximum: Some(1024) }).unwrap();
    let held: Vec<TcpStream> = [agent.ports.http, agent.ports.grpc, agent.ports.server, agent.ports.dns]
        .iter()
        .flat_map(|port| (0..5).map(|_| connect_from(Ipv4Addr::new(127, 0, 11, 1), agent.address(*port)).unwrap()))
        .collect();
    let (began, before) = (Instant::now(), processor_seconds(&agent));
    wait::hold("DNS is answered", Duration::from_secs(3), || agent.dns().ports("web.service.consul").map(drop));
    let busy = (processor_seconds(&agent) - before) / began.elapsed().as_secs_f64();
    assert!(busy < 0.5, "it is busy with nothing: {busy:.2} processors");
    let raised = Rlimit { current: Some(1024), ..usual };
    prlimit(pid, Resource::Nofile, Rlimit { maximum: Some(1024), ..raised }).unwrap();
    drop(held);
    wait::until("it serves again", LIMIT, || is_served(&agent));
}
