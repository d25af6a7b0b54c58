//! Accepts connections, bounds them, and turns each request into an answer.
//!
//! Everything a caller can make grow has a limit here or in `guests`: connections (all and per address), the size of a
//! request's head and body, the time both may take, how often one may ask. When the node stops, no connection is accepted any more, requests in
//! flight are answered (blocking ones at once), and what is still open after [`DRAIN_LIMIT`] is closed.

use std::{
    convert::Infallible,
    io,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::stream;
use http::{HeaderMap, HeaderName, Method, Response, StatusCode, header, request::Parts, uri::PathAndQuery};
use http_body_util::BodyExt;
use hyper::{body::Body as _, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::{either::Either, sync::CancellationToken};
use tracing::Instrument;
use uuid::Uuid;

use super::{
    Context, Failure,
    answer::{Answer, Body, accepts_gzip},
    guests::Received,
    patience::{Patient, Turns},
    profile,
    query::Query,
    read::again,
    route::{self, Found, Origin, Request, Router},
    socket::{Listener, Stream},
    spans,
};
use crate::{
    acl::{Authority, Credential},
    audit::{Audit, Entry},
    backend::{BackendError, Pieces},
    limits::{Full, Rate},
    metrics::{HTTP_CONNECTIONS, HTTP_DENIED, HTTP_SECONDS, Refusal},
    tasks::Tasks,
};

/// The longest head of a request (request line and headers), in bytes. What is longer is refused without a word; what
/// is shorter, and longer than the limits below, with one.
const HEAD_BYTES: usize = 64 * 1024;
/// The longest headers of a request together, in bytes, unless the configuration says otherwise.
const HEADERS_BYTES: usize = 32 * 1024;
/// The longest path and query of a request, in bytes. A key may be longer than most of what is written in a path.
const TARGET_BYTES: usize = 16 * 1024;
/// The longest body of a request, in bytes, unless values or transactions may be longer.
const BODY_BYTES: usize = 1024 * 1024;
/// The longest value of a key, and the longest body of a transaction, in bytes, unless the configuration says otherwise.
const VALUE_BYTES: usize = 512 * 1024;
/// The most operations of a transaction, likewise.
const TRANSACTION_OPERATIONS: usize = 64;
/// How long a connection may be kept open between two requests. Common clients keep theirs for 90 seconds.
const IDLE_LIMIT: Duration = Duration::from_secs(120);
/// How long a head that has begun may take to arrive.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// How long a body may take to arrive; of one that may be of any length, each piece.
const BODY_LIMIT: Duration = Duration::from_secs(30);
/// How many bytes a second one that may be of any length must have in the long run.
const BODY_BYTES_PER_SECOND: u64 = 4096;
/// How long a caller may take nothing of an answer that waits to be read.
const WRITE_LIMIT: Duration = Duration::from_secs(30);
/// How long answers to requests in flight may take once the node stops.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
/// How long a connection that is one too many is kept to tell its caller so.
const REFUSAL_LIMIT: Duration = Duration::from_millis(100);
/// How long no connection is accepted after the system had none left to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// What a token in a query is recognised by.
const TOKEN_PARAMETER: &str = "token=";
const TOKEN: HeaderName = HeaderName::from_static("x-consul-token");

/// What one caller, and all together, may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; more are answered 503. Fewer where the process has few descriptors.
    pub connections: usize,
    /// Connections at once from one address (`http_max_conns_per_client`); more are answered 429.
    pub connections_per_client: usize,
    /// The longest value of a key, in bytes (`kv_max_value_size`).
    pub kv_value_bytes: usize,
    /// The longest body of a transaction, in bytes (`txn_max_req_len`).
    pub transaction_bytes: usize,
    /// The most operations of a transaction (`txn_max_ops`).
    pub transaction_operations: usize,
    /// The longest headers of a request together, in bytes (`http_config.max_header_bytes`); longer ones are 431.
    pub headers_bytes: usize,
    /// Reads of one address that wait for a change at once (`http_max_watches_per_client`); more are answered 429. None:
    /// as many as it may have connections, for each has one.
    pub watches_per_client: Option<usize>,
    /// How often one address may ask (`http_rate_per_client`, `http_burst_per_client`); who asks more often is answered
    /// 429. None, the default: as often as it likes. All applications of a host ask from the same loopback address, and
    /// what many ask at once after a failure is just what must be answered, so there is no number that is right for all.
    pub rate_per_client: Option<Rate>,
    /// The same for whoever shows the same token (`http_rate_per_token`, `http_burst_per_token`). None by default, as
    /// hundreds of instances of one application may share a token.
    pub rate_per_token: Option<Rate>,
}

impl Limits {
    fn body_bytes(&self) -> usize {
        BODY_BYTES.max(self.kv_value_bytes).max(self.transaction_bytes)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16 * 1024,
            connections_per_client: 200,
            kv_value_bytes: VALUE_BYTES,
            transaction_bytes: VALUE_BYTES,
            transaction_operations: TRANSACTION_OPERATIONS,
            headers_bytes: HEADERS_BYTES,
            watches_per_client: None,
            rate_per_client: None,
            rate_per_token: None,
        }
    }
}

/// Serves until the group of `tasks` stops, then drains. To be run as a long-lived task of that group.
///
/// # Errors
/// None so far: a failing accept is tried again.
pub async fn serve(context: Arc<Context>, listener: impl Into<Listener>, tasks: Tasks) -> io::Result<()> {
    let listener = listener.into();
    let stopping = tasks.stopping();
    let guests = context.guests.clone();
    let server = Arc::new(Server { context, router: Router::new(), stopping: stopping.clone() });
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.cancelled() => return Ok(()),
        };
        match accepted {
            Ok((stream, peer)) => match guests.seat(peer) {
                Ok(seat) => {
                    let server = server.clone();
                    let connection = async move {
                        server.connection(stream, peer).await;
                        drop(seat);
                    };
                    tasks.spawn_short(connection.instrument(tracing::debug_span!("http", ?peer)));
                }
                // Where too many wait to be told, the connection is just closed.
                Err(full) => {
                    if let Some(place) = guests.refusal() {
                        tasks.spawn_short(async move {
                            refuse(stream, full).await;
                            drop(place);
                        });
                    }
                }
            },
            Err(error) => {
                tracing::warn!(%error, "HTTP: no connection could be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Tells a caller that there is no place for its connection. What it sends is read for a moment, for a connection closed
/// with unread bytes is reset and the answer lost.
async fn refuse(mut stream: Stream, full: Full) {
    if matches!(stream, Either::Right(_)) {
        // A handshake would be too much for one who has too many connections already.
        return;
    }
    let tell = async {
        stream.write_all(refusal(full).as_bytes()).await?;
        stream.shutdown().await?;
        let mut ignored = [0; 4096];
        while stream.read(&mut ignored).await? > 0 {}
        io::Result::Ok(())
    };
    if !matches!(tokio::time::timeout(REFUSAL_LIMIT, tell).await, Ok(Ok(()))) {
        tracing::debug!(?full, "the caller did not wait to be told that there is no place for its connection");
    }
}

fn refusal(full: Full) -> String {
    let (status, sentence) = match full {
        Full::OfClient => (
            "429 Too Many Requests",
            "This address has too many connections open (limits.http_max_conns_per_client).\n",
        ),
        Full::All => ("503 Service Unavailable", "This agent has as many connections as it can take; come again.\n"),
    };
    let length = sentence.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nRetry-After: 1\r\n\
         Content-Length: {length}\r\n\r\n{sentence}"
    )
}

struct Server {
    context: Arc<Context>,
    router: Router,
    stopping: CancellationToken,
}

impl Server {
    async fn connection(self: Arc<Self>, stream: Stream, peer: Option<IpAddr>) {
        let _held = HTTP_CONNECTIONS.hold();
        let stopping = self.stopping.clone();
        let (turns, secured) = (Turns::default(), matches!(stream, Either::Right(_)));
        let stream = Patient::new(stream, WRITE_LIMIT, HEAD_LIMIT, turns.clone());
        let service = service_fn(move |request| {
            let (server, turn, is_of_many) = (self.clone(), turns.begin(), turns.is_of_many());
            async move {
                if is_of_many {
                    tokio::task::yield_now().await;
                }
                let response = server.respond(request, peer, secured).await;
                drop(turn);
                Ok::<_, Infallible>(response)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE_LIMIT)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                match tokio::time::timeout(DRAIN_LIMIT, connection).await {
                    Ok(ended) => ended,
                    Err(_) => return tracing::debug!("closed with an answer unsent"),
                }
            }
        };
        if let Err(error) = ended {
            // Broken requests and callers that hang up are the caller's matter, not the operator's.
            tracing::debug!(%error, "connection ended");
        }
    }

    async fn respond(&self, request: hyper::Request<Incoming>, peer: Option<IpAddr>, secured: bool) -> Response<Body> {
        let began = Instant::now();
        let (head, body) = request.into_parts();
        let mut span = spans::arrival(&head, peer, secured, || {
            self.router.route(&head.method, &self.context.settings.page.own_path(head.uri.path()))
        });
        let waits = head
            .uri
            .query()
            .is_some_and(|query| query.split('&').any(|own| own.starts_with("index=") || own.starts_with("hash=")))
            || head.uri.path() == profile::PATH;
        let packs = accepts_gzip(&head.headers);
        let audited = self.context.audit.as_ref().map(|_| Audited::new(&head, peer, &self.context.authority));
        let answer = match self.admit(&head, peer) {
            Err(failure) => {
                route::count_unknown(failure.status());
                failure.into()
            }
            Ok(()) => match self.known(&head, &body) {
                Some(answer) => answer,
                None => span.around(self.find_out(head, body, peer)).await,
            },
        };
        if let (Some(audit), Some(audited)) = (&self.context.audit, audited) {
            audited.record(audit, answer.status());
        }
        spans::answered(&mut span, answer.status());
        if answer.status() == StatusCode::FORBIDDEN {
            HTTP_DENIED.count(0);
        }
        let mut response = answer.into_response(packs);
        if !waits {
            HTTP_SECONDS.observe(began.elapsed());
        }
        self.context.settings.access.add_headers(response.headers_mut());
        response
    }

    /// Whether a request is looked at any further.
    fn admit(&self, head: &Parts, peer: Option<IpAddr>) -> Result<(), Failure> {
        let target_bytes = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
        let headers_bytes: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        let limit = self.context.settings.limits.headers_bytes;
        if target_bytes > TARGET_BYTES || headers_bytes > limit {
            Refusal::HttpHead.count();
            let is_target = target_bytes > TARGET_BYTES;
            return Err(if is_target { Failure::LongTarget(TARGET_BYTES) } else { Failure::LargeHead(limit) });
        }
        self.context.guests.admit(peer, head)
    }

    /// Answers what was answered before to somebody with the same rights, and may be given again as it is.
    fn known(&self, head: &Parts, body: &Incoming) -> Option<Answer> {
        if head.method != Method::GET || !body.is_end_stream() {
            return None;
        }
        let text = head.uri.path_and_query()?.as_str();
        let authority = &self.context.authority;
        let target = if authority.is_enabled() {
            if text.contains(TOKEN_PARAMETER) {
                return None;
            }
            let token = Credential::new(Caller::token_in(&head.headers)).or(&authority.own().default);
            let known = authority.identify(&token).ok()?;
            self.context.answers.target(known.rights.fingerprint(), text)?
        } else {
            self.context.answers.target(&[], text)?
        };
        let answer = again(&self.context, &target.repeat)?;
        route::count(target.endpoint, answer.status());
        Some(answer)
    }

    async fn find_out(&self, head: Parts, body: Incoming, peer: Option<IpAddr>) -> Answer {
        let path = head.uri.path();
        if let Err(failure) = self.context.settings.access.check(&head.method, path, peer) {
            return failure.into();
        }
        if head.method == Method::OPTIONS
            && let Some(answer) = self.router.options(&self.context.settings.page.own_path(path))
        {
            return answer;
        }
        let span = tracing::debug_span!("request", method = %head.method, path);
        self.answer(head, body, peer).instrument(span).await
    }

    async fn answer(&self, head: Parts, body: Incoming, peer: Option<IpAddr>) -> Answer {
        let path = self.context.settings.page.own_path(head.uri.path());
        let found = match self.router.find(&head.method, &path) {
            Ok(found) => found,
            Err(failure) => {
                route::count_unknown(failure.status());
                return failure.into();
            }
        };
        let query = Query::parse(head.uri.query().unwrap_or_default());
        let target: Arc<str> = head.uri.path_and_query().map_or("", PathAndQuery::as_str).into();
        let (method, caller) = (head.method.clone(), Caller::new(&head.headers, &query, peer, &self.context.authority));
        let waits = query.filled("index").or(query.filled("hash")).is_some();
        let _watch = match waits.then(|| self.context.guests.watch(peer)).transpose() {
            Ok(place) => place,
            Err(failure) => {
                route::count(found.place, failure.status());
                return failure.into();
            }
        };
        // It keeps the connection's buffer of 8 kB from being used again, and a request may wait for minutes.
        drop(head);
        let place = found.place;
        let answer = self.handle(found, method, target, query, body, caller).await.unwrap_or_else(Answer::from);
        route::count(place, answer.status());
        answer
    }

    async fn handle(
        &self,
        found: Found,
        method: Method,
        target: Arc<str>,
        query: Query,
        body: Incoming,
        caller: Caller,
    ) -> Result<Answer, Failure> {
        let (received, pieces) = if route::takes_pieces(found.place) {
            (Received::default(), Some(as_it_comes(body)))
        } else {
            (self.receive(body).await?, None)
        };
        let (stopping, answers) = (self.stopping.clone(), self.context.answers.clone());
        let (endpoint, parameter) = (found.place, found.parameter);
        let (pieces, Caller { client, token }) = (Mutex::new(pieces), caller);
        let origin = Origin::Here;
        let request = Request {
            origin,
            method,
            target,
            endpoint,
            parameter,
            query,
            body: received.body.clone(),
            pieces,
            client,
            token,
            caller: self.context.authority.nobody(),
            stopping,
            answers,
        };
        let (context, target) = (&self.context, request.target.clone());
        let answer = route::handle(context, request).await;
        drop(received);
        if let Some(repeat) = answer.as_ref().ok().and_then(Answer::repeat) {
            let rights = if context.authority.is_enabled() { repeat.rights.fingerprint() } else { &[] };
            context.answers.remember(rights, &target, endpoint, repeat);
        }
        answer
    }

    async fn receive(&self, body: Incoming) -> Result<Received, Failure> {
        if body.is_end_stream() {
            return Ok(Received::default());
        }
        let receiving = self.context.guests.receive(body, self.context.settings.limits.body_bytes());
        tokio::time::timeout(BODY_LIMIT, receiving).await.map_err(|_| Failure::TooSlow)?
    }
}

/// What the audit log says of a request; taken before it is answered.
struct Audited {
    accessor: Option<Uuid>,
    address: Option<IpAddr>,
    method: Method,
    path: String,
}

impl Audited {
    fn new(head: &Parts, peer: Option<IpAddr>, authority: &Authority) -> Self {
        let query = Query::parse(head.uri.query().unwrap_or_default());
        let Caller { client, token } = Caller::new(&head.headers, &query, peer, authority);
        let accessor = authority.identify(&token).ok().and_then(|known| known.accessor);
        Self { accessor, address: client, method: head.method.clone(), path: head.uri.path().to_owned() }
    }

    fn record(self, audit: &Audit, status: StatusCode) {
        audit.record(Entry {
            accessor: self.accessor,
            address: self.address,
            interface: "http",
            method: self.method.as_str(),
            path: &self.path,
            status: status.as_u16(),
            allowed: !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN),
        });
    }
}

/// Who asks.
pub(super) struct Caller {
    /// What a proxy says that passes the request on, or else the peer.
    client: Option<IpAddr>,
    /// What is shown to say who it is; where that is nothing, what this node shows for those.
    token: Credential,
}

impl Caller {
    fn new(headers: &HeaderMap, query: &Query, peer: Option<IpAddr>, authority: &Authority) -> Self {
        let proxied = headers.get(FORWARDED_FOR).and_then(|value| value.to_str().ok());
        let first = proxied.and_then(|value| value.split(',').next()?.trim().parse().ok());
        let shown = Self::token_in(headers);
        let shown = if shown.is_empty() { query.filled("token").unwrap_or_default() } else { shown };
        let token = Credential::new(shown).or(&authority.own().default);
        Self { client: first.or(peer), token }
    }

    /// What is shown in a header to say who asks; empty: nothing.
    pub fn token_in(headers: &HeaderMap) -> &str {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = || {
            let (scheme, token) = text(header::AUTHORIZATION)?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        };
        text(TOKEN).filter(|token| !token.is_empty()).or_else(bearer).unwrap_or_default()
    }
}

/// A body of any length, each piece of which comes in time.
fn as_it_comes(body: Incoming) -> Pieces {
    let (began, came) = (Instant::now(), 0);
    let pieces = stream::unfold((Some(body), came), move |(body, came)| async move {
        let mut body = body?;
        let failed = |reason| Some((Err(BackendError::Refused(reason)), (None, came)));
        let whole_limit = BODY_LIMIT + Duration::from_secs(came / BODY_BYTES_PER_SECOND);
        let limit = BODY_LIMIT.min(whole_limit.saturating_sub(began.elapsed()));
        match tokio::time::timeout(limit, body.frame()).await {
            Err(_) => failed(Failure::TooSlow.to_string()),
            Ok(None) => None,
            Ok(Some(Err(error))) => failed(format!("The request's body did not arrive whole: {error}")),
            Ok(Some(Ok(frame))) => {
                let piece = frame.into_data().unwrap_or_default();
                let came = came + piece.len() as u64;
                Some((Ok(piece), (Some(body), came)))
            }
        }
    });
    Pieces::new(pieces)
}
