//! What callers may take: `limits`, and what else bounds them. What each means stands with what keeps it (`http::Limits`,
//! `crate::limits`).

use std::time::Duration;

use super::{error::ConfigError, partial::Partial, resolve::Resolved};
use crate::{
    http::{Limits, Network},
    limits::{Connections, Rate},
};

/// The largest value or transaction that can be allowed, in bytes: half of what the log takes in one entry.
const LARGEST_REQUEST_BYTES: usize = 4 << 20;
/// The largest headers that can be allowed, in bytes: what is longer is refused before it is counted.
const LARGEST_HEADERS_BYTES: usize = 60 << 10;
/// Consul's: connections of one address to the servers' port. A sidecar has two or three.
const RPC_CONNECTIONS_PER_CLIENT: usize = 100;
/// Consul's, too: how long a peer may take for its first words.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
/// Consul's: how many requests to the servers may come at once, where their rate is limited.
const RPC_BURST: u32 = 1000;
/// How long an application may take for its first words.
const APPLICATION_FIRST_WORDS: Duration = Duration::from_secs(10);
/// Connections of one address to the gRPC interface. Nearly all come from the host itself, so that is a quarter of all.
const GRPC_CONNECTIONS_PER_CLIENT: usize = 256;
/// Watch streams of one address, for the same reason half of all.
const GRPC_STREAMS_PER_CLIENT: usize = 2048;
/// Answers by UDP to one network outside this host, a second: more than a resolver that serves thousands of hosts asks,
/// and too few to be worth an attacker's while.
const DNS_RESPONSES_PER_SECOND: f64 = 5000.0;
/// Who may have names outside our domain resolved, unless the configuration says otherwise: this host, and addresses that
/// nobody on the internet has (RFC 1918, 3927, 4193, 4291, 6598). So containers and the hosts of a private network go on
/// as they are used to where an agent answers at all addresses, and one that can be reached from the internet does not
/// become an open resolver, with which others are attacked.
const RECURSION_NETWORKS: [&str; 9] = [
    "127.0.0.0/8",
    "::1/128",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
];

pub(super) fn http(said: &Partial) -> Resolved<Limits> {
    let usual = Limits::default();
    let bounded = |name: &'static str, bytes: usize, most: usize| {
        if bytes <= most {
            return Ok(bytes);
        }
        Err(ConfigError::setting(name, format!("{bytes} is too much (at most {most} bytes)")))
    };
    let kv_value_bytes = said.kv_max_value_size.unwrap_or(usual.kv_value_bytes);
    let kv_value_bytes = bounded("limits.kv_max_value_size", kv_value_bytes, LARGEST_REQUEST_BYTES)?;
    // As in Consul, a transaction may be as long as a value.
    let transaction_bytes = said.txn_max_req_len.unwrap_or(usual.transaction_bytes).max(kv_value_bytes);
    let headers_bytes = match said.http_max_header_bytes {
        // Consul's word for its default.
        None | Some(0) => usual.headers_bytes,
        Some(bytes) => bounded("http_config.max_header_bytes", bytes, LARGEST_HEADERS_BYTES)?,
    };
    Ok(Limits {
        connections_per_client: of_client(said.http_max_conns_per_client, usual.connections_per_client),
        kv_value_bytes,
        transaction_bytes: bounded("limits.txn_max_req_len", transaction_bytes, LARGEST_REQUEST_BYTES)?,
        transaction_operations: said.txn_max_ops.unwrap_or(usual.transaction_operations),
        headers_bytes,
        watches_per_client: said.http_max_watches_per_client.filter(|count| *count > 0),
        rate_per_client: rate(
            ["limits.http_rate_per_client", "limits.http_burst_per_client"],
            said.http_rate_per_client,
            said.http_burst_per_client,
        )?,
        rate_per_token: rate(
            ["limits.http_rate_per_token", "limits.http_burst_per_token"],
            said.http_rate_per_token,
            said.http_burst_per_token,
        )?,
        ..usual
    })
}

/// 0 is no limit, as in Consul.
fn of_client(said: Option<usize>, usual: usize) -> usize {
    if said == Some(0) { usize::MAX } else { said.unwrap_or(usual) }
}

/// A rate, and its burst: twice what comes in a second, where nothing is said.
fn rate(
    [setting, burst_setting]: [&'static str; 2],
    per_second: Option<f64>,
    burst: Option<u32>,
) -> Resolved<Option<Rate>> {
    let Some(per_second) = per_second.filter(|per_second| *per_second > 0.0) else { return Ok(None) };
    if burst == Some(0) {
        return Err(ConfigError::setting(burst_setting, "0 lets nothing through (give 1 or more)"));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float beyond it becomes the largest")]
    let burst = burst.unwrap_or((per_second * 2.0).ceil() as u32);
    let rate = Rate::per_second(per_second, burst);
    rate.map(Some)
        .ok_or_else(|| ConfigError::setting(setting, format!("{per_second} is no number of requests a second")))
}

pub(super) fn rpc(said: &Partial) -> Connections {
    Connections {
        per_client: of_client(said.rpc_max_conns_per_client, RPC_CONNECTIONS_PER_CLIENT),
        first_words: said.rpc_handshake_timeout.filter(|limit| !limit.is_zero()).unwrap_or(HANDSHAKE_LIMIT),
    }
}

pub(super) fn rpc_rate(said: &Partial) -> Resolved<Option<Rate>> {
    let burst = said.rpc_max_burst.filter(|burst| *burst > 0).unwrap_or(RPC_BURST);
    rate(["limits.rpc_rate", "limits.rpc_max_burst"], said.rpc_rate, Some(burst))
}

pub(super) fn grpc(said: &Partial) -> Connections {
    Connections {
        per_client: of_client(said.grpc_max_conns_per_client, GRPC_CONNECTIONS_PER_CLIENT),
        first_words: APPLICATION_FIRST_WORDS,
    }
}

pub(super) fn grpc_streams(said: &Partial) -> usize {
    of_client(said.grpc_max_streams_per_client, GRPC_STREAMS_PER_CLIENT)
}

/// How often a network outside this host is answered by UDP; none: as often as it asks.
pub(super) fn dns_responses(said: &Partial) -> Option<Rate> {
    let per_second = said.dns_response_rate_limit.unwrap_or(DNS_RESPONSES_PER_SECOND);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float beyond it becomes the largest")]
    Rate::per_second(per_second, per_second.ceil() as u32)
}

pub(super) fn recursion_networks(said: &Partial) -> Resolved<Vec<Network>> {
    let networks: Vec<&str> = match &said.recursion_networks[..] {
        [] => RECURSION_NETWORKS.to_vec(),
        // Whoever may, this host may.
        given => RECURSION_NETWORKS[..2].iter().copied().chain(given.iter().map(|text| text.as_str())).collect(),
    };
    let read = |text: &str| text.parse().map_err(|error| wrong(&error));
    networks.into_iter().map(read).collect()
}

fn wrong(error: &crate::http::NoNetwork) -> ConfigError {
    ConfigError::setting("dns_config.recursion_networks", error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_off_unless_they_are_asked_for() {
        let usual = http(&Partial::default()).unwrap();
        assert_eq!((usual.rate_per_client, usual.rate_per_token, usual.watches_per_client), (None, None, None));
        assert_eq!(rpc_rate(&Partial::default()).unwrap(), None);
        let said = Partial { http_rate_per_client: Some(100.0), rpc_rate: Some(-1.0), ..Partial::default() };
        assert_eq!(http(&said).unwrap().rate_per_client, Rate::per_second(100.0, 200));
        assert_eq!(rpc_rate(&said).unwrap(), None, "as Consul writes that there is no limit");
        let said = Partial { http_rate_per_token: Some(1.0), http_burst_per_token: Some(0), ..Partial::default() };
        assert!(http(&said).unwrap_err().to_string().contains("limits.http_burst_per_token"));
        let said = Partial { http_max_header_bytes: Some(1 << 20), ..Partial::default() };
        assert!(http(&said).unwrap_err().to_string().contains("http_config.max_header_bytes"));
    }

    #[test]
    fn who_may_have_names_resolved() {
        let may =
            |networks: &[Network], text: &str| networks.iter().any(|network| network.contains(text.parse().unwrap()));
        let usual = recursion_networks(&Partial::default()).unwrap();
        for (address, allowed) in [
            ("127.0.0.1", true),
            ("172.17.0.2", true),
            ("::ffff:10.0.0.1", true),
            ("fd00::1", true),
            ("8.8.8.8", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(may(&usual, address), allowed, "{address}");
        }
        let said = Partial { recursion_networks: vec!["10.1.0.0/16".into()], ..Partial::default() };
        let given = recursion_networks(&said).unwrap();
        assert!(may(&given, "10.1.0.1") && may(&given, "127.0.0.1") && !may(&given, "10.2.0.1"));
        let said = Partial { recursion_networks: vec!["10.1".into()], ..Partial::default() };
        assert!(recursion_networks(&said).unwrap_err().to_string().contains("dns_config.recursion_networks"));
        assert_eq!(dns_responses(&Partial { dns_response_rate_limit: Some(0.0), ..Partial::default() }), None);
    }
}
