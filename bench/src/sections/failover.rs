//! kill -9 of the leader until a write at another server is acknowledged.

use std::{
    thread,
    time::{Duration, Instant},
};

use lictor_tests::cluster::Cluster;

use super::{Effort, cluster};
use crate::{
    figure::{Figure, quantile},
    registry,
};

/// Longest time for one try. It is answered sooner if it can be.
const TRY_LIMIT: Duration = Duration::from_secs(5);
/// Between two tries.
const TRY_EVERY: Duration = Duration::from_millis(10);
/// After that long the section has failed.
const LIMIT: Duration = Duration::from_secs(30);

/// Measures.
pub fn run(effort: Effort, give: &mut dyn FnMut(Figure)) {
    let mut cluster = cluster();
    let times: Vec<f64> = (1..=effort.choose(2, 5)).map(|round| fail_over(&mut cluster, round)).collect();
    let all: Vec<String> = times.iter().map(|time| format!("{time:.2}")).collect();
    let figure = Figure::new("killed until writes work", quantile(&times, 0.5), "s").at_most(2.0);
    give(figure.noted(format!("all: {} s", all.join(", "))));
}

fn fail_over(cluster: &mut Cluster, round: usize) -> f64 {
    let leader = cluster.leader();
    let other = cluster.servers[(leader + 1) % cluster.servers.len()].http().with_time_out(TRY_LIMIT);
    let instance = registry::instance("web", 0, registry::PORT + round);
    let start = Instant::now();
    cluster.servers[leader].kill();
    while let Err(error) = other.put("/v1/catalog/register", &instance) {
        assert!(start.elapsed() < LIMIT, "no write after {LIMIT:?}: {error}");
        thread::sleep(TRY_EVERY);
    }
    let time = start.elapsed().as_secs_f64();
    cluster.servers[leader].start();
    cluster.wait_until_complete();
    time
}
