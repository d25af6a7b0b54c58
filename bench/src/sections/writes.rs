//! Writes through a sidecar, durable on three servers, each of which changes something: registrations, keys, transactions.

use lictor_tests::cluster::Cluster;

use super::{Effort, asked, files, throughput};
use crate::{figure::Figure, load::wrk::Requests, processor::Processes};

/// More connections than one address may have by default.
const LIMITS: &str = "-hcl=limits { http_max_conns_per_client = 1000 }";
/// Long enough for a few hundred fsyncs.
const SECONDS: u64 = 2;
/// Numbers that begin anew in each run, so that each run writes something else.
const COUNT: &str = "local count = os.time() % 1000 * 7\n";
/// A thousand instances on a hundred hosts, each with another port every time.
const REGISTRATION: &str = r#"
request = function()
  count = count + 1
  local id = count % 1000
  local body = string.format(
    '{"Node":"host-%d","Address":"10.9.0.%d","Service":{"ID":"web-%d","Service":"web-%d","Port":%d}}',
    id % 100, id % 100 + 1, id, id % 50, count % 60000 + 1)
  return wrk.format("PUT", "/v1/catalog/register", nil, body)
end
"#;
/// A hundred bytes under one of a thousand keys.
const PUT: &str = r#"
request = function()
  count = count + 1
  return wrk.format("PUT", "/v1/kv/bench/" .. count % 1000, nil, string.rep("v", 90) .. string.format("%010d", count))
end
"#;
/// Eight such keys at once.
const TRANSACTION: &str = r#"
request = function()
  local operations = {}
  for place = 1, 8 do
    count = count + 1
    operations[place] = string.format(
      '{"KV":{"Verb":"set","Key":"bench/%d","Value":"%s"}}', count % 1000, string.rep("dmFs", 33))
  end
  return wrk.format("PUT", "/v1/txn", nil, "[" .. table.concat(operations, ",") .. "]")
end
"#;
/// What is written, by how many callers, and the least that it should reach.
const LOADS: [(&str, &str, usize, Option<f64>); 7] = [
    ("registrations", REGISTRATION, 64, Some(8_000.0)),
    ("registrations", REGISTRATION, 1, None),
    ("keys of 100 bytes", PUT, 64, Some(10_000.0)),
    ("keys of 100 bytes", PUT, 256, None),
    ("keys of 100 bytes", PUT, 1, None),
    ("transactions of 8 keys", TRANSACTION, 64, None),
    ("transactions of 8 keys", TRANSACTION, 1, None),
];

/// Measures.
pub fn run(effort: Effort, give: &mut dyn FnMut(Figure)) {
    let cluster = Cluster::start_with(3, 2, |agent| agent.argument(LIMITS));
    let (directory, processes, port) = (files(&cluster), Processes::of(&cluster), asked(&cluster).ports.http);
    for (what, lines, callers, budget) in LOADS {
        let script = format!("{COUNT}{lines}");
        let requests = Requests { path: "/", header: "", script: &script, callers };
        let (work, note) = throughput(effort, &processes, port, requests, SECONDS, &directory);
        let name = if callers == 1 { "one caller".to_owned() } else { format!("{callers} callers") };
        let figure = Figure::new(format!("{what}, {name}"), work.per_cpu_second(), "/CPU-s");
        let figure = budget.map_or(figure.clone(), |least| figure.at_least(least));
        give(figure.noted(note));
    }
}
