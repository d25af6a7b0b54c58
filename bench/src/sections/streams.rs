//! One change to the streams of a thousand sidecars at one server, and many changes to all of them.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{Effort, cluster};
use crate::{
    figure::{Figure, quantile},
    load::streams::Streams,
    processor::{Processes, Work},
    registry,
};

const STREAMS: usize = 1000;
/// Changes a second while many are made.
const CHANGES_PER_SECOND: u32 = 50;

/// Measures.
pub fn run(effort: Effort, give: &mut dyn FnMut(Figure)) {
    let cluster = cluster();
    registry::fill(&cluster, &[("web".into(), 1)]);
    let server = &cluster.servers[0];
    let processes = Processes::one("server-1", server.pid());
    let streams = Streams::open(server.ports.server, STREAMS);
    processes.rest();
    let idle = processes.during(|| {
        thread::sleep(Duration::from_secs(2));
        0.0
    });
    give(Figure::new("server with 1,000 idle streams", idle.share() * 100.0, "% of a core"));
    let mut port = registry::PORT;
    let mut change = || {
        port += 1;
        registry::register(server.http(), &registry::instance("web", 0, port));
    };
    let rounds: Vec<Vec<f64>> = (0..effort.choose(3, 9))
        .map(|_| {
            let start = Instant::now();
            let times = streams.times_of(&mut change);
            times.iter().map(|time| (*time - start).as_secs_f64() * 1000.0).collect()
        })
        .collect();
    let middle = |share: f64| quantile(&rounds.iter().map(|times| quantile(times, share)).collect::<Vec<_>>(), 0.5);
    let figure = Figure::new("last of 1,000 streams", middle(1.0), "ms").at_most(50.0);
    give(figure.noted(format!(
        "first {:.1} ms, median {:.1} ms, from the PUT at that server",
        middle(0.0),
        middle(0.5)
    )));
    let runs = (0..effort.runs()).map(|_| {
        processes.during(|| {
            let before = streams.changes();
            many(&mut change);
            (streams.changes() - before) as f64
        })
    });
    let work = Work::median(runs.collect());
    let figure = Figure::new("changes sent by that server", work.per_cpu_second(), "/CPU-s");
    give(figure.noted(format!("{CHANGES_PER_SECOND} changes a second, {:.0} % of a core", work.share() * 100.0)));
}

/// Makes changes for two seconds, evenly.
fn many(change: &mut impl FnMut()) {
    let start = Instant::now();
    for number in 0..2 * CHANGES_PER_SECOND {
        let due = Duration::from_secs(1) * number / CHANGES_PER_SECOND;
        thread::sleep(due.saturating_sub(start.elapsed()));
        change();
    }
}
