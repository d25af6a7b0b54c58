//! One change to a thousand and to ten thousand HTTP callers that are blocked at one sidecar.

use std::{thread, time::Instant};

use lictor_tests::cluster::Cluster;

use super::{Effort, asked};
use crate::{
    figure::{Figure, quantile},
    load::callers::Callers,
    processor::Processes,
    registry,
};

/// The callers all come from one address.
const LIMITS: &str = "-hcl=limits { http_max_conns_per_client = 16000 }";
/// How many callers, and within how many milliseconds the last one has the change.
const SIZES: [(usize, Option<f64>); 2] = [(1000, Some(50.0)), (10_000, None)];

/// Measures.
pub fn run(effort: Effort, give: &mut dyn FnMut(Figure)) {
    let cluster = Cluster::start_with(3, 2, |agent| agent.argument(LIMITS));
    registry::fill(&cluster, &[("web".into(), 1)]);
    let (processes, port) = (Processes::of(&cluster), asked(&cluster).ports.http);
    for (count, budget) in SIZES {
        let mut callers = Callers::connect(port, (0..count).map(|_| "/v1/health/service/web?passing&stale".into()));
        callers.ask_all();
        // Their first answers tell them the index to wait from.
        let _ = callers.all_answered();
        let rounds: Vec<Vec<f64>> = (1..=effort.runs())
            .map(|round| {
                callers.ask_all();
                processes.rest();
                let instance = registry::instance("web", 0, registry::PORT + count + round);
                let client = cluster.servers[0].http();
                let start = Instant::now();
                let change = thread::spawn(move || registry::register(client, &instance));
                let times = callers.all_answered();
                change.join().unwrap_or_else(|_| panic!("the change was refused"));
                times.iter().map(|time| (*time - start).as_secs_f64() * 1000.0).collect()
            })
            .collect();
        let middle = |share: f64| quantile(&rounds.iter().map(|times| quantile(times, share)).collect::<Vec<_>>(), 0.5);
        let figure = Figure::new(format!("last of {count} callers"), middle(1.0), "ms");
        let figure = budget.map_or(figure.clone(), |most| figure.at_most(most));
        give(figure.noted(format!(
            "first {:.1} ms, median {:.1} ms, from the PUT at a server",
            middle(0.0),
            middle(0.5)
        )));
    }
}
