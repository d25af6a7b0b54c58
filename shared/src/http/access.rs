//! Who may do what, as the configuration says (`http_config`), and the headers that every answer carries.

use std::{fmt, net::IpAddr, str::FromStr};

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::Failure;

/// Addresses that share their first bits (RFC 4632): `10.0.0.0/8`, `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// A text that is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network (write an address, a slash and a number of bits: 10.0.0.0/8)")]
pub struct NoNetwork(String);

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let read = || {
            let (address, bits) = text.split_once('/')?;
            let (address, bits): (IpAddr, u8) = (address.parse().ok()?, bits.parse().ok()?);
            let most = if address.is_ipv4() { 32 } else { 128 };
            (bits <= most).then_some(Self { address, bits })
        };
        read().ok_or_else(|| NoNetwork(text.to_string()))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.bits)
    }
}

impl Network {
    /// Whether the address is one of them; an IPv4 address in IPv6's form counts as what it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= u32::from(self.bits)
            }
            _ => false,
        }
    }
}

/// What the configuration says about access. The default forbids nothing and adds nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// No path that begins with one of these is answered (`block_endpoints`).
    pub blocked: Vec<String>,
    /// Where requests that may change something must come from (`allow_write_http_from`); empty: from anywhere. A
    /// caller on a unix socket comes from no network.
    pub write_from: Vec<Network>,
    /// What every answer carries (`response_headers`), unless the answer itself says otherwise.
    pub response_headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether addresses of other datacenters' nodes are given as they are reached from here (`translate_wan_addrs`).
    pub translates_wan: bool,
}

impl Access {
    /// Whether a request may be handled; `peer` is `None` on a unix socket.
    ///
    /// # Errors
    /// 403, with Consul's words.
    pub fn check(&self, method: &Method, path: &str, peer: Option<IpAddr>) -> Result<(), Failure> {
        if self.blocked.iter().any(|prefix| path.starts_with(prefix.as_str())) {
            return Err(Failure::Forbidden("Endpoint is blocked by agent configuration"));
        }
        let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        let is_near = || peer.is_some_and(|peer| self.write_from.iter().any(|network| network.contains(peer)));
        if reads || self.write_from.is_empty() || is_near() {
            Ok(())
        } else {
            Err(Failure::Forbidden("Access is restricted"))
        }
    }

    /// Adds the configured headers.
    pub fn add_headers(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.response_headers {
            headers.entry(name).or_insert_with(|| value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        for (network, address, contains) in [
            ("10.0.0.0/8", "10.9.9.9", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("127.0.0.1/32", "127.0.0.1", true),
            ("127.0.0.1/32", "127.0.0.2", false),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe80::1", false),
            ("::1/128", "::1", true),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert_eq!(parsed.to_string(), network);
            assert_eq!(parsed.contains(address.parse().unwrap()), contains, "{network} {address}");
        }
        for text in ["", "10.0.0.0", "10.0.0.0/33", "::/129", "x/8", "10.0.0.0/-1"] {
            assert!(text.parse::<Network>().unwrap_err().to_string().contains("10.0.0.0/8"), "{text}");
        }
    }

    #[test]
    fn who_may_do_what() {
        let access = Access {
            blocked: vec!["/v1/agent/monitor".into()],
            write_from: vec!["10.0.0.0/8".parse().unwrap()],
            response_headers: Vec::new(),
            ..Access::default()
        };
        let (near, far) = (Some([10, 0, 0, 1].into()), Some([192, 168, 0, 1].into()));
        for (method, path, peer, allowed) in [
            (Method::GET, "/v1/agent/monitor", near, false),
            (Method::GET, "/v1/agent/self", far, true),
            (Method::GET, "/v1/agent/self", None, true),
            (Method::PUT, "/v1/agent/reload", near, true),
            (Method::PUT, "/v1/agent/reload", far, false),
            (Method::PUT, "/v1/agent/reload", None, false),
        ] {
            assert_eq!(access.check(&method, path, peer).is_ok(), allowed, "{method} {path} {peer:?}");
            assert!(Access::default().check(&method, path, peer).is_ok());
        }
    }
}
