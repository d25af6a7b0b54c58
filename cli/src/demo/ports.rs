//! Addresses and ports on loopback that nothing listens on.
//!
//! Ports are taken from below the range that systems give to outgoing connections (32768 on Linux, 49152
//! elsewhere): else a connection made between this look and the agent's start could take one, and a check of a stopped
//! instance could connect to itself.

use std::{
    io,
    net::{Ipv4Addr, TcpListener, UdpSocket},
    ops::Range,
};

const CANDIDATES: Range<u16> = 20_000..32_000;

/// `count` addresses of this machine: 127.0.0.1 and its successors, or 127.0.0.1 each time where the system has no others.
pub fn addresses(count: u8) -> Vec<Ipv4Addr> {
    let distinct: Vec<Ipv4Addr> = (1..=count).map(|number| Ipv4Addr::new(127, 0, 0, number)).collect();
    if distinct.iter().all(|address| TcpListener::bind((*address, 0)).is_ok()) {
        return distinct;
    }
    vec![Ipv4Addr::LOCALHOST; count.into()]
}

/// `count` different ports that are free for TCP and UDP on all of `addresses`.
///
/// # Errors
/// There are not so many.
pub fn free(addresses: &[Ipv4Addr], count: usize) -> io::Result<Vec<u16>> {
    let length = CANDIDATES.end - CANDIDATES.start;
    let offset = rand::random_range(0..length);
    let ports = (0..length)
        .map(|step| CANDIDATES.start + (offset + step) % length)
        .filter(|port| addresses.iter().all(|address| is_free(*address, *port)))
        .take(count)
        .collect::<Vec<u16>>();
    match ports.len() == count {
        true => Ok(ports),
        false => Err(io::Error::other(format!("only {} of {count} free ports in {CANDIDATES:?}", ports.len()))),
    }
}

fn is_free(address: Ipv4Addr, port: u16) -> bool {
    TcpListener::bind((address, port)).is_ok() && UdpSocket::bind((address, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_different_and_can_be_bound() {
        let addresses = addresses(2);
        let ports = free(&addresses, 40).unwrap();
        let listeners: Vec<TcpListener> =
            ports.iter().map(|port| TcpListener::bind((addresses[1], *port)).unwrap()).collect();
        assert_eq!(listeners.len(), 40);
        let taken = listeners[0].local_addr().unwrap().port();
        assert!(!is_free(addresses[1], taken));
    }
}
