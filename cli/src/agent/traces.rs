//! Spans on their way to a collector: OTLP by gRPC, in batches.
//!
//! Nothing waits for the collector. Spans that have ended are kept, up to [`KEPT`], until a task has sent them; what comes
//! beyond that, and what the collector does not take in several tries, is lost and counted (`lictor_spans_total`).

use std::{
    io, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hyper_util::rt::TokioIo;
use lictor_shared::{
    config::{Config, Traces},
    metrics::SPANS,
    outbound::{Outbound, Protocol, Stream, Trust},
    traces::{self, Ended, Kind, Place, Record, Value},
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span, status},
};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request,
    codegen::{Service, http::Uri},
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};

/// The most spans that wait to be sent, beside those of one request.
const KEPT: usize = 4096;
/// The most spans of a request.
const BATCH: usize = 512;
/// How long a span waits for others.
const GATHER: Duration = Duration::from_secs(1);
/// How long the collector may take to be connected to, and to answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// The times between the tries of one request.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// How long it may take to send the last when the agent stops.
const LAST_LIMIT: Duration = Duration::from_secs(3);
/// Flags of a span (OTLP's `SpanFlags`): its trace is recorded; it is known whether its parent is another process's; it is.
const SAMPLED: u32 = 0x1;
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// Sends what is recorded.
pub struct Exporter {
    sending: JoinHandle<()>,
    stopping: CancellationToken,
}

/// What was recorded waits here.
struct Queue(mpsc::Sender<Ended>);

impl Record for Queue {
    fn record(&self, span: Ended) {
        if self.0.try_send(span).is_err() {
            SPANS.count(1);
        }
    }
}

impl Exporter {
    /// Has spans made and sent from now on, as the configuration says.
    ///
    /// # Errors
    /// The collector's address is none.
    pub fn start(settings: &Traces, config: &Config) -> anyhow::Result<Self> {
        let (queue, spans) = mpsc::channel(KEPT);
        let stopping = CancellationToken::new();
        let collector = Collector {
            client: TraceServiceClient::new(channel(settings)?),
            headers: headers(settings),
            resource: resource(config),
            lost: false,
        };
        let sending = tokio::spawn(collector.run(spans, stopping.clone()));
        traces::start(Queue(queue), settings.ratio);
        tracing::info!(collector = %settings.host, port = settings.port, ratio = settings.ratio, "traces are sent");
        Ok(Self { sending, stopping })
    }

    /// Sends what is left, for three seconds at most.
    pub async fn stop(self) {
        self.stopping.cancel();
        if timeout(LAST_LIMIT, self.sending).await.is_err() {
            tracing::debug!("the last traces were not taken in time");
        }
    }
}

struct Collector {
    client: TraceServiceClient<Channel>,
    headers: MetadataMap,
    resource: Resource,
    /// Whether the last request was in vain.
    lost: bool,
}

impl Collector {
    async fn run(mut self, mut spans: mpsc::Receiver<Ended>, stopping: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        while let Some(1..) = stopping.run_until_cancelled(spans.recv_many(&mut batch, BATCH)).await {
            // What is not full by then goes as it is.
            let _ = stopping.run_until_cancelled(timeout(GATHER, fill(&mut spans, &mut batch))).await;
            self.send(mem::take(&mut batch)).await;
        }
        spans.close();
        while spans.recv_many(&mut batch, BATCH).await > 0 {
            self.send(mem::take(&mut batch)).await;
        }
    }

    async fn send(&mut self, batch: Vec<Ended>) {
        let count = batch.len() as u64;
        let request = self.request(batch);
        let mut pauses = PAUSES.iter();
        let outcome = loop {
            let mut request = Request::new(request.clone());
            *request.metadata_mut() = self.headers.clone();
            request.set_timeout(ANSWER_LIMIT);
            match (self.client.export(request).await, pauses.next()) {
                (Err(status), Some(pause)) if is_passing(status.code()) => sleep(*pause).await,
                (outcome, _) => break outcome,
            }
        };
        match outcome {
            Ok(answer) => {
                let refused = answer.into_inner().partial_success.unwrap_or_default();
                let refused_count = u64::try_from(refused.rejected_spans).unwrap_or(0).min(count);
                SPANS.add(0, count - refused_count);
                SPANS.add(1, refused_count);
                if mem::take(&mut self.lost) {
                    tracing::info!("traces are taken again");
                }
                if !refused.error_message.is_empty() {
                    tracing::debug!(reason = refused.error_message, "the collector has a word about the traces");
                }
            }
            Err(status) => {
                SPANS.add(1, count);
                if !mem::replace(&mut self.lost, true) {
                    let (code, reason) = (status.code(), status.message());
                    tracing::warn!(
                        ?code,
                        reason,
                        "traces are not taken, and are lost until they are (traces.otlp_endpoint)"
                    );
                }
            }
        }
    }

    fn request(&self, batch: Vec<Ended>) -> ExportTraceServiceRequest {
        let scope = InstrumentationScope {
            name: "lictor".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            ..InstrumentationScope::default()
        };
        let spans = batch.into_iter().map(encode).collect();
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
        let resource = Some(self.resource.clone());
        let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
        ExportTraceServiceRequest { resource_spans }
    }
}

/// Takes spans until there are as many as fit.
async fn fill(spans: &mut mpsc::Receiver<Ended>, batch: &mut Vec<Ended>) {
    while batch.len() < BATCH && spans.recv_many(batch, BATCH - batch.len()).await > 0 {}
}

/// Whether the same request may be taken later (OTLP's list of retryable codes).
fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
            // What the way there says when it breaks off.
            | Code::Unknown
    )
}

/// Who sends: attributes of OpenTelemetry's conventions for services and hosts, and two of our own.
fn resource(config: &Config) -> Resource {
    let role = if config.is_server() { "server" } else { "sidecar" };
    let attributes = [
        ("service.name", "lictor".to_owned()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", format!("{}.{}", config.node_name, config.datacenter)),
        ("host.name", config.node_name.clone()),
        ("lictor.datacenter", config.datacenter.clone()),
        ("lictor.role", role.to_owned()),
    ];
    let attributes = attributes.map(|(key, text)| attribute(key, text.into())).into();
    Resource { attributes, ..Resource::default() }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    let value = match value {
        Value::Text(text) => any_value::Value::StringValue(text.into_owned()),
        Value::Number(number) => any_value::Value::IntValue(number),
    };
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn encode(ended: Ended) -> Span {
    let kind = match ended.kind {
        Kind::Server => span::SpanKind::Server,
        Kind::Client => span::SpanKind::Client,
        Kind::Internal => span::SpanKind::Internal,
    };
    let link = |place: Place| span::Link {
        trace_id: place.trace.to_be_bytes().into(),
        span_id: place.span.to_be_bytes().into(),
        flags: SAMPLED,
        ..span::Link::default()
    };
    let failed = |reason: std::borrow::Cow<'static, str>| Status {
        code: status::StatusCode::Error.into(),
        message: reason.into_owned(),
    };
    Span {
        trace_id: ended.place.trace.to_be_bytes().into(),
        span_id: ended.place.span.to_be_bytes().into(),
        parent_span_id: ended.parent.map(|parent| parent.to_be_bytes().into()).unwrap_or_default(),
        flags: SAMPLED | HAS_IS_REMOTE | if ended.has_remote_parent { IS_REMOTE } else { 0 },
        name: ended.name.into_owned(),
        kind: kind.into(),
        start_time_unix_nano: unix_ns(ended.began),
        end_time_unix_nano: unix_ns(ended.ended),
        attributes: ended.attributes.into_iter().map(|(key, value)| attribute(key, value)).collect(),
        links: ended.links.into_iter().map(link).collect(),
        status: Some(ended.failure.map(failed).unwrap_or_default()),
        ..Span::default()
    }
}

fn unix_ns(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn headers(settings: &Traces) -> MetadataMap {
    let mut map = tonic::codegen::http::HeaderMap::new();
    for (name, value) in &settings.headers {
        map.append(name.clone(), value.clone());
    }
    MetadataMap::from_headers(map)
}

fn channel(settings: &Traces) -> anyhow::Result<Channel> {
    let Traces { host, port, secured, .. } = settings;
    let scheme = if *secured { "https" } else { "http" };
    // The connector speaks TLS; what is spoken through it is none of its matter.
    let endpoint = Endpoint::from_shared(format!("http://{host}:{port}"))?
        .origin(format!("{scheme}://{host}:{port}").parse()?)
        .connect_timeout(CONNECT_LIMIT)
        .timeout(ANSWER_LIMIT);
    let connector = Connector { outbound: Arc::default(), host: host.as_str().into(), port: *port, secured: *secured };
    Ok(endpoint.connect_with_connector_lazy(connector))
}

/// Connects to the collector as checks connect to what they check.
#[derive(Clone)]
struct Connector {
    outbound: Arc<Outbound>,
    host: Arc<str>,
    port: u16,
    secured: bool,
}

type Connection = TokioIo<Box<dyn Stream>>;

impl Service<Uri> for Connector {
    type Response = Connection;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Connection>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { outbound, host, port, secured } = self.clone();
        Box::pin(async move {
            let protocol = secured.then_some(Protocol::Http2);
            let opened = outbound.open(&host, port, protocol, Trust::default()).await;
            opened.map(TokioIo::new).map_err(io::Error::other)
        })
    }
}
