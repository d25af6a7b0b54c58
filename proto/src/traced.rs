//! Questions by gRPC as parts of traces: [`Asking`] on the side of the client, [`Answering`] on that of the server. The place
//! in the trace goes along in the metadata.
//!
//! Names and attributes are those of OpenTelemetry's conventions for RPC. A span of a stream ends where the stream begins.

use std::{
    convert::Infallible,
    fmt::Display,
    sync::Arc,
    task::{Context, Poll},
};

use lictor_shared::traces::{HEADER, Kind, Span};
use tonic::{
    Code, Status,
    codegen::{
        BoxFuture, Service,
        http::{HeaderMap, HeaderValue, Request, Response},
    },
    server::NamedService,
};

/// A way to a server. Questions that are part of a recorded request are part of its trace.
#[derive(Clone, Debug)]
pub struct Asking<S> {
    service: S,
    /// `ip:port`.
    server: Arc<str>,
}

impl<S> Asking<S> {
    /// The way to that server.
    pub fn new(service: S, server: &str) -> Self {
        Self { service, server: server.into() }
    }
}

impl<S, Q, A> Service<Request<Q>> for Asking<S>
where
    S: Service<Request<Q>, Response = Response<A>, Future: Send + 'static, Error: Display + 'static>,
    A: 'static,
{
    type Response = Response<A>;
    type Error = S::Error;
    type Future = BoxFuture<Response<A>, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let mut span = Span::inside(Kind::Client, "");
        if let Some(place) = span.place() {
            describe(&mut span, method(request.uri().path()));
            span.server(&self.server);
            if let Ok(place) = HeaderValue::try_from(place.to_string()) {
                request.headers_mut().insert(HEADER, place);
            }
        }
        let asked = self.service.call(request);
        Box::pin(async move {
            let answer = asked.await;
            match &answer {
                Ok(answer) if span.is_recorded() => {
                    note(&mut span, answer.headers());
                }
                Err(error) if span.is_recorded() => {
                    span.set("error.type", "UNAVAILABLE");
                    span.fail(error.to_string());
                }
                Ok(_) | Err(_) => {}
            }
            answer
        })
    }
}

/// A service whose answers are parts of traces: of those that the questions belong to.
#[derive(Clone, Debug)]
pub struct Answering<S> {
    service: S,
    /// Whether a trace may begin here.
    begins: bool,
}

impl<S> Answering<S> {
    /// A service for nodes: what none of them was asked is no trace.
    pub fn nodes(service: S) -> Self {
        Self { service, begins: false }
    }

    /// One for applications.
    pub fn applications(service: S) -> Self {
        Self { service, begins: true }
    }
}

impl<S: NamedService> NamedService for Answering<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, Q> Service<Request<Q>> for Answering<S>
where
    S: NamedService
        + Service<
            Request<Q>,
            Response = Response<tonic::body::Body>,
            Error = Infallible,
            Future = BoxFuture<Response<tonic::body::Body>, Infallible>,
        >,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let header = request.headers().get(HEADER).and_then(|value| value.to_str().ok());
        let begin = if self.begins { Span::arrival } else { Span::continued };
        let mut span = begin(Kind::Server, header);
        if !span.is_recorded() {
            return self.service.call(request);
        }
        // Of who goes before there is an answer.
        span.name(S::NAME);
        let method = method(request.uri().path()).to_owned();
        let answer = span.around(self.service.call(request));
        Box::pin(async move {
            let answer = answer.await?;
            let code = note(&mut span, answer.headers());
            // Anybody can make up a method.
            describe(&mut span, if code == Code::Unimplemented { "_OTHER" } else { &method });
            Ok(answer)
        })
    }
}

/// What a path asks for: those of gRPC are `/package.Service/Method`.
fn method(path: &str) -> &str {
    path.trim_start_matches('/')
}

/// Says what is asked.
fn describe(span: &mut Span, method: &str) {
    span.name(method.to_owned());
    span.set("rpc.system.name", "grpc");
    span.set("rpc.method", method.to_owned());
}

/// Notes what came of it. An answer without a status in its headers has begun, and so went well.
fn note(span: &mut Span, headers: &HeaderMap) -> Code {
    let status = Status::from_header_map(headers);
    let code = status.as_ref().map_or(Code::Ok, Status::code);
    span.set("rpc.response.status_code", name(code));
    if let Some(status) = status.filter(|status| status.code() != Code::Ok) {
        span.set("error.type", name(code));
        span.fail(status.message().to_owned());
    }
    code
}

/// The name of a code (gRPC's list of status codes).
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
