//! Drives [`Protocol`] with sockets and the clock.
//!
//! The protocol is behind one lock, held for single calls and never across an await, so the handle can read and act
//! without a queue between. One task receives packets and keeps the timers, one accepts streams; each stream and each
//! exchange of our own is a short task, and their numbers are bounded.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast, watch},
    time::{Instant, sleep, sleep_until},
};

use super::{
    envelope::Envelope,
    limits::{MAX_INCOMING_STREAMS, MAX_PACKETS_PER_TURN, MAX_WAITING_EVENTS},
    protocol::{Output, Protocol},
    transport,
    user_event::UserEvent,
    wire::Request,
};
use crate::tasks::Tasks;

/// How long to wait after an error of the system (no buffers, no file descriptors) before trying again.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// What the handles and tasks of one pool share.
pub(super) struct Shared {
    protocol: Mutex<Protocol>,
    started: Instant,
    pub local_address: SocketAddr,
    pub envelope: Envelope,
    /// The version of the member table, published after each change.
    pub revision: watch::Sender<u64>,
    /// The packet task must look at its deadline again.
    wake: Notify,
    /// User events as they come in.
    pub events: broadcast::Sender<Arc<UserEvent>>,
    /// A turn of the packet task is over.
    pub progress: Notify,
    /// Gone with the tasks, so that handles do not keep the port.
    socket: Weak<UdpSocket>,
    tasks: Tasks,
}

impl Shared {
    /// Starts the tasks of a pool.
    pub fn start(protocol: Protocol, socket: UdpSocket, listener: TcpListener, tasks: &Tasks) -> io::Result<Arc<Self>> {
        let socket = Arc::new(socket);
        let shared = Arc::new(Self {
            started: Instant::now(),
            local_address: socket.local_addr()?,
            envelope: protocol.envelope.clone(),
            revision: watch::Sender::new(protocol.table.version()),
            protocol: Mutex::new(protocol),
            wake: Notify::new(),
            events: broadcast::Sender::new(MAX_WAITING_EVENTS),
            progress: Notify::new(),
            socket: Arc::downgrade(&socket),
            tasks: tasks.clone(),
        });
        tasks.spawn("gossip packets", run_packets(Arc::clone(&shared), socket));
        tasks.spawn("gossip streams", run_streams(Arc::clone(&shared), listener));
        Ok(shared)
    }

    /// The protocol, to read from.
    pub fn lock(&self) -> MutexGuard<'_, Protocol> {
        // A panic inside a call is a bug that has ended its task loudly; the state is still the best there is.
        self.protocol.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `call` change the protocol and carries out what follows from it.
    pub fn with<R>(self: &Arc<Self>, call: impl FnOnce(&mut Protocol, Duration) -> R) -> R {
        let result = self.turn(call);
        self.wake.notify_one();
        result
    }

    fn turn<R>(self: &Arc<Self>, call: impl FnOnce(&mut Protocol, Duration) -> R) -> R {
        let now = self.started.elapsed();
        let (result, output, version) = {
            let mut protocol = self.lock();
            let result = call(&mut protocol, now);
            (result, protocol.take_output(), protocol.table.version())
        };
        self.carry_out(output);
        self.revision.send_if_modified(|revision| {
            let newer = version > *revision;
            *revision = version.max(*revision);
            newer
        });
        self.progress.notify_waiters();
        result
    }

    fn carry_out(self: &Arc<Self>, output: Output) {
        if let Some(socket) = self.socket.upgrade() {
            for (address, packet) in output.packets {
                // UDP may lose it anyway: a full buffer is one more way.
                if let Err(error) = socket.try_send_to(&packet, address) {
                    tracing::debug!(%address, %error, "a gossip packet was not sent");
                }
            }
        }
        for event in output.events {
            // Nobody may be listening.
            let _ = self.events.send(event);
        }
        for (address, request) in output.exchanges {
            let (shared, stopping) = (Arc::clone(self), self.tasks.stopping());
            self.tasks.spawn_short(async move {
                tokio::select! {
                    () = stopping.cancelled() => {}
                    () = exchange(&shared, address, request) => {}
                }
            });
        }
    }
}

/// One exchange that the protocol wanted.
async fn exchange(shared: &Arc<Shared>, address: SocketAddr, request: Request) {
    let answer = transport::ask(address, &shared.envelope, &request).await;
    if let Err(error) = &answer {
        tracing::debug!(%error, "a gossip exchange failed");
    }
    shared.with(|protocol, now| protocol.finish_exchange(now, address, answer.ok()));
}

/// Receives packets and keeps the timers.
async fn run_packets(shared: Arc<Shared>, socket: Arc<UdpSocket>) -> io::Result<()> {
    let stopping = shared.tasks.stopping();
    // One byte more than a packet may have, so that a longer one is seen to be too long.
    let mut buffer = [0_u8; super::limits::MAX_PACKET_BYTES + 1];
    // From here on `try_send_to` knows that it can.
    socket.writable().await?;
    loop {
        let deadline = shared.started + shared.lock().next_deadline();
        tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            () = shared.wake.notified() => {}
            () = sleep_until(deadline) => {}
            readable = socket.readable() => readable?,
        }
        // Packets first: after a stall the answers that arrived in time must count before the timers do.
        for _ in 0..MAX_PACKETS_PER_TURN {
            match socket.try_recv_from(&mut buffer) {
                Ok((length, _)) => shared.turn(|protocol, now| protocol.packet(now, &buffer[..length])),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    tracing::warn!(%error, "gossip could not receive a packet");
                    sleep(ERROR_PAUSE).await;
                    break;
                }
            }
        }
        shared.turn(|protocol, now| protocol.advance(now));
    }
}

/// Accepts streams, as many at once as the limit says.
async fn run_streams(shared: Arc<Shared>, listener: TcpListener) -> Result<(), Infallible> {
    let stopping = shared.tasks.stopping();
    let permits = Arc::new(Semaphore::new(MAX_INCOMING_STREAMS));
    loop {
        let accepted = async {
            let permit = Arc::clone(&permits).acquire_owned().await.map_err(io::Error::other)?;
            let (stream, peer) = listener.accept().await?;
            Ok::<_, io::Error>((permit, stream, peer))
        };
        tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            accepted = accepted => match accepted {
                Ok((permit, stream, peer)) => {
                    let (shared, stopping) = (Arc::clone(&shared), stopping.clone());
                    shared.tasks.clone().spawn_short(async move {
                        tokio::select! {
                            () = stopping.cancelled() => {}
                            () = serve(shared, stream, peer, permit) => {}
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "gossip could not accept a stream");
                    sleep(ERROR_PAUSE).await;
                }
            },
        }
    }
}

async fn serve(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr, _permit: OwnedSemaphorePermit) {
    let answer = |request| shared.with(|protocol, now| protocol.answer(now, request));
    if let Err(error) = transport::serve(stream, &shared.envelope, answer).await {
        tracing::debug!(%peer, %error, "a gossip stream was dropped");
    }
}
