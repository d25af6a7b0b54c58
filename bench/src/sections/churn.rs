//! A hundred changes a second over a thousand services, while two hundred watchers hold blocking queries at a sidecar.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use lictor_tests::cluster::Cluster;

use super::{Effort, asked};
use crate::{figure::Figure, load::callers::Callers, processor::Processes, registry};

const SERVICES: usize = 1000;
const WATCHERS: usize = 200;
const CHANGES_PER_SECOND: u32 = 100;
/// The watchers all come from one address.
const LIMITS: &str = "-hcl=limits { http_max_conns_per_client = 1000 }";
/// Those that make the changes: a write waits for disks, and must not make the next one late.
const WRITERS: usize = 4;

/// Measures.
pub fn run(effort: Effort, give: &mut dyn FnMut(Figure)) {
    let cluster = Cluster::start_with(3, 2, |agent| agent.argument(LIMITS));
    let services: Vec<(String, usize)> = (0..SERVICES).map(|number| (format!("service-{number}"), 1)).collect();
    registry::fill(&cluster, &services);
    let (processes, sidecar) = (Processes::of(&cluster), asked(&cluster));
    let paths = (0..WATCHERS).map(|number| {
        let service = number * SERVICES / WATCHERS;
        format!("/v1/health/service/service-{service}?passing&stale")
    });
    let mut callers = Callers::connect(sidecar.ports.http, paths);
    callers.ask_all();
    let _ = callers.all_answered();
    callers.ask_all();
    processes.rest();
    let seconds = effort.choose(5, 10);
    let mut answers = 0;
    let work = processes.during(|| watched(&cluster, &mut callers, seconds, &mut answers));
    let rate = work.per_second();
    let note =
        format!("{rate:.0} changes/s made, {:.0} answers/s to watchers", f64::from(answers) / f64::from(seconds));
    let share = |prefix: &str| work.share_of(prefix) * 100.0;
    give(Figure::new("the sidecar asked", share(&sidecar.name), "% of a core").at_most(15.0).noted(note));
    give(Figure::new("a sidecar without watchers", share(&cluster.sidecars[0].name), "% of a core"));
    give(Figure::new("three servers together", share("server-"), "% of a core"));
}

/// Changes services for some seconds while the callers watch; how many changes were made.
fn watched(cluster: &Cluster, callers: &mut Callers, seconds: u32, answers: &mut u32) -> f64 {
    let (is_done, start) = (AtomicBool::new(false), Instant::now());
    let count = (CHANGES_PER_SECOND * seconds) as usize;
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let client = cluster.servers[0].http();
                scope.spawn(move || {
                    for number in (writer..count).step_by(WRITERS) {
                        let due = Duration::from_secs(1) * number as u32 / CHANGES_PER_SECOND;
                        thread::sleep(due.saturating_sub(start.elapsed()));
                        let (service, port) = (format!("service-{}", number % SERVICES), registry::PORT + 1 + number);
                        registry::register(client, &registry::instance(&service, 0, port));
                    }
                })
            })
            .collect();
        let is_done = &is_done;
        scope.spawn(move || {
            let failed = writers.into_iter().map(|writer| writer.join()).any(|joined| joined.is_err());
            is_done.store(true, Ordering::Relaxed);
            assert!(!failed, "a change was refused");
        });
        let mut ready = Vec::new();
        while !is_done.load(Ordering::Relaxed) {
            callers.answered(Duration::from_millis(50), |number| ready.push(number));
            for number in ready.drain(..) {
                *answers += 1;
                callers.ask(number);
            }
        }
    });
    count as f64
}
