//! Both protocols at one address, and TCP: a listener with a bounded number of connections. UDP is in `datagrams`.
//!
//! What recursors have to be asked waits in a task of its own, so that a connection's answers may come in another order
//! (RFC 7766, section 6.2.1.1). A connection is closed when it is idle or its client does not read.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Mutex, Semaphore},
    time::{sleep, timeout},
};

use super::{
    Error, Settings,
    answer::Order,
    datagrams,
    far::{Asking, FarLookups},
    freshness::Freshness,
    gate::Gate,
    handler::{FarQuestion, QUESTION_BYTES, Step, Transport, Wait, consider},
    recursor::Recursors,
};
use crate::{
    acl::{Authority, Credential, Rights},
    catalog::State,
    limits::{Places, Port, share},
    metrics::{DNS_SECONDS, Refusal, Timer, count_dns},
    tasks::Tasks,
    view::Reader,
};

/// TCP connections at once, a quarter of them from one client; more are closed at once.
const MAX_CONNECTIONS: usize = 512;
/// Questions of one connection that wait for recursors at once; with more it is not read on.
const MAX_WAITING: u32 = 32;
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
    let udp = datagrams::bind(address).map_err(failed(address, "UDP"))?;
    Ok(Bound { udp, tcp, address })
}

/// Starts answering; returns at once. A socket that fails ends its task, and so the process (see [`Tasks::spawn`]).
pub fn serve(
    sockets: Vec<Bound>,
    settings: Settings,
    reader: Reader,
    freshness: Freshness,
    far: Option<FarLookups>,
    authority: Arc<Authority>,
    tasks: &Tasks,
) {
    let far = far.map(Arc::new);
    let recursors = Recursors::new(&settings, tasks);
    let gate = Arc::new(Gate::new(&settings));
    let (settings, nothing) = (Arc::new(settings), Arc::default());
    let responder =
        Responder { settings, gate, reader, freshness, nothing, authority, recursors, far, tasks: tasks.clone() };
    for bound in sockets {
        responder.serve(bound, tasks);
    }
}

/// What the loops of all sockets share.
#[derive(Clone)]
pub(super) struct Responder {
    pub settings: Arc<Settings>,
    pub gate: Arc<Gate>,
    pub reader: Reader,
    pub freshness: Freshness,
    /// What is answered from when the view is too old.
    nothing: Arc<State>,
    authority: Arc<Authority>,
    recursors: Option<Arc<Recursors>>,
    far: Option<Arc<FarLookups>>,
    pub tasks: Tasks,
}

/// A question that waits for others.
pub(super) struct Later {
    whom: Whom,
    timer: Timer,
}

/// Who is asked for it.
enum Whom {
    Recursors(Arc<Recursors>, Wait, Transport),
    Far(Asking, Box<FarQuestion>, Arc<Settings>, Credential),
}

impl Later {
    /// The message, in its time.
    pub async fn reply(self) -> Option<Vec<u8>> {
        let Self { whom, timer } = self;
        let reply = match whom {
            Whom::Recursors(recursors, wait, transport) => Self::ask(&recursors, wait, transport).await,
            Whom::Far(asking, question, settings, by) => asking.reply(*question, &settings, by).await,
        };
        drop(timer);
        count_dns(reply.as_deref());
        reply
    }

    async fn ask(recursors: &Arc<Recursors>, wait: Wait, transport: Transport) -> Option<Vec<u8>> {
        let Some(_place) = recursors.place() else { return wait.give_up() };
        match wait {
            Wait::Forward(forward) => match recursors.resolve(&forward.asked, transport).await {
                Some(kept) => Some(kept.reply(&forward.asked, forward.limit)),
                None => forward.fail(),
            },
            Wait::Follow(follow) => {
                let questions = follow.questions();
                let said = questions.iter().map(async |asked| {
                    let kept = recursors.resolve(asked, transport).await?;
                    Some(kept.reply(asked, u16::MAX))
                });
                let said: Vec<Vec<u8>> = join_all(said).await.into_iter().flatten().collect();
                follow.finish(&said)
            }
            Wait::Far(_) => wait.give_up(),
        }
    }
}

/// What a client gets.
pub(super) enum Outcome {
    /// This, or nothing.
    Now(Option<Vec<u8>>),
    /// What the recursors are asked for first.
    Later(Later),
}

impl Responder {
    fn serve(&self, bound: Bound, tasks: &Tasks) {
        let Bound { udp, tcp, address } = bound;
        datagrams::serve(udp, address, self, tasks);
        let (responder, stopping) = (self.clone(), tasks.stopping());
        tasks.spawn("DNS by TCP", async move {
            stopping.run_until_cancelled(responder.connections(&tcp)).await;
            Ok::<(), Error>(())
        });
    }

    fn respond(&self, packet: &[u8], transport: Transport, asker: IpAddr) -> Outcome {
        let began = Instant::now();
        let step = if self.freshness.is_too_old() {
            self.without_view(packet, transport)
        } else {
            self.consider(packet, transport, &self.reader.load())
        };
        let outcome = self.go_on(step, transport, || Some(asker));
        if let Outcome::Now(answer) = &outcome {
            DNS_SECONDS.observe(began.elapsed());
            count_dns(answer.as_deref());
        }
        outcome
    }

    /// The first step where the view is too old: as if there had never been one.
    pub fn without_view(&self, packet: &[u8], transport: Transport) -> Option<Step> {
        self.consider(packet, transport, &self.nothing)
    }

    fn consider(&self, packet: &[u8], transport: Transport, state: &State) -> Option<Step> {
        let mut order = Order::new(rand::rng(), None);
        order.rights = self.rights();
        consider(packet, transport, state, &self.settings, &mut order)
    }

    /// What whoever asks by DNS may see; none: everything. They show nothing, so the node's own token decides.
    pub fn rights(&self) -> Option<Arc<Rights>> {
        if !self.authority.is_enabled() {
            return None;
        }
        match self.authority.identify(&self.credential()) {
            Ok(known) => (!known.rights.sees_all_instances()).then(|| known.rights.clone()),
            Err(_) => Some(self.authority.nobody().rights.clone()),
        }
    }

    fn credential(&self) -> Credential {
        let own = self.authority.own();
        own.dns.or(&own.default)
    }

    /// What a client gets after the first step; what it gets later is counted then.
    pub fn go_on(&self, step: Option<Step>, transport: Transport, asker: impl FnOnce() -> Option<IpAddr>) -> Outcome {
        let wait = match step {
            None => return Outcome::Now(None),
            Some(Step::Reply(reply)) => return Outcome::Now(Some(reply.message)),
            Some(Step::Wait(Wait::Far(question))) => return self.go_far(question),
            Some(Step::Wait(wait)) => wait,
        };
        let Some(recursors) = &self.recursors else { return Outcome::Now(wait.give_up()) };
        if !self.gate.recurses_for(asker()) {
            return Outcome::Now(wait.refuse());
        }
        if let Wait::Forward(forward) = &wait
            && let Some(kept) = recursors.known(&forward.asked)
        {
            return Outcome::Now(Some(kept.reply(&forward.asked, forward.limit)));
        }
        let whom = Whom::Recursors(recursors.clone(), wait, transport);
        Outcome::Later(Later { whom, timer: DNS_SECONDS.time() })
    }

    fn go_far(&self, question: Box<FarQuestion>) -> Outcome {
        let Some(far) = &self.far else { return Outcome::Now(question.give_up()) };
        let Some(asking) = far.place() else { return Outcome::Now(question.fail()) };
        let whom = Whom::Far(asking, question, self.settings.clone(), self.credential());
        Outcome::Later(Later { whom, timer: DNS_SECONDS.time() })
    }

    async fn connections(&self, listener: &TcpListener) {
        let places = share(Port::Dns, MAX_CONNECTIONS);
        let places = Places::new(places, (places / 4).max(1));
        loop {
            let (stream, client) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::debug!(%error, "DNS: a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = places.seat(Some(client.ip())) else {
                Refusal::DnsConnections.count();
                tracing::debug!(%client, "DNS: too many connections");
                continue;
            };
            let (responder, stopping) = (self.clone(), self.tasks.stopping());
            self.tasks.spawn_short(async move {
                if let Some(Err(error)) = stopping.run_until_cancelled(responder.connection(stream, client.ip())).await
                {
                    tracing::debug!(%client, %error, "DNS: the connection ended");
                }
                drop(place);
            });
        }
    }

    /// Questions and answers, each after its length (RFC 1035, section 4.2.2).
    async fn connection(&self, stream: TcpStream, client: IpAddr) -> io::Result<()> {
        let (mut from, to) = stream.into_split();
        let to = Arc::new(Mutex::new(to));
        let waiting = Arc::new(Semaphore::new(MAX_WAITING as usize));
        let mut question = Vec::new();
        loop {
            if timeout(CONNECTION_TIMEOUT, read(&mut from, &mut question)).await?.is_err() {
                // Nothing more is asked; what was is answered.
                return waiting.acquire_many(MAX_WAITING).await.map(drop).map_err(io::Error::other);
            }
            match self.respond(&question, Transport::Tcp, client) {
                Outcome::Now(None) => return Ok(()),
                Outcome::Now(Some(answer)) => write(&to, &answer).await?,
                Outcome::Later(later) => {
                    let place = waiting.clone().acquire_owned().await.map_err(io::Error::other)?;
                    let (to, stopping) = (to.clone(), self.tasks.stopping());
                    self.tasks.spawn_short(async move {
                        if let Some(Some(answer)) = stopping.run_until_cancelled(later.reply()).await
                            && let Err(error) = write(&to, &answer).await
                        {
                            tracing::debug!(%error, "DNS: an answer could not be written");
                        }
                        drop(place);
                    });
                }
            }
        }
    }
}

async fn write(to: &Mutex<OwnedWriteHalf>, answer: &[u8]) -> io::Result<()> {
    let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
    let message = [&length.to_be_bytes()[..], answer].concat();
    let mut to = to.lock().await;
    timeout(CONNECTION_TIMEOUT, to.write_all(&message)).await?
}

async fn read(stream: &mut OwnedReadHalf, question: &mut Vec<u8>) -> io::Result<()> {
    let length = stream.read_u16().await?;
    if length > QUESTION_BYTES {
        return Err(io::Error::other(format!("a question of {length} bytes")));
    }
    question.resize(usize::from(length), 0);
    stream.read_exact(question).await.map(|_| ())
}
