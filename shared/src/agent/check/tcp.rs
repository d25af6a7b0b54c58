//! One run of a TCP check: the connection can be opened.

use super::connect::{connect, host_and_port};
use crate::model::Status;

/// Connects to `address`, a `host:port`, and closes again.
pub(super) async fn probe(address: &str) -> (Status, String) {
    let connected = async {
        let (host, port) = host_and_port(address)?;
        connect(host, port).await
    };
    match connected.await {
        Ok(_) => (Status::Passing, format!("TCP connect {address}: Success")),
        Err(failure) => (Status::Critical, failure),
    }
}
