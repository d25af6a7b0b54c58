//! What one caller, and all together, may take: requests a second ([`Buckets`]), places ([`Clients`]), and how many
//! descriptors of the process each port may have ([`share`]).
//!
//! Everything here is bounded whatever callers do, and none of it is shared between nodes: a limit protects the process
//! that has it. What a limit says to a caller is the business of the port that has it (`http`, `dns`, the gRPC ports).

mod buckets;
mod clients;
mod descriptors;
mod door;
mod paced;
mod places;

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

pub use self::{
    buckets::{Buckets, Pace},
    clients::{Clients, Place},
    descriptors::{Port, open_files, raise_descriptors, share},
    door::Door,
    paced::Paced,
    places::{Full, Places, Seat},
};

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The time between two of them, in the long run; not zero.
    pub interval: Duration,
    /// How many may come at once after a pause; 1 or more.
    pub burst: u32,
}

impl Rate {
    /// So many a second, of which `burst` may come at once. `None` where that is no rate: nothing is limited by it.
    #[must_use]
    pub fn per_second(per_second: f64, burst: u32) -> Option<Self> {
        if !per_second.is_finite() || per_second <= 0.0 {
            return None;
        }
        let interval = Duration::try_from_secs_f64(per_second.recip()).unwrap_or(Duration::MAX);
        Some(Self { interval: interval.max(Duration::from_nanos(1)), burst: burst.max(1) })
    }
}

/// What connections to one port may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// From one client at once.
    pub per_client: usize,
    /// How long a peer may take for its first words.
    pub first_words: Duration,
}

impl Default for Connections {
    /// One client may have all places.
    fn default() -> Self {
        Self { per_client: usize::MAX, first_words: Duration::from_secs(5) }
    }
}

/// The address whose requests count together: an IPv4 address itself, also in IPv6's form; of an IPv6 address its first
/// 64 bits, since a host has all the others for itself (RFC 4291, section 2.5.4).
#[must_use]
pub fn client(address: IpAddr) -> IpAddr {
    masked(address, 32, 64)
}

/// The first bits of an address, by its kind; the rest is zero.
#[must_use]
pub fn masked(address: IpAddr, v4_bits: u32, v6_bits: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(v4_bits)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(v6_bits)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_requests_count_together() {
        for (one, other, together) in [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("2001:db8::1", "2001:db8::ffff:0:0:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            let [first, second] = [one, other].map(|text| client(text.parse().unwrap()));
            assert_eq!(first == second, together, "{one} {other}");
        }
        assert_eq!(masked("10.1.2.3".parse().unwrap(), 24, 56).to_string(), "10.1.2.0");
        assert_eq!(masked("2001:db8:0:1ff::1".parse().unwrap(), 24, 56).to_string(), "2001:db8:0:100::");
        assert_eq!(masked("10.1.2.3".parse().unwrap(), 0, 0).to_string(), "0.0.0.0");
    }

    #[test]
    fn what_is_no_rate_limits_nothing() {
        for nothing in [0.0, -1.0, f64::INFINITY, f64::NAN] {
            assert_eq!(Rate::per_second(nothing, 1), None);
        }
        let rate = Rate::per_second(0.5, 0).unwrap();
        assert_eq!((rate.interval, rate.burst), (Duration::from_secs(2), 1));
        assert!(Rate::per_second(1e300, 1).unwrap().interval > Duration::ZERO);
    }
}
