//! How fast one key is read, by mode, at a server and at a sidecar, which holds no keys and has a server answer.

use std::time::{Duration, Instant};

use super::{Effort, RUN_SECONDS, asked, cluster, files, throughput};
use crate::{figure::Figure, load::wrk::Requests, processor::Processes};

const CALLERS: usize = 32;
/// How long the servers may take until the key can be read.
const LIMIT: Duration = Duration::from_secs(10);
const MODES: [(&str, &str); 3] = [("stale", "?stale"), ("default", ""), ("consistent", "?consistent")];

/// Measures.
pub fn run(effort: Effort, give: &mut dyn FnMut(Figure)) {
    let cluster = cluster();
    let (directory, processes) = (files(&cluster), Processes::of(&cluster));
    let sidecar = asked(&cluster);
    let put = sidecar.http().send("PUT", "/v1/kv/bench", &[], &[b'v'; 100]);
    assert!(put.is_ok_and(|answer| answer.status == 200), "the key cannot be written");
    for (place, agent) in [("a server", &cluster.servers[0]), ("a sidecar", sidecar)] {
        let since = Instant::now();
        while agent.http().get("/v1/kv/bench?stale").is_ok_and(|answer| answer.status != 200) {
            assert!(since.elapsed() < LIMIT, "{place} does not have the key");
        }
        for (mode, parameter) in MODES {
            let path = format!("/v1/kv/bench{parameter}");
            let requests = Requests { path: &path, header: "", script: "", callers: CALLERS };
            let (work, note) = throughput(effort, &processes, agent.ports.http, requests, RUN_SECONDS, &directory);
            give(Figure::new(format!("{mode}, at {place}"), work.per_cpu_second(), "/CPU-s").noted(note));
        }
    }
}
