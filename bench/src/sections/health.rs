//! How many answers about a service's health a sidecar gives, by mode and by the number of instances, and the same HTTP
//! library with a ready answer of the same length.

use super::{Effort, RUN_SECONDS, asked, cluster, files, throughput};
use crate::{
    figure::Figure,
    floor::{Floor, Running},
    load::wrk::Requests,
    processor::Processes,
    registry,
};

/// By the number of instances, for the mode `stale`.
const BUDGETS: [(usize, f64); 2] = [(1, 90_000.0), (100, 50_000.0)];
const CALLERS: usize = 32;
/// What is asked: the mode's name, its parameter, and a header.
const MODES: [(&str, &str, &str); 5] = [
    ("stale", "&stale", ""),
    ("cached", "&cached", ""),
    ("default", "", ""),
    ("consistent", "&consistent", ""),
    ("stale, gzip", "&stale", "Accept-Encoding: gzip"),
];

/// Measures.
pub fn run(effort: Effort, give: &mut dyn FnMut(Figure)) {
    let sizes = effort.choose(&[1, 100][..], &[1, 10, 100][..]);
    let services: Vec<(String, usize)> = sizes.iter().map(|size| (format!("web{size}"), *size)).collect();
    let cluster = cluster();
    registry::fill(&cluster, &services);
    let (directory, processes, agent) = (files(&cluster), Processes::of(&cluster), asked(&cluster));
    for (mode, parameter, header) in MODES {
        for (service, instances) in &services {
            let path = format!("/v1/health/service/{service}?passing{parameter}");
            let headers: Vec<(&str, &str)> = header.split_once(": ").into_iter().collect();
            let answer = agent.http().send("GET", &path, &headers, b"");
            let length = answer.unwrap_or_else(|error| panic!("{error}")).body.len();
            let requests = Requests { path: &path, header, script: "", callers: CALLERS };
            let (work, note) = throughput(effort, &processes, agent.ports.http, requests, RUN_SECONDS, &directory);
            let figure = Figure::new(format!("{mode}, {instances} inst."), work.per_cpu_second(), "/CPU-s");
            let budget = BUDGETS.iter().find(|(size, _)| mode == "stale" && size == instances);
            let figure = budget.map_or(figure.clone(), |(_, least)| figure.at_least(*least));
            let yardstick = (parameter == "&stale").then(|| {
                let floor = Running::start(Floor::Http(length), &directory);
                let (work, _) = throughput(effort, &floor.processes(), floor.port, requests, RUN_SECONDS, &directory);
                work.per_cpu_second()
            });
            give(Figure { yardstick, ..figure.noted(format!("{length} bytes; {note}")) });
        }
    }
}
