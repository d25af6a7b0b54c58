//! A tiny web server on a port of its own that stands for a service: it answers `/health` with the status that a test
//! gives it, and everything else with 200, always with the same body. It can be ended at any time.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    thread,
    time::Duration,
};

use crate::ports;

/// Longest time that a client may hold the server with half a request.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// The server, until dropped: after that its port refuses.
#[derive(Debug)]
pub struct Web {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    health: Arc<AtomicU16>,
    ended: Arc<AtomicBool>,
}

impl Web {
    /// A healthy server that answers `body`.
    ///
    /// # Panics
    /// No port can be bound.
    #[must_use]
    pub fn start(body: &str) -> Self {
        let port = ports::free();
        let address: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
        let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        let (health, ended) = (Arc::new(AtomicU16::new(200)), Arc::new(AtomicBool::new(false)));
        let (answer, last) = (Arc::clone(&health), Arc::clone(&ended));
        let body = body.to_owned();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if last.load(Ordering::Relaxed) {
                    return;
                }
                // A client that goes away in the middle is none of the server's business.
                reply(stream, answer.load(Ordering::Relaxed), &body).unwrap_or_default();
            }
        });
        Self { port, health, ended }
    }

    /// Answers `/health` with another status code from now on.
    pub fn set_health(&self, code: u16) {
        self.health.store(code, Ordering::Relaxed);
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the thread, which closes the listener.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

fn reply(mut stream: TcpStream, health: u16, body: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(REQUEST_LIMIT))?;
    let (mut request, mut part) = (Vec::new(), [0; 1024]);
    while !request.windows(4).any(|window| window == b"\r\n\r\n") && request.len() < 16 * part.len() {
        match stream.read(&mut part)? {
            0 => return Ok(()),
            length => request.extend_from_slice(&part[..length]),
        }
    }
    let code = if request.starts_with(b"GET /health ") { health } else { 200 };
    let length = body.len();
    let head = format!("HTTP/1.1 {code} Status\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n");
    write!(stream, "{head}Connection: close\r\n\r\n{body}")
}
