//! DNS by UDP: a few loops over one socket, each with a batch of packets and [ready answers](Ready) of its own.
//!
//! A loop takes what has come with one system call, answers it, and sends the answers with another; nothing is allocated
//! or shared for a question that came before. What recursors have to be asked waits in a task of its own, and no more
//! of those than recursors have places.
//!
//! **Threads.** Each loop is a thread, the first of which blocks in the receiving call: there is no poll before it and no
//! other thread is woken for it. A loop that finds its batch full again and again wakes the next one, which rests when
//! it finds nothing: the fewer loops there are, the more each call brings. Tasks of the runtime, each with a socket of
//! its own (`SO_REUSEPORT`), gave a sixth fewer answers for the same time on a processor, for all of them work on small
//! batches all the time; and such a port can be shared by another process of this user.
//!
//! **The end.** When the task that watches over the threads ends, for whatever reason, the socket is shut down for
//! reading, which ends the wait of the first, and the others are woken. The task waits for all of them.

use std::{
    io::{self, ErrorKind},
    net::{self, IpAddr, SocketAddr},
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, Thread, available_parallelism},
    time::{Duration, Instant},
};

use futures_util::future::{join_all, select_all};
use lictor_packets::{BATCH, Batch, Peer, Waits, tell_local_addresses};
use rustix::net::Shutdown;
use tokio::{runtime::Handle, sync::oneshot};

use super::{
    Error,
    freshness::Verdict,
    gate::{Passes, ask_by_tcp},
    handler::{QUESTION_BYTES, Transport},
    ready::{MAX_MESSAGE_BYTES, Ready, Taken},
    server::{Later, Outcome, Responder},
};
use crate::{metrics::DnsTally, tasks::Tasks};

/// Loops, at most; there may be one for each processor.
const MAX_LOOPS: usize = 4;
/// After how many full batches, one after the other, a loop wakes the next.
const FULL_BATCHES: u32 = 4;
/// How long to wait when the kernel has no memory for what was received.
const MEMORY_PAUSE: Duration = Duration::from_millis(100);

/// The socket of an address.
pub(super) fn bind(address: SocketAddr) -> io::Result<net::UdpSocket> {
    let socket = net::UdpSocket::bind(address)?;
    if address.ip().is_unspecified() {
        tell_local_addresses(socket.as_fd(), address.is_ipv6())?;
    }
    Ok(socket)
}

/// Starts the loops of a socket.
pub(super) fn serve(socket: net::UdpSocket, address: SocketAddr, responder: &Responder, tasks: &Tasks) {
    let (responder, stopping) = (responder.clone(), tasks.stopping());
    tasks.spawn("DNS by UDP", async move {
        let failed = |reason| Error::Socket { address, protocol: "UDP", reason };
        let (loops, mut ends) = Loops::start(socket, &responder).map_err(failed)?;
        tokio::select! {
            () = stopping.cancelled() => {}
            (first, ..) = select_all(ends.iter_mut()) => {
                let panicked = |_| io::Error::other("a thread of it panicked");
                return first.map_err(panicked).flatten().map_err(failed);
            }
        }
        drop(loops);
        join_all(ends).await;
        Ok(())
    });
}

/// Dropped, it ends all loops of a socket.
struct Loops {
    socket: Arc<Socket>,
    threads: Vec<Thread>,
}

/// What the loops share.
struct Socket {
    socket: net::UdpSocket,
    is_stopping: AtomicBool,
}

/// How a loop ended; nothing where it panicked.
type End = oneshot::Receiver<io::Result<()>>;

impl Loops {
    fn start(socket: net::UdpSocket, responder: &Responder) -> io::Result<(Self, Vec<End>)> {
        let is_limited = responder.gate.limits(socket.local_addr()?.ip());
        let socket = Arc::new(Socket { socket, is_stopping: AtomicBool::new(false) });
        let (mut loops, mut ends) = (Self { socket: socket.clone(), threads: Vec::new() }, Vec::new());
        let count = available_parallelism().map_or(1, usize::from).min(MAX_LOOPS);
        // The last first: each knows the one to wake.
        for place in (0..count).rev() {
            let (ended, end) = oneshot::channel();
            let (socket, responder, next) = (socket.clone(), responder.clone(), loops.threads.last().cloned());
            let runtime = Handle::current();
            let run = move || {
                let result = {
                    // For the tasks that wait for recursors.
                    let _entered = runtime.enter();
                    Datagrams::new(socket, responder, next, (place == 0, is_limited)).run()
                };
                // Nobody listens any more where the runtime is gone.
                let _ = ended.send(result);
            };
            let thread = thread::Builder::new().name(format!("dns-{place}")).spawn(run)?;
            loops.threads.push(thread.thread().clone());
            ends.push(end);
        }
        Ok((loops, ends))
    }
}

impl Drop for Loops {
    fn drop(&mut self) {
        self.socket.is_stopping.store(true, Relaxed);
        // It says that the socket has no peer, and ends the wait all the same.
        let _ = rustix::net::shutdown(&self.socket.socket, Shutdown::Read);
        self.threads.iter().for_each(Thread::unpark);
    }
}

struct Datagrams {
    socket: Arc<Socket>,
    responder: Responder,
    /// The loop to wake when this one has too much to do.
    next: Option<Thread>,
    /// Whether this is the one that is always there.
    is_first: bool,
    /// Whether there may be someone whose answers are limited.
    is_limited: bool,
    ready: Ready,
    verdict: Verdict,
    batch: Batch,
    tally: DnsTally,
}

impl Datagrams {
    fn new(
        socket: Arc<Socket>,
        responder: Responder,
        next: Option<Thread>,
        (is_first, is_limited): (bool, bool),
    ) -> Self {
        Self {
            socket,
            responder,
            next,
            is_first,
            is_limited,
            ready: Ready::default(),
            verdict: Verdict::default(),
            batch: Batch::new(usize::from(QUESTION_BYTES), MAX_MESSAGE_BYTES),
            tally: DnsTally::default(),
        }
    }

    fn run(mut self) -> io::Result<()> {
        let mut full_batches = 0;
        loop {
            let received = self.receive()?;
            if self.socket.is_stopping.load(Relaxed) {
                return Ok(());
            }
            full_batches = if received == BATCH { full_batches + 1 } else { 0 };
            if let Some(next) = self.next.as_ref().filter(|_| full_batches >= FULL_BATCHES) {
                full_batches = 0;
                next.unpark();
            }
            let began = Instant::now();
            self.answer(began);
            while let Err(error) = self.batch.send(self.socket.socket.as_fd()) {
                tracing::debug!(%error, "DNS: an answer could not be sent");
            }
            self.tally.add_up(began.elapsed());
        }
    }

    /// Waits for datagrams and takes a batch of them; perhaps none at the end.
    fn receive(&mut self) -> io::Result<usize> {
        let waits = if self.is_first { Waits::Yes } else { Waits::No };
        while !self.socket.is_stopping.load(Relaxed) {
            let error = match self.batch.receive(self.socket.socket.as_fd(), waits) {
                Ok(received) => return Ok(received),
                Err(error) => error,
            };
            match error.kind() {
                ErrorKind::WouldBlock => thread::park(),
                // What became of an earlier answer, on systems that report it here.
                ErrorKind::ConnectionReset
                | ErrorKind::ConnectionRefused
                | ErrorKind::HostUnreachable
                | ErrorKind::NetworkUnreachable
                | ErrorKind::Interrupted => {}
                _ if is_lack_of_memory(&error) => {
                    tracing::warn!(%error, "DNS: questions could not be received");
                    thread::sleep(MEMORY_PAUSE);
                }
                _ => return Err(error),
            }
        }
        Ok(0)
    }

    fn answer(&mut self, now: Instant) {
        let Self { socket, responder, ready, verdict, batch, tally, is_limited, .. } = self;
        let is_too_old = verdict.is_too_old(&responder.freshness, now);
        let state = responder.reader.load();
        ready.see(&state, responder.rights());
        for exchange in batch.exchanges() {
            if *is_limited && let Some(asker) = asker(exchange.peer) {
                match responder.gate.datagram(asker, now) {
                    Passes::Yes => {}
                    Passes::ByTcp => {
                        ask_by_tcp(exchange.question, exchange.answer);
                        continue;
                    }
                    Passes::No => continue,
                }
            }
            let taken = if is_too_old {
                Taken::Left(responder.without_view(exchange.question, Transport::Udp))
            } else {
                ready.consider(exchange.question, &state, &responder.settings, exchange.answer)
            };
            match taken {
                Taken::Answered => tally.count(Some(exchange.answer)),
                Taken::Left(step) => match responder.go_on(step, Transport::Udp, || asker(exchange.peer)) {
                    Outcome::Now(None) => tally.count(None),
                    Outcome::Now(Some(message)) => {
                        tally.count(Some(&message));
                        *exchange.answer = message;
                    }
                    Outcome::Later(later) => answer_later(socket.clone(), responder, later, exchange.peer.clone()),
                },
            }
        }
    }
}

fn asker(peer: &Peer) -> Option<IpAddr> {
    peer.address().map(|address| address.ip())
}

fn is_lack_of_memory(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::NOBUFS, Errno::NOMEM].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn answer_later(socket: Arc<Socket>, responder: &Responder, later: Later, peer: Peer) {
    let stopping = responder.tasks.stopping();
    responder.tasks.spawn_short(async move {
        if let Some(Some(mut answer)) = stopping.run_until_cancelled(later.reply()).await
            && let Err(error) = lictor_packets::send(socket.socket.as_fd(), &mut answer, &peer)
        {
            tracing::debug!(client = ?peer, %error, "DNS: an answer could not be sent");
        }
    });
}
