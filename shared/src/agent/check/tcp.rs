//! One run of a TCP check: the connection can be opened.

use super::connect::connect;
use crate::model::Status;

/// Connects to `address`, a `host:port`, and closes again.
pub(super) async fn probe(address: &str) -> (Status, String) {
    let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let Some((host, port)) = parts else {
        return (Status::Critical, format!("{address:?} is no host:port"));
    };
    let host = if host.is_empty() { "localhost" } else { host };
    match connect(host, port).await {
        Ok(_) => (Status::Passing, format!("TCP connect {address}: Success")),
        Err(failure) => (Status::Critical, failure),
    }
}
