//! The span of a request that came by HTTP, if its trace is recorded: named and described as OpenTelemetry's conventions for
//! HTTP servers have it. The query is left out, for there may be a token in it.

use std::net::IpAddr;

use http::{
    HeaderName, StatusCode,
    header::{HOST, USER_AGENT},
    request::Parts,
};

use crate::traces::{HEADER, Kind, Span};

/// The methods of HTTP (RFC 9110, section 9, and RFC 5789).
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// That of the request with that head, from there.
pub(super) fn arrival(
    head: &Parts,
    peer: Option<IpAddr>,
    secured: bool,
    route: impl FnOnce() -> Option<&'static str>,
) -> Span {
    let text = |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
    let mut span = Span::arrival(Kind::Server, text(HeaderName::from_static(HEADER)));
    if !span.is_recorded() {
        return span;
    }
    // Anybody can make up a method.
    let (method, named) = match METHODS.iter().find(|known| head.method == **known) {
        Some(known) => (*known, *known),
        None => ("_OTHER", "HTTP"),
    };
    match route() {
        Some(route) => {
            span.name(format!("{named} {route}"));
            span.set("http.route", route);
            span.set("url.path", head.uri.path().to_owned());
        }
        // Who asks for what is not there names nothing, and a path of another's may have a secret in it.
        None => span.name(named),
    }
    span.set("http.request.method", method);
    span.set("url.scheme", if secured { "https" } else { "http" });
    span.set("network.protocol.version", if head.version == http::Version::HTTP_10 { "1.0" } else { "1.1" });
    if let Some(peer) = peer {
        span.set("client.address", peer.to_string());
    }
    if let Some(host) = text(HOST) {
        span.server(host);
    }
    if let Some(agent) = text(USER_AGENT) {
        span.set("user_agent.original", agent.to_owned());
    }
    span
}

/// Notes how it was answered: what is the caller's fault is no failure.
pub(super) fn answered(span: &mut Span, status: StatusCode) {
    span.set("http.response.status_code", usize::from(status.as_u16()));
    if status.is_server_error() {
        span.set("error.type", status.as_str().to_owned());
        span.fail(status.canonical_reason().unwrap_or_default());
    }
}
