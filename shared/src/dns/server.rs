//! The sockets: one UDP socket read by a few tasks, one TCP listener with a bounded number of connections.
//!
//! A UDP task answers a question before it takes the next, in the same buffer. A TCP connection (RFC 7766) is closed
//! when it is idle or its client does not read.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::Arc,
    thread::available_parallelism,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::{
    Error, Settings,
    handler::{QUESTION_BYTES, Transport, respond},
};
use crate::{tasks::Tasks, view::Reader};

/// Tasks that read the UDP socket, at most.
const MAX_UDP_TASKS: usize = 4;
/// TCP connections at once; more are closed at once.
const MAX_CONNECTIONS: usize = 512;
/// How long a connection may be silent, and how long a client may take to read an answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait when no more connections can be accepted (no free descriptor).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Attempts to find a port that is free for both protocols, when any will do.
const PORT_ATTEMPTS: usize = 16;

/// The sockets, bound, before anything is answered.
#[derive(Debug)]
pub struct Bound {
    udp: UdpSocket,
    tcp: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Where both listen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Binds UDP and TCP to the same address; port 0 is any port that is free for both.
///
/// # Errors
/// [`Error::Bind`].
pub async fn bind(address: SocketAddr) -> Result<Bound, Error> {
    let mut attempts = if address.port() == 0 { PORT_ATTEMPTS } else { 1 };
    loop {
        attempts -= 1;
        match bind_both(address).await {
            Err(Error::Bind { reason, .. }) if attempts > 0 && reason.kind() == ErrorKind::AddrInUse => {}
            bound => return bound,
        }
    }
}

async fn bind_both(address: SocketAddr) -> Result<Bound, Error> {
    let failed = |address, protocol| move |reason| Error::Bind { address, protocol, reason };
    let tcp = TcpListener::bind(address).await.map_err(failed(address, "TCP"))?;
    let address = tcp.local_addr().map_err(failed(address, "TCP"))?;
    let udp = UdpSocket::bind(address).await.map_err(failed(address, "UDP"))?;
    Ok(Bound { udp, tcp, address })
}

/// Starts answering; returns at once. A socket that fails ends its task, and so the process (see [`Tasks::spawn`]).
pub fn serve(bound: Bound, settings: Settings, reader: Reader, tasks: &Tasks) {
    let Bound { udp, tcp, address } = bound;
    let responder = Responder { settings: Arc::new(settings), reader };
    let udp = Arc::new(udp);
    for _ in 0..available_parallelism().map_or(1, usize::from).min(MAX_UDP_TASKS) {
        let (udp, responder, stopping) = (udp.clone(), responder.clone(), tasks.stopping());
        tasks.spawn("DNS by UDP", async move {
            let ended = stopping.run_until_cancelled(responder.datagrams(&udp)).await;
            let Some(Err(reason)) = ended else { return Ok(()) };
            Err(Error::Socket { address, protocol: "UDP", reason })
        });
    }
    let (short, stopping) = (tasks.clone(), tasks.stopping());
    tasks.spawn("DNS by TCP", async move {
        stopping.run_until_cancelled(responder.connections(&tcp, &short)).await;
        Ok::<(), Error>(())
    });
}

#[derive(Clone)]
struct Responder {
    settings: Arc<Settings>,
    reader: Reader,
}

impl Responder {
    fn respond(&self, packet: &[u8], transport: Transport) -> Option<Vec<u8>> {
        respond(packet, transport, &self.reader.load(), &self.settings, &mut rand::rng())
    }

    async fn datagrams(&self, socket: &UdpSocket) -> io::Result<()> {
        let mut buffer = vec![0; usize::from(QUESTION_BYTES)];
        loop {
            let (length, client) = match socket.recv_from(&mut buffer).await {
                Ok(received) => received,
                // What became of an earlier answer, on systems that report it here.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused) => {
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Some(answer) = self.respond(&buffer[..length], Transport::Udp) else { continue };
            if let Err(error) = socket.send_to(&answer, client).await {
                tracing::debug!(%client, %error, "DNS: an answer could not be sent");
            }
        }
    }

    async fn connections(&self, listener: &TcpListener, tasks: &Tasks) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let (stream, client) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::debug!(%error, "DNS: a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = places.clone().try_acquire_owned() else {
                tracing::debug!(%client, "DNS: too many connections");
                continue;
            };
            let (responder, stopping) = (self.clone(), tasks.stopping());
            tasks.spawn_short(async move {
                if let Some(Err(error)) = stopping.run_until_cancelled(responder.connection(stream)).await {
                    tracing::debug!(%client, %error, "DNS: the connection ended");
                }
                drop(place);
            });
        }
    }

    /// Questions and answers, each after its length (RFC 1035, section 4.2.2), one after the other.
    async fn connection(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut question = Vec::new();
        loop {
            if timeout(CONNECTION_TIMEOUT, read(&mut stream, &mut question)).await?.is_err() {
                return Ok(());
            }
            let Some(answer) = self.respond(&question, Transport::Tcp) else { return Ok(()) };
            let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
            let message = [&length.to_be_bytes()[..], &answer].concat();
            timeout(CONNECTION_TIMEOUT, stream.write_all(&message)).await??;
        }
    }
}

async fn read(stream: &mut TcpStream, question: &mut Vec<u8>) -> io::Result<()> {
    let length = stream.read_u16().await?;
    if length > QUESTION_BYTES {
        return Err(io::Error::other(format!("a question of {length} bytes")));
    }
    question.resize(usize::from(length), 0);
    stream.read_exact(question).await.map(|_| ())
}
