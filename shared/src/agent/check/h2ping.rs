//! One run of an HTTP/2 ping check (RFC 9113, 6.7): the connection opens and a PING comes back.

use h2::Ping;

use super::trust;
use crate::{
    model::{CheckDefinition, Status},
    outbound::{Outbound, Protocol, host_and_port},
};

/// Pings the `host:port` of `definition`.
pub(super) async fn probe(definition: &CheckDefinition, outbound: &Outbound) -> (Status, String) {
    match ping(definition, outbound).await {
        Ok(()) => (Status::Passing, format!("HTTP2 ping {}: Success", definition.h2ping)),
        Err(failure) => (Status::Critical, format!("HTTP2 ping {}: {failure}", definition.h2ping)),
    }
}

async fn ping(definition: &CheckDefinition, outbound: &Outbound) -> Result<(), String> {
    let (host, port) = host_and_port(&definition.h2ping)?;
    let tls = definition.h2ping_use_tls.then_some(Protocol::Http2);
    let stream = outbound.open(host, port, tls, trust(definition)).await?;
    let failed = |error: h2::Error| error.to_string();
    // Without its sender the connection would close at once.
    let (_sender, mut connection) = h2::client::handshake(stream).await.map_err(failed)?;
    let mut pings = connection.ping_pong().ok_or("no ping can be sent")?;
    tokio::select! {
        pong = pings.ping(Ping::opaque()) => pong.map(drop).map_err(failed),
        ended = &mut connection => Err(ended.map_or_else(failed, |()| "the peer has closed the connection".into())),
    }
}
