//! What access control costs: the same questions, at a sidecar whose callers show a token that allows just that, and at one
//! without access control. Both run at the same time and are asked in turn; the figure is that with, beside it that without.

use lictor_tests::{agent::Agent, turn};
use serde_json::{Value, json};

use super::{Effort, RUN_SECONDS, throughput};
use crate::{
    figure::Figure,
    load::{
        dnsperf::{self, Question},
        wrk::Requests,
    },
    processor::{Processes, Work},
    registry,
};

/// It may take so much of a read's budget.
const SHARE_LEFT: f64 = 0.9;
const MANAGEMENT: &str = "7e1d1e4f-0000-4000-8000-000000000001";
const READER: &str = "7e1d1e4f-0000-4000-8000-000000000002";
/// What a caller has: rules enough to be looked through, and rights to part of the registry only.
const RULES: &str = r#"service "web" { policy = "read" } service_prefix "web-" { policy = "read" }
    service "db" { policy = "deny" } node_prefix "" { policy = "read" } key_prefix "bench/" { policy = "write" }"#;
/// A run at a time.
const ONCE: Effort = Effort { is_quick: true };
const CALLERS: usize = 32;

/// A server and a sidecar.
struct Pair {
    server: Agent,
    sidecar: Agent,
}

impl Pair {
    fn start(name: &str, configure: impl Fn(Agent) -> Agent) -> Self {
        let server = configure(Agent::server(&format!("{name}-server"), 1)).started();
        let sidecar = Agent::slim_sidecar(&format!("{name}-host")).joining([&server.ports]);
        let sidecar = configure(sidecar).started();
        let node = |number: u32| format!("{name}-{number}");
        for number in 0..100 {
            let service = json!({"Service": "web", "ID": "web", "Port": 80});
            let body = json!({"Node": node(number), "Address": format!("10.1.0.{number}"), "Service": service});
            registry::register(server.http(), &body);
        }
        registry::wait_for(&sidecar, "web", 100);
        Self { server, sidecar }
    }

    fn processes(&self) -> Processes {
        Processes::all(&[("server", self.server.pid()), ("sidecar", self.sidecar.pid())])
    }
}

fn guarded(agent: Agent) -> Agent {
    let acl = format!(
        r#"-hcl=acl {{ enabled = true default_policy = "deny" tokens {{ initial_management = "{MANAGEMENT}"
            agent = "{MANAGEMENT}" dns = "{READER}" }} }}"#
    );
    agent.argument(acl).shown(MANAGEMENT)
}

fn give_token(agent: &Agent) {
    let put = |path: &str, body: &Value| {
        agent.http().put(path, body).unwrap_or_else(|error| panic!("{error}"));
    };
    put("/v1/acl/policy", &json!({"Name": "bench", "Rules": RULES}));
    put("/v1/acl/token", &json!({"SecretID": READER, "Policies": [{"Name": "bench"}]}));
}

/// Measures.
pub fn run(effort: Effort, give: &mut dyn FnMut(Figure)) {
    let _turn = turn::take();
    let open = Pair::start("open", |agent| agent);
    let closed = Pair::start("closed", guarded);
    give_token(&closed.server);
    let header = format!("X-Consul-Token: {READER}");
    let put = r#"request = function() return wrk.format("PUT", nil, nil, "value") end"#;
    for (what, path, script) in [
        ("health, stale, 100 inst.", "/v1/health/service/web?passing&stale", ""),
        ("health, default, 100 inst.", "/v1/health/service/web?passing", ""),
        ("KV put", "/v1/kv/bench/a", put),
    ] {
        let (with, without, note) = in_turn(effort, |is_closed| {
            let (pair, header) = if is_closed { (&closed, header.as_str()) } else { (&open, "") };
            let requests = Requests { path, header, script, callers: CALLERS };
            let (directory, port) = (pair.sidecar.directory(), pair.sidecar.ports.http);
            throughput(ONCE, &pair.processes(), port, requests, RUN_SECONDS, directory)
        });
        give(compared(what, &with, &without, note));
    }
    let question = Question { name: "web.service.consul", kind: "A", has_edns: true };
    let (with, without, note) = in_turn(effort, |is_closed| {
        let pair = if is_closed { &closed } else { &open };
        let processes = pair.processes();
        processes.rest();
        let answers = || dnsperf::answers(pair.sidecar.ports.dns, question, RUN_SECONDS, pair.sidecar.directory());
        (processes.during(answers), String::new())
    });
    give(compared("DNS, A, 100 inst.", &with, &without, note));
}

/// The medians with and without, measured one after the other and again, so that what else the machine does is in both.
fn in_turn(effort: Effort, measure: impl Fn(bool) -> (Work, String)) -> (Work, Work, String) {
    let mut note = String::new();
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..effort.choose(1, 9) {
        let (work, said) = measure(true);
        with.push(work);
        without.push(measure(false).0);
        note = said;
    }
    (Work::median(with), Work::median(without), note)
}

fn compared(what: &str, with: &Work, without: &Work, note: String) -> Figure {
    let figure = Figure::new(what, with.per_cpu_second(), "/CPU-s").at_least(SHARE_LEFT * without.per_cpu_second());
    Figure { yardstick: Some(without.per_cpu_second()), ..figure.noted(note) }
}
