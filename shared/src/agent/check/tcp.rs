//! One run of a TCP check: the connection can be opened.

use crate::{
    model::Status,
    outbound::{Outbound, host_and_port},
};

/// Connects to `address`, a `host:port`, and closes again.
pub(super) async fn probe(address: &str, outbound: &Outbound) -> (Status, String) {
    let connected = async {
        let (host, port) = host_and_port(address)?;
        outbound.connect(host, port).await
    };
    match connected.await {
        Ok(_) => (Status::Passing, format!("TCP connect {address}: Success")),
        Err(failure) => (Status::Critical, failure),
    }
}
