//! Accepts connections, bounds them, and turns each request into an answer.
//!
//! Everything a caller can make grow has a limit here: connections (all and per address), the size of a request's
//! head and body, the time both may take. When the node stops, no connection is accepted any more, requests in
//! flight are answered (blocking ones at once), and what is still open after [`DRAIN_LIMIT`] is closed.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, Method, Response, header, request::Parts, uri::PathAndQuery};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{body::Body as _, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
};
use tokio_util::{either::Either, sync::CancellationToken};
use tracing::Instrument;

use super::{
    Context, Failure,
    answer::{Answer, Body, accepts_gzip},
    patience::Patient,
    query::Query,
    read::again,
    route::{self, Found, Origin, Request, Router},
    socket::{Listener, Stream},
};
use crate::{
    acl::{Authority, Credential},
    backend::{BackendError, Pieces},
    metrics::HTTP_CONNECTIONS,
    tasks::Tasks,
};

/// The longest head of a request (request line and headers), in bytes.
const HEAD_BYTES: usize = 64 * 1024;
/// The longest body of a request, in bytes, unless values or transactions may be longer.
const BODY_BYTES: usize = 1024 * 1024;
/// The longest value of a key, and the longest body of a transaction, in bytes, unless the configuration says otherwise.
const VALUE_BYTES: usize = 512 * 1024;
/// The most operations of a transaction, likewise.
const TRANSACTION_OPERATIONS: usize = 64;
/// How long a head may take to arrive. It counts for connections kept open between requests too, and common
/// clients keep theirs for 90 seconds.
const HEAD_LIMIT: Duration = Duration::from_secs(120);
/// How long a body may take to arrive; of one that may be of any length, each piece.
const BODY_LIMIT: Duration = Duration::from_secs(30);
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

const TOO_MANY: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Connection: close\r\nContent-Length: 72\r\n\r\n\
    This address has too many connections open (http_max_conns_per_client).\n";

/// What one caller, and all together, may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; more wait to be accepted.
    pub connections: usize,
    /// Connections at once from one address (`http_max_conns_per_client`); more are answered 429.
    pub connections_per_client: usize,
    /// The longest value of a key, in bytes (`kv_max_value_size`).
    pub kv_value_bytes: usize,
    /// The longest body of a transaction, in bytes (`txn_max_req_len`).
    pub transaction_bytes: usize,
    /// The most operations of a transaction (`txn_max_ops`).
    pub transaction_operations: usize,
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
    let limits = context.settings.limits;
    let server = Arc::new(Server { context, router: Router::new(), stopping: stopping.clone() });
    let free = Arc::new(Semaphore::new(limits.connections));
    let clients = Clients::default();
    loop {
        let accepted = async {
            let permit = free.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = stopping.cancelled() => return Ok(()),
        };
        match accepted {
            Ok((stream, peer)) => {
                let (server, place) = (server.clone(), clients.enter(peer, limits.connections_per_client));
                let span = tracing::debug_span!("http", ?peer);
                let connection = async move {
                    match place {
                        Some(_place) => server.connection(stream, peer).await,
                        None => refuse(stream).await,
                    }
                    drop(permit);
                };
                tasks.spawn_short(connection.instrument(span));
            }
            Err(error) => {
                tracing::warn!(%error, "HTTP: no connection could be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// How many connections each address has. Those of unix sockets count together.
#[derive(Clone, Default)]
struct Clients {
    counts: Arc<Mutex<HashMap<Option<IpAddr>, usize>>>,
}

/// One connection of an address, counted until it is dropped.
struct Place {
    clients: Clients,
    address: Option<IpAddr>,
}

impl Clients {
    fn enter(&self, address: Option<IpAddr>, limit: usize) -> Option<Place> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Place { clients: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.clients.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// Tells a caller that it has too many connections. What it sends is read for a moment, for a connection closed
/// with unread bytes is reset and the answer lost.
async fn refuse(mut stream: Stream) {
    if matches!(stream, Either::Right(_)) {
        // A handshake would be too much for one who has too many connections already.
        return;
    }
    let tell = async {
        stream.write_all(TOO_MANY).await?;
        stream.shutdown().await?;
        let mut ignored = [0; 4096];
        while stream.read(&mut ignored).await? > 0 {}
        io::Result::Ok(())
    };
    if !matches!(tokio::time::timeout(REFUSAL_LIMIT, tell).await, Ok(Ok(()))) {
        tracing::debug!("the caller did not wait to be told that it has too many connections");
    }
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
        let service = service_fn(move |request| {
            let server = self.clone();
            async move { Ok::<_, Infallible>(server.respond(request, peer).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_LIMIT)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(Patient::new(stream, WRITE_LIMIT)), service);
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

    async fn respond(&self, request: hyper::Request<Incoming>, peer: Option<IpAddr>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let packs = accepts_gzip(&head.headers);
        let answer = match self.known(&head, &body, peer) {
            Some(answer) => answer,
            None => self.find_out(head, body, peer).await,
        };
        let mut response = answer.into_response(packs);
        self.context.settings.access.add_headers(response.headers_mut());
        response
    }

    /// Answers what was answered before to somebody with the same rights, and may be given again as it is.
    fn known(&self, head: &Parts, body: &Incoming, peer: Option<IpAddr>) -> Option<Answer> {
        if head.method != Method::GET || !body.is_end_stream() {
            return None;
        }
        let text = head.uri.path_and_query()?.as_str();
        let authority = &self.context.authority;
        let target = if authority.is_enabled() {
            let token = Caller::new(&head.headers, &Query::default(), peer, authority).token;
            let known = authority.identify(&token).ok().filter(|_| !text.contains(TOKEN_PARAMETER))?;
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
            && let Some(answer) = self.router.options(path)
        {
            return answer;
        }
        let span = tracing::debug_span!("request", method = %head.method, path);
        self.answer(head, body, peer).instrument(span).await
    }

    async fn answer(&self, head: Parts, body: Incoming, peer: Option<IpAddr>) -> Answer {
        let found = match self.router.find(&head.method, head.uri.path()) {
            Ok(found) => found,
            Err(failure) => {
                route::count_unknown(failure.status());
                return failure.into();
            }
        };
        let query = Query::parse(head.uri.query().unwrap_or_default());
        let target: Arc<str> = head.uri.path_and_query().map_or("", PathAndQuery::as_str).into();
        let (method, caller) = (head.method.clone(), Caller::new(&head.headers, &query, peer, &self.context.authority));
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
        let (body, pieces) = if route::takes_pieces(found.place) {
            (Bytes::new(), Some(as_it_comes(body)))
        } else {
            (collect(body, self.context.settings.limits.body_bytes()).await?, None)
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
            body,
            pieces,
            client,
            token,
            caller: self.context.authority.nobody(),
            stopping,
            answers,
        };
        let (context, target) = (&self.context, request.target.clone());
        let answer = route::handle(context, request).await?;
        if let Some(repeat) = answer.repeat() {
            let rights = if context.authority.is_enabled() { repeat.rights.fingerprint() } else { &[] };
            context.answers.remember(rights, &target, endpoint, repeat);
        }
        Ok(answer)
    }
}

/// Who asks.
struct Caller {
    /// What a proxy says that passes the request on, or else the peer.
    client: Option<IpAddr>,
    /// What is shown to say who it is; where that is nothing, what this node shows for those.
    token: Credential,
}

impl Caller {
    fn new(headers: &HeaderMap, query: &Query, peer: Option<IpAddr>, authority: &Authority) -> Self {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let first = text(FORWARDED_FOR).and_then(|value| value.split(',').next()?.trim().parse().ok());
        let bearer = || {
            let (scheme, token) = text(header::AUTHORIZATION)?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        };
        let named = || query.filled("token");
        let token = text(TOKEN).filter(|token| !token.is_empty()).or_else(bearer).or_else(named).unwrap_or_default();
        let token = Credential::new(token).or(&authority.own().default);
        Self { client: first.or(peer), token }
    }
}

/// A body of any length, each piece of which comes in time.
fn as_it_comes(body: Incoming) -> Pieces {
    let pieces = stream::unfold(Some(body), |body| async {
        let mut body = body?;
        let failed = |reason| Some((Err(BackendError::Refused(reason)), None));
        match tokio::time::timeout(BODY_LIMIT, body.frame()).await {
            Err(_) => failed(Failure::TooSlow.to_string()),
            Ok(None) => None,
            Ok(Some(Err(error))) => failed(format!("The request's body did not arrive whole: {error}")),
            Ok(Some(Ok(frame))) => Some((Ok(frame.into_data().unwrap_or_default()), Some(body))),
        }
    });
    Pieces::new(pieces)
}

async fn collect(body: Incoming, limit_bytes: usize) -> Result<Bytes, Failure> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let whole = Limited::new(body, limit_bytes).collect();
    let whole = tokio::time::timeout(BODY_LIMIT, whole).await.map_err(|_| Failure::TooSlow)?;
    whole.map(http_body_util::Collected::to_bytes).map_err(|error| match error.downcast::<LengthLimitError>() {
        Ok(_) => Failure::TooLarge(limit_bytes),
        Err(error) => Failure::BadRequest(format!("The request's body did not arrive whole: {error}")),
    })
}
