//! One run of a UDP check: sends a datagram. An answer passes, and so does silence, since most services say nothing to
//! what they do not understand; only being told that nobody listens (ICMP) is critical. As in Consul.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::net::UdpSocket;

use crate::{
    model::Status,
    outbound::{Outbound, host_and_port},
};

const QUESTION: &[u8] = b"health";
/// How long an answer, or word that nobody listens, is waited for; the latter takes one round trip.
const SILENCE: Duration = Duration::from_secs(1);

/// Sends a datagram to `address`, a `host:port`; `limit` is the check's time-out.
pub(super) async fn probe(address: &str, limit: Duration, outbound: &Outbound) -> (Status, String) {
    match ask(address, limit.min(SILENCE).mul_f64(0.9), outbound).await {
        Ok(()) => (Status::Passing, format!("UDP connect {address}: Success")),
        Err(failure) => (Status::Critical, failure),
    }
}

async fn ask(address: &str, patience: Duration, outbound: &Outbound) -> Result<(), String> {
    let (host, port) = host_and_port(address)?;
    let ip = outbound.addresses(host).await?.into_iter().next().ok_or_else(|| format!("{host} has no address"))?;
    let any: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let exchange = async {
        let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
        socket.connect(SocketAddr::new(ip, port)).await?;
        socket.send(QUESTION).await?;
        match tokio::time::timeout(patience, socket.recv(&mut [0; 1])).await {
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    };
    exchange.await.map_err(|error: std::io::Error| format!("dial udp {address}: {error}"))
}
