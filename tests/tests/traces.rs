//! Traces, seen by a collector that speaks OTLP: a request's parts on every node that it came to, and nothing of what was not
//! asked for; a collector that is away costs nothing but the traces.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lictor_tests::{agent::Agent, cluster::Cluster, ports, turn, wait};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::span::SpanKind,
};
use tokio::{net::TcpListener, runtime::Runtime};
use tonic::{Request, Response, Status, transport::Server};

/// Longest time until spans are with the collector, on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);
/// The trace that the caller has, and the caller's place in it.
const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
const CALLER: u64 = 0xb7ad_6b71_6920_3331;
/// What the collector knows its customers by.
const KEY: &str = "a-key-of-one-customer";

/// A span as it came.
#[derive(Clone, Debug)]
struct Seen {
    node: String,
    name: String,
    kind: SpanKind,
    trace: u128,
    id: u64,
    parent: Option<u64>,
    failed: bool,
    nanoseconds: u64,
    attributes: BTreeMap<String, String>,
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    let pair = |pair: &KeyValue| (pair.key.clone(), text(pair.value.as_ref().unwrap().value.as_ref().unwrap()));
    attributes.iter().map(pair).collect()
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Seen>>>);

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        if request.metadata().get("x-key").is_none_or(|key| key != KEY) {
            return Err(Status::unauthenticated("whose are these?"));
        }
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for of_resource in request.into_inner().resource_spans {
            let resource = texts(&of_resource.resource.unwrap().attributes);
            assert_eq!(resource["service.name"], "lictor");
            for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let id = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
                seen.push(Seen {
                    node: resource["host.name"].clone(),
                    kind: span.kind(),
                    trace: u128::from_be_bytes(span.trace_id[..].try_into().unwrap()),
                    id: id(&span.span_id),
                    parent: (!span.parent_span_id.is_empty()).then(|| id(&span.parent_span_id)),
                    failed: span.status.as_ref().is_some_and(|status| status.code != 0),
                    nanoseconds: span.end_time_unix_nano.checked_sub(span.start_time_unix_nano).unwrap(),
                    attributes: texts(&span.attributes),
                    name: span.name,
                });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Takes spans until it is dropped.
struct Collector {
    port: u16,
    kept: Kept,
    _runtime: Runtime,
}

impl Collector {
    fn start(port: u16) -> Self {
        let (runtime, kept) = (Runtime::new().unwrap(), Kept::default());
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", port))).unwrap();
        let port = listener.local_addr().unwrap().port();
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let server = Server::builder().add_service(TraceServiceServer::new(kept.clone()));
        runtime.spawn(server.serve_with_incoming(incoming));
        Self { port, kept, _runtime: runtime }
    }

    fn spans(&self) -> Vec<Seen> {
        self.kept.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The span of that name and node below that one, once it has come.
    fn below(&self, parent: u64, node: &str, name: &str) -> Seen {
        wait::until(&format!("{name} of {node}"), LIMIT, || {
            let spans = self.spans();
            let found = spans.iter().find(|span| span.parent == Some(parent) && span.node == node && span.name == name);
            found.cloned().ok_or_else(|| format!("{spans:#?}"))
        })
    }
}

/// Has an agent send its traces there; of those that begin at it, that share.
fn tracing(agent: Agent, port: u16, ratio: f64) -> Agent {
    let agent = agent.with_config_directory();
    let settings = format!(
        "traces {{ otlp_endpoint = \"http://127.0.0.1:{port}\" sample_ratio = {ratio} headers {{ \"X-Key\" = \"{KEY}\" }} }}"
    );
    agent.write_file("traces.hcl", &settings);
    agent
}

#[test]
fn a_request_is_seen_on_every_node_that_it_came_to() {
    let collector = Collector::start(0);
    let cluster = Cluster::start_with(3, 2, |agent| tracing(agent, collector.port, 0.0));
    let leader = cluster.servers[cluster.leader()].name.clone();
    let http = cluster.sidecars[0].http();
    let header = format!("00-{TRACE:032x}-{CALLER:016x}-01");
    let traced = [("traceparent", &*header), ("User-Agent", "a-test")];
    let untraced = [("traceparent", &*header.replace("-01", "-00"))];
    for headers in [&traced[..], &untraced, &[]] {
        let written = http.send("PUT", "/v1/kv/a/key?token=", headers, b"value").unwrap();
        assert_eq!(written.status, 200, "{written:?}");
    }
    let arrival = collector.below(CALLER, "sidecar-1", "PUT /v1/kv/*");
    assert_eq!((arrival.kind, arrival.failed), (SpanKind::Server, false));
    for (key, value) in [
        ("http.request.method", "PUT"),
        ("http.route", "/v1/kv/*"),
        ("http.response.status_code", "200"),
        ("url.path", "/v1/kv/a/key"),
        ("url.scheme", "http"),
        ("client.address", "127.0.0.1"),
        ("server.address", "127.0.0.1"),
        ("user_agent.original", "a-test"),
    ] {
        assert_eq!(arrival.attributes.get(key).map(String::as_str), Some(value), "{key}: {arrival:?}");
    }
    assert!(!arrival.attributes.contains_key("url.query"), "there may be a token in it");
    let write = collector.below(arrival.id, "sidecar-1", "write");
    assert!(arrival.nanoseconds >= write.nanoseconds && write.nanoseconds > 0);
    let round = collector.below(write.id, "sidecar-1", "write.round");
    assert!(round.attributes["lictor.commands"].parse::<usize>().unwrap() >= 1, "{round:?}");
    let method = "lictor.internal.v1.Registry/Write";
    let asked = collector.below(round.id, "sidecar-1", method);
    assert_eq!((asked.kind, asked.attributes["rpc.response.status_code"].as_str()), (SpanKind::Client, "OK"));
    assert_eq!(asked.attributes["rpc.method"], method);
    let answered = collector.below(asked.id, &leader, method);
    assert_eq!(answered.kind, SpanKind::Server);
    collector.below(answered.id, &leader, "raft.commit");

    // A read that a server answers, and one that waits here.
    let read = http.send("GET", "/v1/kv/a/key", &traced, b"").unwrap();
    assert_eq!(read.status, 200);
    let arrival = collector.below(CALLER, "sidecar-1", "GET /v1/kv/*");
    let asked = collector.below(arrival.id, "sidecar-1", "lictor.internal.v1.Registry/Fetch");
    collector.below(asked.id, &leader, "lictor.internal.v1.Registry/Fetch");
    let read = http.send("GET", "/v1/catalog/nodes?index=1000000&wait=10ms", &traced, b"").unwrap();
    let index = read.header("x-consul-index").unwrap().to_owned();
    let waited = http.send("GET", &format!("/v1/catalog/nodes?index={index}&wait=10ms"), &traced, b"").unwrap();
    assert_eq!(waited.status, 200);
    wait::until("a wait", LIMIT, || {
        let spans = collector.spans();
        wait::ensure(spans.iter().any(|span| span.name == "wait"), || format!("{spans:#?}"))
    });
    let refused = http.send("PUT", "/v1/nothing-here", &traced, b"").unwrap();
    assert_eq!(refused.status, 404);
    let refused = collector.below(CALLER, "sidecar-1", "PUT");
    assert_eq!((refused.failed, refused.attributes["http.response.status_code"].as_str()), (false, "404"));

    // Of what has no trace of its own, and of the unwanted, there is nothing.
    assert!(collector.spans().iter().all(|span| span.trace == TRACE), "{:#?}", collector.spans());
    let slim = cluster.sidecars[1].log();
    assert!(slim.contains("accepted and have no effect") && slim.contains("traces"), "{slim}");
}

fn counted(agent: &Agent, outcome: &str) -> u64 {
    let metrics = agent.http().send("GET", "/v1/agent/metrics?format=prometheus", &[], b"").unwrap().text();
    let name = format!("lictor_spans_total{{outcome=\"{outcome}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or_else(|| panic!("{metrics}"))
}

#[test]
fn a_collector_that_is_away_delays_nobody_and_is_found_again() {
    let _turn = turn::take();
    let port = ports::free();
    let mut agent = tracing(Agent::dev("host-1"), port, 1.0).started();
    let ask = || {
        let answer = agent.http().with_time_out(Duration::from_secs(5)).send("GET", "/v1/status/leader", &[], b"");
        assert_eq!(answer.unwrap().status, 200);
    };
    ask();
    wait::until("the loss is told", LIMIT, || {
        let log = agent.log();
        wait::ensure(log.contains("traces are not taken"), || log)
    });
    assert!(counted(&agent, "lost") > 0);
    let collector = Collector::start(port);
    wait::until("spans come", LIMIT, || {
        ask();
        let spans = collector.spans();
        let is_told = spans.iter().any(|span| span.name == "GET /v1/status/leader" && span.parent.is_none());
        wait::ensure(is_told, || format!("{spans:?}"))
    });
    wait::until("it is told", LIMIT, || {
        let log = agent.log();
        wait::ensure(log.contains("traces are taken again"), || log)
    });
    assert!(counted(&agent, "sent") > 0);
    // The last of them are not lost with the agent.
    let last = agent.http().send("GET", "/v1/status/peers", &[], b"").unwrap();
    assert_eq!(last.status, 200);
    agent.terminate();
    let came = collector.spans().iter().any(|span| span.name == "GET /v1/status/peers");
    assert!(came || agent.log().contains("were not taken in time"), "{:?}", collector.spans());
}
