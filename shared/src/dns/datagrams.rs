//! DNS by UDP: a few loops, each with a socket, a batch of packets and [ready answers](Ready) of its own.
//!
//! A loop takes what has come with one system call, answers it, and sends the answers with another; nothing is allocated
//! or shared for a question that came before. What recursors have to be asked waits in a task of its own, and no more
//! of those than recursors have places.
//!
//! The loops are tasks of the runtime, woken by its poll: that costs one call per batch more than threads that block in
//! the receiving call, and nothing where it matters (under load batches are large); it needs no thread and no way to
//! wake one at shutdown.
//!
//! **Sockets.** All but one are bound with `SO_REUSEPORT`, so that the kernel gives each client to one loop. The first
//! is bound without it, and so fails where anybody else has the port; it gets the option after that. A second agent
//! fails at the TCP port first in any case. Answers leave from the address that was asked, also where a wildcard is bound.

use std::{
    io::{self, ErrorKind},
    net::{self, SocketAddr},
    os::fd::AsFd,
    sync::Arc,
    thread::available_parallelism,
    time::{Duration, Instant},
};

use lictor_packets::{BATCH, Batch, Peer, tell_local_addresses};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt::set_socket_reuseport};
use tokio::{io::Interest, net::UdpSocket, time::sleep};

use super::{
    Error,
    handler::{QUESTION_BYTES, Transport},
    ready::{MAX_MESSAGE_BYTES, Ready, Taken},
    server::{Later, Outcome, Responder},
};
use crate::{metrics::DnsTally, tasks::Tasks};

/// Loops, at most; there is one for each processor.
const MAX_LOOPS: usize = 4;
/// How long to wait when the kernel has no memory for what was received.
const MEMORY_PAUSE: Duration = Duration::from_millis(100);

/// The sockets of one address.
pub(super) fn bind(address: SocketAddr) -> io::Result<Vec<UdpSocket>> {
    let first = net::UdpSocket::bind(address)?;
    let loops = available_parallelism().map_or(1, usize::from).min(MAX_LOOPS);
    if loops > 1 {
        set_socket_reuseport(&first, true)?;
    }
    let others = (1..loops).map(|_| bind_another(address));
    [Ok(first)].into_iter().chain(others).map(|socket| prepared(socket?, address)).collect()
}

fn bind_another(address: SocketAddr) -> io::Result<net::UdpSocket> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    set_socket_reuseport(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    Ok(socket.into())
}

fn prepared(socket: net::UdpSocket, address: SocketAddr) -> io::Result<UdpSocket> {
    if address.ip().is_unspecified() {
        tell_local_addresses(socket.as_fd(), address.is_ipv6())?;
    }
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// Starts the loop of one socket.
pub(super) fn serve(socket: UdpSocket, address: SocketAddr, responder: &Responder, tasks: &Tasks) {
    let datagrams = Datagrams {
        socket: Arc::new(socket),
        responder: responder.clone(),
        ready: Ready::default(),
        batch: Batch::new(usize::from(QUESTION_BYTES), MAX_MESSAGE_BYTES),
        tally: DnsTally::default(),
    };
    let stopping = tasks.stopping();
    tasks.spawn("DNS by UDP", async move {
        let ended = stopping.run_until_cancelled(datagrams.run()).await;
        let Some(Err(reason)) = ended else { return Ok(()) };
        Err(Error::Socket { address, protocol: "UDP", reason })
    });
}

struct Datagrams {
    socket: Arc<UdpSocket>,
    responder: Responder,
    ready: Ready,
    batch: Batch,
    tally: DnsTally,
}

impl Datagrams {
    async fn run(mut self) -> io::Result<()> {
        loop {
            if let Err(error) = self.receive().await {
                match error.kind() {
                    // What became of an earlier answer, on systems that report it here.
                    ErrorKind::ConnectionReset
                    | ErrorKind::ConnectionRefused
                    | ErrorKind::HostUnreachable
                    | ErrorKind::NetworkUnreachable
                    | ErrorKind::Interrupted => continue,
                    _ if is_lack_of_memory(&error) => {
                        tracing::warn!(%error, "DNS: questions could not be received");
                        sleep(MEMORY_PAUSE).await;
                        continue;
                    }
                    _ => return Err(error),
                }
            }
            let began = Instant::now();
            self.answer();
            self.send().await;
            self.tally.add_up(began.elapsed());
        }
    }

    /// Waits for datagrams and takes a batch of them.
    async fn receive(&mut self) -> io::Result<()> {
        loop {
            self.socket.readable().await?;
            let mut received = 0;
            // A batch that is not full has emptied the socket. To say so within this call has the next wait for the poll
            // without one more attempt, and misses nothing that comes after it.
            let result = self.socket.try_io(Interest::READABLE, || {
                received = self.batch.receive(self.socket.as_fd())?;
                if received < BATCH { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            match result {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                _ if received > 0 => return Ok(()),
                _ => {}
            }
        }
    }

    fn answer(&mut self) {
        let Self { socket, responder, ready, batch, tally } = self;
        let state = responder.reader.load();
        ready.see(&state);
        for exchange in batch.exchanges() {
            let peer = exchange.peer().clone();
            let (question, answer) = exchange.parts();
            match ready.consider(question, &state, &responder.settings, answer) {
                Taken::Answered => tally.count(Some(answer)),
                Taken::Left(step) => match responder.go_on(step, Transport::Udp) {
                    Outcome::Now(None) => tally.count(None),
                    Outcome::Now(Some(message)) => {
                        tally.count(Some(&message));
                        *answer = message;
                    }
                    Outcome::Later(later) => answer_later(socket, responder, later, peer),
                },
            }
        }
    }

    async fn send(&mut self) {
        while let Err(error) = self.batch.send(self.socket.as_fd()) {
            if error.kind() == ErrorKind::WouldBlock {
                // It also fails where the socket is gone; that ends the next attempt to receive.
                let batch = &mut self.batch;
                let sent = self.socket.async_io(Interest::WRITABLE, || batch.send(self.socket.as_fd())).await;
                if sent.is_ok() {
                    return;
                }
            }
            tracing::debug!(%error, "DNS: an answer could not be sent");
        }
    }
}

fn is_lack_of_memory(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::NOBUFS, Errno::NOMEM].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn answer_later(socket: &Arc<UdpSocket>, responder: &Responder, later: Later, peer: Peer) {
    let (socket, stopping) = (socket.clone(), responder.tasks.stopping());
    responder.tasks.spawn_short(async move {
        if let Some(Some(mut answer)) = stopping.run_until_cancelled(later.reply()).await
            && let Err(error) =
                socket.async_io(Interest::WRITABLE, || lictor_packets::send(socket.as_fd(), &mut answer, &peer)).await
        {
            tracing::debug!(client = ?peer, %error, "DNS: an answer could not be sent");
        }
    });
}
