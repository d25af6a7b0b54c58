//! Names that are nobody's, each asked once, as fast as they are answered: what an agent remembers of each must not add up.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use super::source::connect_from;
use crate::agent::Agent;

/// Questions on their way at once.
const WINDOW: u32 = 32;
/// A lost packet is not waited for any longer.
const LOST: Duration = Duration::from_millis(500);

/// Asks for so many names by DNS, and again by HTTP.
pub(super) fn ask(agent: &Agent, names: u32, say: &dyn Fn(String)) -> Vec<String> {
    let mut wrong = Vec::new();
    let (dns, http) = (agent.address(agent.ports.dns), agent.address(agent.ports.http));
    let mut judge = |what: &str, ask: &dyn Fn() -> io::Result<u32>| {
        let began = Instant::now();
        match ask() {
            Ok(answered) if answered >= names / 10 * 9 => {}
            Ok(answered) => wrong.push(format!("{what}: {answered} of {names} names are answered")),
            Err(error) => wrong.push(format!("{what}: {error}")),
        }
        say(format!("{names} names by {what} in {:.1?}", began.elapsed()));
    };
    judge("DNS", &|| by_dns(dns, names));
    judge("HTTP", &|| by_http(http, names));
    wrong
}

fn by_dns(target: SocketAddr, names: u32) -> io::Result<u32> {
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 9, 100), 0))?;
    socket.connect(target)?;
    socket.set_read_timeout(Some(LOST))?;
    let (mut answered, mut buffer) = (0, [0; 1024]);
    for first in (0..names).step_by(WINDOW as usize) {
        for number in first..(first + WINDOW).min(names) {
            let label = format!("name-{number:08x}");
            let mut packet = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            for label in [label.as_str(), "service", "consul"] {
                packet.push(u8::try_from(label.len()).unwrap_or(0));
                packet.extend(label.bytes());
            }
            packet.extend([0, 0, 1, 0, 1]);
            socket.send(&packet)?;
        }
        for _ in first..(first + WINDOW).min(names) {
            match socket.recv(&mut buffer) {
                Ok(_) => answered += 1,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(answered)
}

/// Every fiftieth would wait for a change, for a moment.
fn by_http(target: SocketAddr, names: u32) -> io::Result<u32> {
    let mut stream = connect_from(Ipv4Addr::new(127, 0, 9, 101), target)?;
    let mut answered = 0;
    let mut buffer = vec![0; 1 << 16];
    for first in (0..names).step_by(WINDOW as usize) {
        let asked = first..(first + WINDOW).min(names);
        let requests: String = asked
            .clone()
            .map(|number| {
                let more = if number % 50 == 0 { "?index=1&wait=1us" } else { "?stale" };
                format!("GET /v1/health/service/name-{number:08x}{more} HTTP/1.1\r\nHost: x\r\n\r\n")
            })
            .collect();
        stream.write_all(requests.as_bytes())?;
        // Every answer is an empty list, and nothing in its headers ends so.
        let mut ends = 0;
        while ends < asked.len() {
            let length = stream.read(&mut buffer)?;
            if length == 0 {
                return Err(io::Error::other("the connection was closed"));
            }
            ends += buffer[..length].iter().filter(|byte| **byte == b']').count();
        }
        answered += u32::try_from(ends).unwrap_or(u32::MAX);
    }
    Ok(answered)
}
