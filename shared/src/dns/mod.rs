//! The DNS interface: services, nodes and addresses of this datacenter under our domain.
//!
//! A question is answered from the snapshot a [`Reader`](crate::view::Reader) holds, with no network, lock or await in
//! between: `question` parses the name, `answer` finds the records (both pure), `records` builds their data, `limit`
//! makes them fit the client's buffer, `handler` turns packet into packet. `ready` keeps the packets of questions by UDP
//! that come again, `datagrams` is the loop that receives and sends those by the batch, `server` does the rest.
//!
//! Messages are read and written by `hickory-proto`; the socket loops are our own. `hickory-server` starts a task
//! per packet, accepts any number of TCP connections, spins when descriptors run out, allocates by the packet's own
//! question count before reading it, and logs two lines at info per question.
//!
//! A prepared query that says `_ip` measures from the address that a resolver tells of its client (RFC 7871); the address
//! that a packet came from is not looked at, as on a host it is always that of the host.
//!
//! Names outside our domain are asked of the configured `recursor`s, or refused where there are none, and to those who are
//! not of the `recursion_networks` (`gate`, which also keeps forged addresses from being flooded with our answers). A view that is too
//! old (`freshness`) is answered from no more: our names get SERVFAIL.
//!
//! What is another datacenter's matter is asked there (`far`), by way of this node's HTTP interface.

mod answer;
mod datagrams;
mod far;
mod freshness;
mod gate;
mod handler;
mod limit;
mod question;
mod ready;
mod records;
mod recursor;
mod server;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use hickory_proto::rr::Name;
use smol_str::SmolStr;

pub use self::{
    answer::{Answer, answer},
    far::{Far, FarLookups, FarSubject},
    freshness::Freshness,
    handler::{Transport, respond},
    question::{Question, Subject},
    ready::Ready,
    server::{Bound, bind, serve},
};
use crate::{catalog::Protection, http::Network, limits::Rate};

/// How questions are answered. [`Settings::default`] has Consul's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The domain we answer for; see [`domain`].
    pub domain: Name,
    /// A second domain with the same content.
    pub alt_domain: Option<Name>,
    /// The datacenter whose catalog we hold.
    pub datacenter: SmolStr,
    /// This agent's node: where prepared queries measure from that say `_agent`.
    pub node_name: SmolStr,
    /// How long node and address records may be kept.
    pub node_ttl: Duration,
    /// How long service records may be kept, by lower-case service name; a key may end in `*` (any name that begins
    /// so). The exact name wins, then the longest prefix; others are not kept.
    pub service_ttl: BTreeMap<SmolStr, Duration>,
    /// How many records a UDP answer has at most when the client did not say (by EDNS) that it takes more than 512
    /// bytes.
    pub udp_answer_limit: usize,
    /// How many address records an answer has at most, however it is asked for; 0: any number.
    pub a_record_limit: usize,
    /// Set TC in an answer that was cut. Off, clients take the part they got for good and do not ask again by TCP.
    pub enable_truncate: bool,
    /// Leave instances in the warning state out too.
    pub only_passing: bool,
    /// When the instances of vanished nodes are served all the same; none: never.
    pub protection: Option<Protection>,
    /// Add TXT records of the node's meta to answers that name a node.
    pub node_meta_txt: bool,
    /// Write every name out in full.
    pub disable_compression: bool,
    /// The times in SOA records.
    pub soa: Soa,
    /// Who is asked for names outside our domain; none: they are refused.
    pub recursors: Vec<SocketAddr>,
    /// Who may have them asked; others are refused.
    pub recursion_networks: Vec<Network>,
    /// How often a network that is not this host is answered by UDP; none: as often as it asks.
    pub responses: Option<Rate>,
    /// How long one of them may take.
    pub recursor_timeout: Duration,
    /// In which order they are asked.
    pub recursor_strategy: RecursorStrategy,
}

/// In which order recursors are asked. One that did not answer lately comes after the others in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecursorStrategy {
    /// As they are written, each time.
    #[default]
    Sequential,
    /// In an order drawn anew each time.
    Random,
}

/// The times in SOA records (RFC 1035, section 3.3.13), in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Soa {
    /// Before a secondary looks again.
    pub refresh: u32,
    /// Before it tries again when that failed.
    pub retry: u32,
    /// After which it gives up.
    pub expire: u32,
    /// How long a negative answer may be kept (RFC 2308); also the record's own TTL.
    pub min_ttl: u32,
}

impl Default for Soa {
    fn default() -> Self {
        Self { refresh: 3600, retry: 600, expire: 86_400, min_ttl: 0 }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            domain: domain("consul.").expect("a valid domain"),
            alt_domain: None,
            datacenter: "dc1".into(),
            node_name: SmolStr::default(),
            node_ttl: Duration::ZERO,
            service_ttl: BTreeMap::new(),
            udp_answer_limit: 3,
            a_record_limit: 0,
            enable_truncate: false,
            only_passing: false,
            protection: None,
            node_meta_txt: true,
            disable_compression: false,
            soa: Soa::default(),
            recursors: Vec::new(),
            recursion_networks: ["127.0.0.0/8", "::1/128"].iter().filter_map(|text| text.parse().ok()).collect(),
            responses: None,
            recursor_timeout: Duration::from_secs(2),
            recursor_strategy: RecursorStrategy::default(),
        }
    }
}

impl Settings {
    /// The TTL in seconds of records about a service.
    fn service_ttl(&self, service: &str) -> u32 {
        if self.service_ttl.is_empty() {
            return 0;
        }
        let service = service.to_ascii_lowercase();
        let by_prefix = || {
            let prefixes = self.service_ttl.iter().filter_map(|(key, ttl)| Some((key.strip_suffix('*')?, ttl)));
            prefixes.filter(|(prefix, _)| service.starts_with(prefix)).max_by_key(|(prefix, _)| prefix.len())
        };
        self.service_ttl.get(service.as_str()).or_else(|| by_prefix().map(|(_, ttl)| ttl)).map_or(0, seconds)
    }
}

fn seconds(ttl: &Duration) -> u32 {
    // RFC 2181, section 8: at most 2^31 - 1.
    u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX).min(i32::MAX as u32)
}

/// A domain to answer for, from text; a dot at the end makes no difference.
///
/// # Errors
/// [`Error::Domain`] where it is no domain name (RFC 1035, section 2.3.4) or the root.
pub fn domain(text: &str) -> Result<Name, Error> {
    match records::host_name(text) {
        Some(name) if name.iter().count() > 0 => Ok(name),
        _ => Err(Error::Domain { domain: text.into() }),
    }
}

/// Why the DNS interface cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address could not be bound.
    #[error(
        "DNS: cannot listen on {address} ({protocol}): {reason}; stop what uses it or choose another with -dns-port or ports.dns"
    )]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// `UDP` or `TCP`.
        protocol: &'static str,
        /// What the system said.
        reason: std::io::Error,
    },
    /// A listening socket stopped working.
    #[error("DNS: the {protocol} socket {address} failed: {reason}")]
    Socket {
        /// Its address.
        address: SocketAddr,
        /// `UDP` or `TCP`.
        protocol: &'static str,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The configured domain cannot be one.
    #[error(
        "domain: {domain:?} is no domain name: labels of 1 to 63 characters separated by dots, 255 in all (try \"consul.\")"
    )]
    Domain {
        /// As configured.
        domain: String,
    },
}
