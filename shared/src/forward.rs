//! The way to the leader, the same for a sidecar and for a server that does not lead.
//!
//! A [`Servers`] knows who the servers are and asks one of them one thing; [`Forward`] finds the one that leads:
//! the one that answered last, else the one the role says, else any in turn; a `NotLeader` with a hint is followed at
//! once, one without is asked again after a pause, for an election ends in a second or two. A command that may have
//! been proposed is sent again only if it is idempotent. A read barrier is not held for long: whoever asked can answer
//! from his own view instead. All barriers that come while one is under way share the next (see `coalesce`).
//!
//! [`Forward`] is the [`Backend`] of both roles. It never interprets a command, and never answers a read.

mod fetch;
mod operate;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tracing::debug;
use uuid::Uuid;

use crate::{
    acl::Credential,
    backend::{
        Archive, Backend, BackendError, Consistency, Contact, Fetch, Fetched, Pieces, ServersChange, ServersReport,
    },
    coalesce::{Coalesce, Question},
    command::{Command, Written},
    datacenters::Datacenters,
    model::Index,
    tasks::Tasks,
    view::Reader,
};

/// How long a write is kept trying while there is no leader: Consul's `rpc_hold_timeout`.
pub const WRITE_HOLD: Duration = Duration::from_secs(7);
/// How long a barrier is; an election takes less.
pub const BARRIER_HOLD: Duration = Duration::from_secs(2);
/// After so long without a leader (or at once, where no server is known) a node that has something to answer from asks
/// nobody for one any more: it hears by its stream, or by Raft, when there is one.
pub const LEADERLESS_LIMIT: Duration = Duration::from_secs(5);
/// How long one server may take to answer before another is tried.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// Between two tries.
pub const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// How long a request passes over a server that it could not reach, where there are others.
pub const UNREACHABLE_FOR: Duration = Duration::from_millis(500);
/// How long a write's caller is kept until the node's own view shows it. The write is done even when this runs out.
pub const REACH_LIMIT: Duration = Duration::from_secs(5);

/// The limits above, shorter in tests.
#[derive(Clone, Copy)]
struct Limits {
    write_hold: Duration,
    barrier_hold: Duration,
    answer: Duration,
}

const LIMITS: Limits = Limits { write_hold: WRITE_HOLD, barrier_hold: BARRIER_HOLD, answer: ANSWER_LIMIT };

/// Why one server did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// It does not lead; certainly nothing was proposed.
    #[error("it does not lead (the leader is {})", leader.as_deref().unwrap_or("not known"))]
    NotLeader {
        /// The leader's RPC address, where it knows.
        leader: Option<String>,
    },
    /// It certainly did not get it, or was too busy to take it.
    #[error("{0}")]
    Unsent(String),
    /// It may have been done or not.
    #[error("{0}")]
    Unknown(String),
    /// Whoever asks may not have that: why.
    #[error("{0}")]
    Denied(String),
    /// It was refused, and another server would refuse it too.
    #[error("{0}")]
    Rejected(String),
}

/// The servers, and how to ask one of them.
#[async_trait]
pub trait Servers: Send + Sync + 'static {
    /// The leader's RPC address, `ip:port`, as far as the role knows.
    fn leader(&self) -> Option<String>;

    /// RPC addresses to ask while no leader is known; may be empty.
    fn to_ask(&self) -> Vec<String>;

    /// The RPC addresses of the voting servers.
    fn peers(&self) -> Vec<String>;

    /// How fresh the node's view is known to be.
    fn contact(&self) -> Contact;

    /// Proposes `command` at `server`.
    ///
    /// # Errors
    /// [`AskError`]; only `Unknown` leaves the outcome open.
    async fn write(&self, server: &str, command: &Command, by: &Credential) -> Result<Written, AskError>;

    /// Asks `server` for the index to read at.
    ///
    /// # Errors
    /// [`AskError`].
    async fn barrier(&self, server: &str, consistency: Consistency) -> Result<Index, AskError>;

    /// Asks `server` for the set of servers, whether it leads or (with `any_server`) not.
    ///
    /// # Errors
    /// [`AskError`].
    async fn servers(&self, server: &str, any_server: bool, by: &Credential) -> Result<ServersReport, AskError>;

    /// Has `server` answer a request with its HTTP interface.
    ///
    /// # Errors
    /// [`AskError`].
    async fn fetch(&self, server: &str, fetch: &Fetch) -> Result<Fetched, AskError>;

    /// The way to other datacenters, where this node has one of its own. A node without asks its servers.
    fn datacenters(&self) -> Option<&Datacenters> {
        None
    }

    /// Starts a session's time to live anew at `server`. Whether there is such a session.
    ///
    /// # Errors
    /// [`AskError`].
    async fn renew(&self, server: &str, session: Uuid, by: &Credential) -> Result<bool, AskError>;

    /// The whole registry as a file from `server`, whether it leads or (with `any_server`) not.
    ///
    /// # Errors
    /// [`AskError`].
    async fn save_archive(&self, _server: &str, _any_server: bool, _by: &Credential) -> Result<Archive, AskError> {
        Err(AskError::Rejected("no archives here".into()))
    }

    /// Restores such a file at `server`; gives the registry's index.
    ///
    /// # Errors
    /// [`AskError`]; only `Unknown` leaves the outcome open.
    async fn restore_archive(&self, _server: &str, _: Pieces, _by: &Credential) -> Result<Index, AskError> {
        Err(AskError::Rejected("no archives here".into()))
    }

    /// Has `server` change the servers.
    ///
    /// # Errors
    /// [`AskError`]; only `Unknown` leaves the outcome open.
    async fn change_servers(&self, _server: &str, _: &ServersChange, _by: &Credential) -> Result<(), AskError> {
        Err(AskError::Rejected("the servers cannot be changed here".into()))
    }
}

/// A backend that takes everything to the leader.
pub struct Forward<S: Servers> {
    route: Arc<Route<S>>,
    reader: Reader,
    leader_barrier: Coalesce<Barrier<S>>,
    quorum_barrier: Coalesce<Barrier<S>>,
    fetches: Semaphore,
    /// Those of the fetches that are for other datacenters.
    fetches_abroad: Semaphore,
}

impl<S: Servers> Forward<S> {
    /// A backend for the node whose view `reader` sees.
    #[must_use]
    pub fn new(servers: S, reader: Reader, tasks: &Tasks) -> Self {
        Self::within(LIMITS, servers, reader, tasks)
    }

    fn within(limits: Limits, servers: S, reader: Reader, tasks: &Tasks) -> Self {
        let route = Arc::new(Route { servers, limits, remembered: Mutex::new(None), turn: AtomicUsize::new(0) });
        let barrier = |consistency| Coalesce::new(Barrier { route: route.clone(), consistency }, tasks.clone());
        let (leader_barrier, quorum_barrier) = (barrier(Consistency::Leader), barrier(Consistency::Quorum));
        let (fetches, fetches_abroad) = (Semaphore::new(fetch::MAX_FETCHES), Semaphore::new(fetch::MAX_FETCHES_ABROAD));
        Self { route, reader, leader_barrier, quorum_barrier, fetches, fetches_abroad }
    }

    /// The servers it asks.
    #[must_use]
    pub fn servers(&self) -> &S {
        &self.route.servers
    }
}

#[async_trait]
impl<S: Servers> Backend for Forward<S> {
    async fn write(&self, command: Command, by: &Credential) -> Result<Written, BackendError> {
        let written = self.route.write(&command, by).await?;
        if timeout(REACH_LIMIT, self.reader.reach(written.index)).await.is_err() {
            debug!(index = written.index.0, "a write is done, but this node's view does not show it yet");
        }
        Ok(written)
    }

    async fn barrier(&self, consistency: Consistency) -> Result<Index, BackendError> {
        let contact = self.contact();
        if !contact.known_leader && self.reader.load().index() > Index(0) {
            if self.route.knows_nobody() {
                return Err(BackendError::NoServers);
            }
            if contact.last >= LEADERLESS_LIMIT {
                return Err(BackendError::NoLeader);
            }
        }
        let barrier = match consistency {
            Consistency::Leader => &self.leader_barrier,
            Consistency::Quorum => &self.quorum_barrier,
        };
        barrier.ask().await.unwrap_or_else(|| Err(BackendError::Failed("this node is stopping".into())))
    }

    async fn servers(&self, any_server: bool, by: &Credential) -> Result<ServersReport, BackendError> {
        self.route.servers(any_server, by).await
    }

    async fn fetch(&self, fetch: Fetch) -> Result<Fetched, BackendError> {
        if fetch.datacenter.is_empty() {
            return fetch::fetch(&self.route, &self.fetches, &fetch).await;
        }
        match self.route.servers.datacenters() {
            Some(datacenters) => datacenters.fetch(fetch).await,
            None => {
                let _place = fetch::place(&self.fetches_abroad, fetch::MAX_FETCHES_ABROAD)?;
                fetch::fetch(&self.route, &self.fetches, &Fetch { any_server: true, ..fetch }).await
            }
        }
    }

    async fn renew(&self, session: Uuid, by: &Credential) -> Result<bool, BackendError> {
        let route = &self.route;
        route.ask(|server| async move { route.servers.renew(&server, session, by).await }).await
    }

    async fn save_archive(&self, any_server: bool, by: &Credential) -> Result<Archive, BackendError> {
        self.route.save_archive(any_server, by).await
    }

    async fn restore_archive(&self, pieces: Pieces, by: &Credential) -> Result<Index, BackendError> {
        let index = self.route.restore_archive(pieces, by).await?;
        if timeout(operate::REACH_LIMIT, self.reader.reach(index)).await.is_err() {
            debug!(index = index.0, "a restore is done, but this node's view does not show it yet");
        }
        Ok(index)
    }

    async fn change_servers(&self, change: ServersChange, by: &Credential) -> Result<(), BackendError> {
        self.route.change_servers(&change, by).await
    }

    fn contact(&self) -> Contact {
        self.route.servers.contact()
    }

    fn leader(&self) -> Option<String> {
        self.route.servers.leader()
    }

    fn peers(&self) -> Vec<String> {
        let mut peers = self.route.servers.peers();
        peers.sort();
        peers
    }
}

/// The coalesced question: at which index may be read?
struct Barrier<S: Servers> {
    route: Arc<Route<S>>,
    consistency: Consistency,
}

impl<S: Servers> Question for Barrier<S> {
    type Answer = Result<Index, BackendError>;
    const NAME: &'static str = "barrier.round";

    async fn ask(&self) -> Self::Answer {
        self.route.barrier(self.consistency).await
    }
}

struct Route<S> {
    servers: S,
    limits: Limits,
    /// Who led when last asked.
    remembered: Mutex<Option<String>>,
    /// Counts up, so that servers are asked in turn.
    turn: AtomicUsize,
}

/// What one request has found out so far.
#[derive(Default)]
struct Tried {
    /// The last server that could not help: not the next one to be asked where there is another.
    failed: Option<String>,
    /// Whether that server was asked because another had named it.
    by_hint: bool,
    /// Servers that could not be reached of late; not asked again before all others.
    unreachable: Vec<String>,
    /// Since when they are kept.
    since: Option<Instant>,
}

impl Tried {
    fn avoids(&self, server: &String) -> bool {
        self.failed.as_ref() == Some(server) || self.unreachable.contains(server)
    }

    fn could_not_reach(&mut self, server: &String) {
        if !self.unreachable.contains(server) {
            self.unreachable.push(server.clone());
        }
        self.since.get_or_insert_with(Instant::now);
    }

    /// A server that was not there may be back.
    fn forgive(&mut self) {
        if self.since.is_some_and(|since| since.elapsed() >= UNREACHABLE_FOR) {
            self.unreachable.clear();
            self.since = None;
        }
    }
}

impl<S: Servers> Route<S> {
    async fn write(&self, command: &Command, by: &Credential) -> Result<Written, BackendError> {
        let deadline = Instant::now() + self.limits.write_hold;
        let mut tried = Tried::default();
        loop {
            let Some(server) = self.next(&tried) else {
                pause(deadline).await.ok_or_else(|| self.no_one(&tried))?;
                continue;
            };
            let limit = deadline.min(Instant::now() + self.limits.answer);
            let asked = timeout_at(limit, self.servers.write(&server, command, by)).await;
            let error = match asked.unwrap_or_else(|_| Err(AskError::Unknown("it did not answer in time".into()))) {
                Ok(written) => {
                    self.remember(Some(server));
                    return Ok(written);
                }
                Err(AskError::Rejected(reason)) => return Err(BackendError::Failed(reason)),
                Err(AskError::Denied(reason)) => return Err(BackendError::Denied(reason)),
                Err(AskError::Unknown(reason)) if !command.is_idempotent() => {
                    debug!(server, reason, "the outcome of a write is not known");
                    return Err(BackendError::TimedOut(self.limits.answer));
                }
                Err(error) => error,
            };
            let unknown = matches!(error, AskError::Unknown(_));
            if self.failed(&mut tried, server, error) {
                continue;
            }
            let out_of_time =
                || if unknown { BackendError::TimedOut(self.limits.write_hold) } else { self.no_one(&tried) };
            pause(deadline).await.ok_or_else(out_of_time)?;
            tried.forgive();
        }
    }

    async fn barrier(&self, consistency: Consistency) -> Result<Index, BackendError> {
        self.ask(|server| async move { self.servers.barrier(&server, consistency).await }).await
    }

    /// Asks the leader something that changes nothing.
    async fn ask<T, F>(&self, question: impl Fn(String) -> F) -> Result<T, BackendError>
    where
        F: Future<Output = Result<T, AskError>>,
    {
        self.ask_one(false, question).await
    }

    /// The same; with `any_server`, of any in turn.
    async fn ask_one<T, F>(&self, any_server: bool, question: impl Fn(String) -> F) -> Result<T, BackendError>
    where
        F: Future<Output = Result<T, AskError>>,
    {
        let deadline = Instant::now() + self.limits.barrier_hold;
        let mut tried = Tried::default();
        loop {
            let Some(server) = self.choose(any_server, &tried) else {
                pause(deadline).await.ok_or_else(|| self.no_one(&tried))?;
                continue;
            };
            let asked = timeout_at(deadline, question(server.clone())).await;
            let error = match asked.unwrap_or_else(|_| Err(AskError::Unknown("it did not answer in time".into()))) {
                Ok(answer) => {
                    // Who answers as anybody need not lead.
                    if !any_server {
                        self.remember(Some(server));
                    }
                    return Ok(answer);
                }
                Err(AskError::Rejected(reason)) => return Err(BackendError::Failed(reason)),
                Err(AskError::Denied(reason)) => return Err(BackendError::Denied(reason)),
                Err(error) => error,
            };
            if self.failed(&mut tried, server, error) {
                continue;
            }
            if self.nobody_is_there(&tried) {
                // Whoever asks shall hear it at once and answer from what he has.
                return Err(BackendError::NoServers);
            }
            pause(deadline).await.ok_or_else(|| self.no_one(&tried))?;
        }
    }

    /// The server to ask now.
    fn next(&self, tried: &Tried) -> Option<String> {
        let known = self.remembered().clone().or_else(|| self.servers.leader());
        if let Some(leader) = known.clone().filter(|leader| !tried.avoids(leader)) {
            return Some(leader);
        }
        let all = self.servers.to_ask();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = |servers: Vec<&String>| {
            let count = servers.len();
            (count > 0).then(|| servers[turn % count].clone())
        };
        in_turn(all.iter().filter(|server| !tried.avoids(server)).collect())
            .or_else(|| in_turn(all.iter().filter(|server| !tried.unreachable.contains(server)).collect()))
            .or_else(|| in_turn(all.iter().collect()))
            .or(known)
    }

    /// Notes that `server` could not help. Whether another is to be asked without a pause.
    fn failed(&self, tried: &mut Tried, server: String, error: AskError) -> bool {
        debug!(server, %error, "a server was asked in vain");
        let unsent = matches!(error, AskError::Unsent(_));
        let hint = match error {
            AskError::NotLeader { leader } if !tried.by_hint => leader,
            _ => None,
        };
        if unsent {
            tried.could_not_reach(&server);
        }
        tried.failed = Some(server);
        let hint = hint.filter(|leader| !tried.avoids(leader));
        tried.by_hint = hint.is_some();
        self.remember(hint);
        if self.nobody_is_there(tried) {
            return false;
        }
        tried.by_hint || unsent
    }

    fn knows_nobody(&self) -> bool {
        self.remembered().is_none() && self.servers.leader().is_none() && self.servers.to_ask().is_empty()
    }

    fn nobody_is_there(&self, tried: &Tried) -> bool {
        self.servers.to_ask().iter().all(|server| tried.unreachable.contains(server))
    }

    fn no_one(&self, tried: &Tried) -> BackendError {
        if self.nobody_is_there(tried) { BackendError::NoServers } else { BackendError::NoLeader }
    }

    fn remember(&self, leader: Option<String>) {
        *self.remembered() = leader;
    }

    fn remembered(&self) -> MutexGuard<'_, Option<String>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits between two tries; `None` when there is no time for another.
async fn pause(deadline: Instant) -> Option<()> {
    let next = Instant::now() + RETRY_PAUSE;
    if next >= deadline {
        return None;
    }
    sleep_until(next).await;
    Some(())
}
