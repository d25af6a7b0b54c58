//! Free ports on loopback.
//!
//! They come from below the kernel's range for outgoing connections (32768 and up on Linux), and not from binding
//! port 0: a port of that range may become some client's local port while its agent is down between kill and restart.

use std::{
    net::{Ipv4Addr, TcpListener, UdpSocket},
    process,
    sync::atomic::{AtomicU16, Ordering},
};

const FIRST: u16 = 15_000;
const COUNT: u16 = 17_000;

/// The ports of one agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// HTTP API.
    pub http: u16,
    /// DNS, UDP and TCP.
    pub dns: u16,
    /// Gossip of the datacenter, UDP and TCP.
    pub serf_lan: u16,
    /// Gossip of the servers of all datacenters, UDP and TCP.
    pub serf_wan: u16,
    /// Server RPC.
    pub server: u16,
    /// gRPC for applications.
    pub grpc: u16,
}

impl Ports {
    /// Six free ports.
    #[must_use]
    pub fn free() -> Self {
        Self { http: free(), dns: free(), serf_lan: free(), serf_wan: free(), server: free(), grpc: free() }
    }

    /// Each with the name it has in a configuration file.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u16); 6] {
        [
            ("http", self.http),
            ("dns", self.dns),
            ("serf_lan", self.serf_lan),
            ("serf_wan", self.serf_wan),
            ("server", self.server),
            ("grpc", self.grpc),
        ]
    }

    /// Each as the command-line flag that sets it.
    #[must_use]
    pub fn flags(&self) -> Vec<String> {
        self.named().iter().map(|(name, port)| format!("-{}-port={port}", name.replace('_', "-"))).collect()
    }
}

/// A port that nothing listens on, TCP or UDP, and that this process has not given out before.
///
/// # Panics
/// All are taken.
#[must_use]
pub fn free() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs that run at once start at different places.
    let start = u16::try_from(process::id().wrapping_mul(97) % u32::from(COUNT)).unwrap_or(0);
    for _ in 0..COUNT {
        let offset = (u32::from(start) + u32::from(NEXT.fetch_add(1, Ordering::Relaxed))) % u32::from(COUNT);
        let port = FIRST + u16::try_from(offset).unwrap_or(0);
        if is_free(port) {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT)
}

/// Whether `port` can be bound on loopback by TCP and by UDP.
#[must_use]
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() && UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
