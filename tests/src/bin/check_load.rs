//! Measures what 1,000 services cost their sidecar when each has a check every 10 s, half HTTP, half TCP: its share of
//! one core, and how far the runs of a check are from their schedule.
//!
//! `cargo run --release -p lictor-tests --bin check_load` prints both. The budget is 5 % of one core and no drift: after
//! many runs a check still begins where it began at first. It is a measurement and not a test: a figure depends on the
//! machine and on what else it does.

#![allow(clippy::print_stdout, reason = "a measurement prints its result")]

use std::{
    collections::HashMap,
    fs,
    io::{Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use lictor_tests::{cluster::Cluster, wait};
use serde_json::json;

const SERVICES: usize = 1000;
const INTERVAL: Duration = Duration::from_secs(10);
/// How long is measured.
const MEASURED: Duration = Duration::from_secs(60);
/// The unit of processor times in `/proc`, as Linux shows it to programs whatever the kernel's own is.
const TICK: Duration = Duration::from_millis(10);

/// When each check ran, by its number.
type Runs = Arc<Mutex<HashMap<usize, Vec<Instant>>>>;

fn main() {
    let runs = Runs::default();
    let cluster = Cluster::start(1, 1);
    let sidecar = &cluster.sidecars[0];
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
    println!("{SERVICES} services on one sidecar, a check each every {INTERVAL:?}");
    wait::until("every check has run", 3 * INTERVAL, || {
        let seen = locked(&runs).len();
        wait::ensure(seen == SERVICES, || format!("{seen} of {SERVICES} have"))
    });
    let (before, start) = (processor_time(sidecar.pid()), Instant::now());
    thread::sleep(MEASURED);
    let (used, elapsed) = (processor_time(sidecar.pid()) - before, start.elapsed());
    println!("processor: {:.2} % of one core over {elapsed:.0?}", 100.0 * used.as_secs_f64() / elapsed.as_secs_f64());
    report(&locked(&runs));
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

/// What a process has used of all processors, from `/proc/PID/stat`.
fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_else(|error| panic!("{pid}: {error}"));
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    // The first field here is the third of proc_pid_stat(5); utime and stime are the 14th and 15th.
    after_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u32>().ok()).map(|ticks| ticks * TICK).sum()
}

/// Prints how far runs were from the schedule that the first one has set.
fn report(runs: &HashMap<usize, Vec<Instant>>) {
    let off = |first: Instant, run: Instant| {
        let late = (run - first).as_secs_f64() % INTERVAL.as_secs_f64();
        late.min(INTERVAL.as_secs_f64() - late) * 1000.0
    };
    let mut off: Vec<f64> = runs.values().filter_map(|runs| Some(off(*runs.first()?, *runs.last()?))).collect();
    off.sort_by(f64::total_cmp);
    let counts: Vec<usize> = runs.values().map(Vec::len).collect();
    let (fewest, most) = (counts.iter().min().unwrap_or(&0), counts.iter().max().unwrap_or(&0));
    let at = |share: f64| off[((off.len() - 1) as f64 * share) as usize];
    println!("runs of a check: {fewest} to {most}; the last one is off the first one's schedule by");
    println!("p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms", at(0.5), at(0.99), at(1.0));
}
