//! The floors of this machine: programs that take questions and send answers as Lictor does, and do nothing in between.
//!
//! What they reach is what the kernel, the packets and the HTTP library leave: no registry on them can be faster. Each
//! runs in a process of its own, this program started again, so that its processor time is counted alone.

use std::{
    convert::Infallible,
    env, io,
    net::{TcpStream, UdpSocket},
    os::fd::AsFd,
    path::Path,
    process::Command,
    str::FromStr,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use lictor_packets::{Batch, Waits};
use lictor_tests::{ports, process::Process};

use crate::{load::wait_for, processor::Processes};

/// The longest datagram that is taken, in bytes.
const DATAGRAM_BYTES: usize = 4096;
/// Where a DNS message says that it is an answer (RFC 1035, section 4.1.1), and how.
const FLAGS: usize = 2;
const ANSWER: u8 = 0x80;

/// What a floor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Floor {
    /// Sends DNS questions back as answers, by the batch.
    Udp,
    /// Answers each HTTP request with the same body of so many bytes, and the headers that Lictor's answers have.
    Http(usize),
}

/// A floor and the port of loopback it is at, as on a command line: `udp@PORT`, `http-BYTES@PORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(Floor, u16);

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is none of udp@PORT, http-BYTES@PORT");
        let (floor, port) = text.split_once('@').ok_or_else(bad)?;
        let floor = match floor.strip_prefix("http-") {
            Some(bytes) => Floor::Http(bytes.parse().map_err(|_| bad())?),
            None if floor == "udp" => Floor::Udp,
            None => return Err(bad()),
        };
        Ok(Self(floor, port.parse().map_err(|_| bad())?))
    }
}

/// A floor that runs. It ends when dropped.
#[derive(Debug)]
pub struct Running {
    /// Where it answers.
    pub port: u16,
    process: Process,
}

impl Running {
    /// Starts one.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start(floor: Floor, directory: &Path) -> Self {
        let port = ports::free();
        let place = match floor {
            Floor::Udp => format!("udp@{port}"),
            Floor::Http(bytes) => format!("http-{bytes}@{port}"),
        };
        let program = env::current_exe().unwrap_or_else(|error| panic!("this program: {error}"));
        let mut process = Process::start("floor", directory, Command::new(program).args(["--floor", &place]));
        wait_for("the floor", &mut process, || match floor {
            Floor::Udp => UdpSocket::bind(("127.0.0.1", port)).is_err(),
            Floor::Http(_) => TcpStream::connect(("127.0.0.1", port)).is_ok(),
        });
        Self { port, process }
    }

    /// Its process.
    #[must_use]
    pub fn processes(&self) -> Processes {
        Processes::one("floor", self.process.id())
    }
}

/// Is a floor, until this process is killed.
///
/// # Errors
/// Its port is taken, or the socket fails.
pub fn run(Place(floor, port): Place) -> io::Result<()> {
    match floor {
        Floor::Udp => udp(&UdpSocket::bind(("127.0.0.1", port))?),
        Floor::Http(bytes) => {
            tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(http(port, bytes))
        }
    }
}

fn udp(socket: &UdpSocket) -> io::Result<()> {
    let mut batch = Batch::new(DATAGRAM_BYTES, DATAGRAM_BYTES);
    loop {
        batch.receive(socket.as_fd(), Waits::Yes)?;
        for exchange in batch.exchanges() {
            exchange.answer.extend_from_slice(exchange.question);
            if let Some(flags) = exchange.answer.get_mut(FLAGS) {
                *flags |= ANSWER;
            }
        }
        batch.send(socket.as_fd())?;
    }
}

async fn http(port: u16, bytes: usize) -> io::Result<()> {
    let body = Bytes::from(vec![b'0'; bytes]);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let body = body.clone();
        tokio::spawn(async move {
            let service = service_fn(move |_| {
                let answer = answer(body.clone());
                async move { Ok::<_, Infallible>(answer) }
            });
            // A caller that goes away is no failure of a floor.
            let _ =
                http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    for (name, value) in [
        ("content-type", "application/json"),
        ("vary", "Accept-Encoding"),
        ("x-consul-default-acl-policy", "allow"),
        ("x-consul-effective-consistency", "stale"),
        ("x-consul-index", "1024"),
        ("x-consul-knownleader", "true"),
        ("x-consul-lastcontact", "0"),
    ] {
        response.headers_mut().insert(name, hyper::header::HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (text, expected) in [
            ("udp@53", Some(Place(Floor::Udp, 53))),
            ("http-700@80", Some(Place(Floor::Http(700), 80))),
            ("http-@80", None),
            ("tcp@80", None),
            ("udp", None),
            ("udp@99999", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
    }
}
