//! From a PUT at one server until the DNS of another host shows it.

use std::{
    thread,
    time::{Duration, Instant},
};

use lictor_tests::{dns, wait};
use serde_json::json;

use super::{Effort, asked, cluster};
use crate::figure::{Figure, quantile};

/// Time between two questions.
const ASK_EVERY: Duration = Duration::from_micros(100);
/// Longest time for one registration.
const LIMIT: Duration = Duration::from_secs(10);

/// Measures.
pub fn run(effort: Effort, give: &mut dyn FnMut(Figure)) {
    let cluster = cluster();
    let (server, sidecar) = (&cluster.servers[0], asked(&cluster));
    let count = effort.choose(30_u16, 200);
    let times: Vec<f64> = (1..=count)
        .map(|number| {
            let service = json!({"Name": format!("service-{number}"), "Port": number});
            let name = format!("service-{number}.service.consul");
            let start = Instant::now();
            thread::scope(|scope| {
                let seen = scope.spawn(|| wait_for_name(sidecar.dns(), &name, number));
                let put = server.http().put("/v1/agent/service/register", &service);
                put.unwrap_or_else(|error| panic!("{error}"));
                let seen = seen.join().unwrap_or_else(|_| panic!("{name} was not seen"));
                (seen - start).as_secs_f64() * 1000.0
            })
        })
        .collect();
    let at = if cluster.leader() == 0 { "the leader" } else { "a follower" };
    let note = format!("{count} registrations at {at}, asked every {ASK_EVERY:?}");
    give(Figure::new("p50", quantile(&times, 0.5), "ms").at_most(3.0).noted(note));
    give(Figure::new("p99", quantile(&times, 0.99), "ms"));
    give(Figure::new("max", quantile(&times, 1.0), "ms").at_most(20.0));
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
