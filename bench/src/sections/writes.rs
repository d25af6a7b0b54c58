//! Registrations through a sidecar, each of which changes something: 64 callers at once, and one alone.

use super::{Effort, asked, cluster, files};
use crate::{
    figure::Figure,
    load::wrk::{self, Requests},
    processor::{Processes, Work},
};

const CALLERS: usize = 64;
const PATH: &str = "/v1/catalog/register";
/// Long enough for a few hundred fsyncs.
const SECONDS: u64 = 2;
/// A thousand instances on a hundred hosts, each with another port every time.
const SCRIPT: &str = r#"
local count = os.time() % 1000 * 7
request = function()
  count = count + 1
  local id = count % 1000
  local body = string.format(
    '{"Node":"host-%d","Address":"10.9.0.%d","Service":{"ID":"web-%d","Service":"web-%d","Port":%d}}',
    id % 100, id % 100 + 1, id, id % 50, count % 60000 + 1)
  return wrk.format("PUT", nil, nil, body)
end
"#;

/// Measures.
pub fn run(effort: Effort, give: &mut dyn FnMut(Figure)) {
    let cluster = cluster();
    let (directory, processes, port) = (files(&cluster), Processes::of(&cluster), asked(&cluster).ports.http);
    for (what, callers, budget) in [("64 callers", CALLERS, Some(8000.0)), ("one caller", 1, None)] {
        let requests = Requests { path: PATH, header: "", script: SCRIPT, callers };
        processes.rest();
        let mut latency = Vec::new();
        let runs = (0..effort.runs()).map(|_| {
            processes.during(|| {
                let answers = wrk::run(port, requests, SECONDS, &directory);
                latency.push((answers.p50_ms, answers.p99_ms));
                answers.count
            })
        });
        let work = Work::median(runs.collect());
        let (p50, p99) = latency[latency.len() / 2];
        let figure = Figure::new(format!("registrations, {what}"), work.per_cpu_second(), "/CPU-s");
        let figure = budget.map_or(figure.clone(), |least| figure.at_least(least));
        give(figure.noted(format!("{:.0}/s; p50 {p50:.1} ms, p99 {p99:.1} ms; {}", work.per_second(), work.shares())));
    }
}
