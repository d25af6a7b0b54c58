//! What 1,000 services cost their sidecar when each has a check every 10 s, half HTTP, half TCP: its share of one core,
//! and how far the runs of a check are from their schedule: after many runs a check still begins where it began at
//! first.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use lictor_tests::{cluster::Cluster, wait};
use serde_json::json;

use super::Effort;
use crate::{
    figure::{Figure, quantile},
    processor::Processes,
};

const SERVICES: usize = 1000;
const INTERVAL: Duration = Duration::from_secs(10);
/// When each check ran, by its number.
type Runs = Arc<Mutex<HashMap<usize, Vec<Instant>>>>;

/// Measures.
pub fn run(effort: Effort, give: &mut dyn FnMut(Figure)) {
    let runs = Runs::default();
    let cluster = Cluster::start(1, 2);
    // The slim one, as elsewhere.
    let sidecar = &cluster.sidecars[1];
    let http = http_target(&runs);
    for number in 0..SERVICES {
        let mut check = json!({"Interval": format!("{}s", INTERVAL.as_secs()), "Timeout": "5s"});
        if number % 2 == 0 {
            check["HTTP"] = format!("http://{http}/{number}").into();
        } else {
            check["TCP"] = tcp_target(number, &runs).into();
        }
        let service = json!({"Name": format!("service-{number}"), "Port": 80, "Check": check});
        sidecar.http().put("/v1/agent/service/register", &service).unwrap_or_else(|error| panic!("{error}"));
    }
    wait::until("every check has run", 3 * INTERVAL, || {
        let seen = locked(&runs).len();
        wait::ensure(seen == SERVICES, || format!("{seen} of {SERVICES} have"))
    });
    let work = Processes::one("sidecar", sidecar.pid()).during(|| {
        thread::sleep(INTERVAL * effort.choose(1, 3));
        0.0
    });
    give(Figure::new("the sidecar", work.share() * 100.0, "% of a core").at_most(5.0));
    let off = off_schedule(&locked(&runs));
    let figure = Figure::new("off its schedule, p99", quantile(&off, 0.99), "ms");
    give(figure.noted(format!("p50 {:.2} ms, max {:.2} ms", quantile(&off, 0.5), quantile(&off, 1.0))));
}

fn locked(runs: &Runs) -> MutexGuard<'_, HashMap<usize, Vec<Instant>>> {
    runs.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ran(runs: &Runs, number: usize) {
    locked(runs).entry(number).or_default().push(Instant::now());
}

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap_or_else(|error| panic!("a listener: {error}"));
    let address = listener.local_addr().unwrap_or_else(|error| panic!("its address: {error}"));
    (listener, address.to_string())
}

/// Answers `GET /NUMBER` with 200; returns its address.
fn http_target(runs: &Runs) -> String {
    let ((listener, address), runs) = (listener(), runs.clone());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap_or_default();
            let path = String::from_utf8_lossy(&request[..length]);
            let path = path.split(' ').nth(1).and_then(|path| path.strip_prefix('/')?.parse().ok());
            if let Some(number) = path {
                ran(&runs, number);
            }
            // A check that does not read its answer shows as critical, and not here.
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    address
}

/// Accepts connections of one check; returns its address.
fn tcp_target(number: usize, runs: &Runs) -> String {
    let ((listener, address), runs) = (listener(), runs.clone());
    thread::spawn(move || listener.incoming().flatten().for_each(|_| ran(&runs, number)));
    address
}

/// How far the last run of each check was from the schedule that the first one has set, in milliseconds.
fn off_schedule(runs: &HashMap<usize, Vec<Instant>>) -> Vec<f64> {
    let off = |first: Instant, run: Instant| {
        let late = (run - first).as_secs_f64() % INTERVAL.as_secs_f64();
        late.min(INTERVAL.as_secs_f64() - late) * 1000.0
    };
    runs.values().filter_map(|runs| Some(off(*runs.first()?, *runs.last()?))).collect()
}
