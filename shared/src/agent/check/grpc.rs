//! One run of a gRPC check: `grpc.health.v1.Health/Check` over one HTTP/2 connection. `SERVING` passes.
//!
//! Speaks just enough of gRPC for this one call: <https://github.com/grpc/grpc/blob/master/doc/health-checking.md> and
//! `PROTOCOL-HTTP2.md` beside it.

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Request, StatusCode, Version, header};

use super::trust;
use crate::{
    model::{CheckDefinition, Status},
    outbound::{Outbound, Protocol, host_and_port},
};

/// The largest answer that is read, in bytes; a right one has seven.
const ANSWER_MAX: usize = 1024;
/// The most that the headers of an answer may have, in bytes.
const HEADERS_MAX: u32 = 16 << 10;

/// Asks the `host:port[/service]` of `definition`.
pub(super) async fn probe(definition: &CheckDefinition, outbound: &Outbound) -> (Status, String) {
    let target = &definition.grpc;
    match ask(definition, outbound).await {
        Ok(1) => (Status::Passing, format!("gRPC check {target}: success")),
        Ok(answer) => (Status::Critical, format!("gRPC check {target}: {}", serving(answer))),
        Err(failure) => (Status::Critical, format!("gRPC check {target}: {failure}")),
    }
}

/// The names of `HealthCheckResponse.ServingStatus`.
fn serving(answer: u8) -> &'static str {
    match answer {
        0 => "UNKNOWN",
        1 => "SERVING",
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "a status that nobody knows",
    }
}

async fn ask(definition: &CheckDefinition, outbound: &Outbound) -> Result<u8, String> {
    let (authority, service) = definition.grpc.split_once('/').unwrap_or((&definition.grpc, ""));
    let (host, port) = host_and_port(authority)?;
    let stream =
        outbound.open(host, port, definition.grpc_use_tls.then_some(Protocol::Http2), trust(definition)).await?;
    let scheme = if definition.grpc_use_tls { "https" } else { "http" };
    let (sender, connection) = h2::client::Builder::new()
        .max_header_list_size(HEADERS_MAX)
        .enable_push(false)
        .handshake::<_, Bytes>(stream)
        .await
        .map_err(|error| error.to_string())?;
    let exchange = exchange(sender, format!("{scheme}://{authority}/grpc.health.v1.Health/Check"), request(service));
    tokio::pin!(exchange);
    tokio::select! {
        biased;
        answer = &mut exchange => return answer,
        _ = connection => {}
    }
    // The answer may have come with the end of the connection.
    exchange.await
}

async fn exchange(sender: SendRequest<Bytes>, url: String, message: Bytes) -> Result<u8, String> {
    let failed = |error: h2::Error| error.to_string();
    let request = Request::post(url)
        .version(Version::HTTP_2)
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header(header::USER_AGENT, "Lictor Health Check")
        .body(())
        .map_err(|error| error.to_string())?;
    let mut sender = sender.ready().await.map_err(failed)?;
    let (response, mut body) = sender.send_request(request, false).map_err(failed)?;
    body.send_data(message, true).map_err(failed)?;
    let (head, mut body) = response.await.map_err(failed)?.into_parts();
    if head.status != StatusCode::OK {
        return Err(format!("answered {}", head.status));
    }
    refuse_failure(&head.headers)?;
    let mut answer = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(failed)?;
        if answer.len() + data.len() > ANSWER_MAX {
            return Err(format!("answered with more than {ANSWER_MAX} bytes"));
        }
        body.flow_control().release_capacity(data.len()).map_err(failed)?;
        answer.extend_from_slice(&data);
    }
    refuse_failure(&body.trailers().await.map_err(failed)?.unwrap_or_default())?;
    status(&answer).ok_or_else(|| "answered with something else than a HealthCheckResponse".into())
}

/// Looks for a `grpc-status` that is not 0, in headers or trailers.
fn refuse_failure(headers: &HeaderMap) -> Result<(), String> {
    let text = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    match text("grpc-status") {
        Some(code) if code != "0" => {
            Err(format!("rpc error: code {code}: {}", text("grpc-message").unwrap_or_default()))
        }
        _ => Ok(()),
    }
}

/// A `HealthCheckRequest` in its frame: a byte without compression, the length, field 1 with the service's name.
fn request(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        let mut length = service.len();
        while length > 0x7f {
            message.put_u8((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.put_u8(length as u8);
        message.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(&message);
    frame.freeze()
}

/// The status in a framed `HealthCheckResponse`: field 1, which is left out where it is 0.
fn status(answer: &[u8]) -> Option<u8> {
    match answer {
        [0, 0, 0, 0, 0] => Some(0),
        [0, 0, 0, 0, length, 0x08, status, ..] if *length >= 2 => Some(*status),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames() {
        assert_eq!(request(""), &[0, 0, 0, 0, 0][..]);
        assert_eq!(request("ab"), &[0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b'][..]);
        let long = request(&"x".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 2]);
        for (answer, expected) in [
            (&[0, 0, 0, 0, 0][..], Some(0)),
            (&[0, 0, 0, 0, 2, 8, 1], Some(1)),
            (&[0, 0, 0, 0, 2, 8, 2], Some(2)),
            (&[1, 0, 0, 0, 2, 8, 1], None),
            (&[0, 0, 0, 0, 2, 8], None),
            (&[], None),
        ] {
            assert_eq!(status(answer), expected, "{answer:?}");
        }
    }
}
