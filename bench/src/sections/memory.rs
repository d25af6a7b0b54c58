//! What agents hold of memory, idle and with 10,000 instances, and how large the slim sidecar is on disk.

use std::{thread, time::Duration};

use lictor_tests::{agent::Agent, binary};

use super::{Effort, cluster};
use crate::{
    figure::Figure,
    footprint::{Memory, memory, stripped_mb},
    processor::Processes,
    registry,
};

const SERVICES: usize = 100;
const INSTANCES: usize = 100;
/// How long an agent that is at rest is given to return what it needs no longer.
const SETTLE: Duration = Duration::from_secs(2);

/// Measures.
pub fn run(_: Effort, give: &mut dyn FnMut(Figure)) {
    let cluster = cluster();
    let processes = Processes::of(&cluster);
    let rest = || {
        processes.rest();
        thread::sleep(SETTLE);
    };
    rest();
    sidecars("idle", &cluster.sidecars, 10.0, give);
    let services: Vec<(String, usize)> = (0..SERVICES).map(|number| (format!("service-{number}"), INSTANCES)).collect();
    registry::fill(&cluster, &services);
    rest();
    sidecars("10,000 instances", &cluster.sidecars, 25.0, give);
    let servers: Vec<Memory> = cluster.servers.iter().map(|server| memory(server.pid())).collect();
    let largest = servers.iter().map(|memory| memory.resident_mib).fold(0.0, f64::max);
    let each: Vec<String> = servers.iter().map(note).collect();
    give(Figure::new("largest server, 10,000 instances", largest, "MiB").at_most(60.0).noted(each.join("; ")));
    let size = stripped_mb(&binary::path("lictor-sidecar"));
    give(Figure::new("slim sidecar binary, stripped", size, "MB").at_most(12.0));
}

fn sidecars(state: &str, sidecars: &[Agent], most_mib: f64, give: &mut dyn FnMut(Figure)) {
    for (sidecar, binary) in sidecars.iter().zip(["lictor agent", "slim sidecar"]) {
        let memory = memory(sidecar.pid());
        let figure = Figure::new(format!("{binary}, {state}"), memory.resident_mib, "MiB");
        give(figure.at_most(most_mib).noted(note(&memory)));
    }
}

fn note(memory: &Memory) -> String {
    format!("RSS {:.1}, PSS {:.1}", memory.resident_mib, memory.proportional_mib)
}
