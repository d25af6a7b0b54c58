//! Measures the time from a PUT at one server until another host's DNS shows it, over 100 registrations.
//!
//! `cargo run --release -p lictor-tests --bin propagation` prints the median and the maximum. The budget is 3 ms and
//! 20 ms. It is a measurement and not a test: a figure depends on the machine and on what else it does.

#![allow(clippy::print_stdout, reason = "a measurement prints its result")]

use std::{
    thread,
    time::{Duration, Instant},
};

use lictor_tests::{cluster::Cluster, dns, wait};
use serde_json::json;

const REGISTRATIONS: u16 = 100;
/// Time between two questions.
const ASK_EVERY: Duration = Duration::from_micros(100);
/// Longest time for one registration.
const LIMIT: Duration = Duration::from_secs(10);

fn main() {
    let cluster = Cluster::start(3, 2);
    let (server, sidecar) = (&cluster.servers[0], &cluster.sidecars[1]);
    let led_by = cluster.leader() + 1;
    println!("3 servers, 2 sidecars; PUT at server-1 (the leader is server-{led_by}), DNS at sidecar-2");
    let mut times: Vec<Duration> = (1..=REGISTRATIONS)
        .map(|number| {
            let service = json!({"Name": format!("service-{number}"), "Port": number});
            let name = format!("service-{number}.service.consul");
            let start = Instant::now();
            thread::scope(|scope| {
                let seen = scope.spawn(|| wait_for_name(sidecar.dns(), &name, number));
                let put = server.http().put("/v1/agent/service/register", &service);
                put.unwrap_or_else(|error| panic!("{error}"));
                let seen = seen.join().unwrap_or_else(|_| panic!("{name} was not seen"));
                seen - start
            })
        })
        .collect();
    times.sort_unstable();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let (median, most) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{REGISTRATIONS} registrations: p50 {:.2} ms, max {:.2} ms", milliseconds(median), milliseconds(most));
}

/// When `name` was first answered with `port`.
fn wait_for_name(dns: dns::Client, name: &str, port: u16) -> Instant {
    let start = Instant::now();
    loop {
        let found = dns.ports(name);
        if found.as_ref().is_ok_and(|ports| ports == &[port]) {
            return Instant::now();
        }
        let still = wait::ensure(start.elapsed() < LIMIT, || format!("{name}: {found:?}"));
        still.unwrap_or_else(|error| panic!("{error}"));
        thread::sleep(ASK_EVERY);
    }
}
