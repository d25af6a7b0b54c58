//! The membership pool of a datacenter (LAN) or of the servers of all (WAN): who is there, under which name, address
//! and tags, and who failed or left.
//!
//! **Data model.** A member is one life of a process at an address: an *identity* (address, generation, renewal), small
//! enough for every packet. Its *record* adds the node name, the tags with a revision, and facts against its being alive
//! (it leaves, it is down, it was pruned). Facts only accumulate for an identity; a greater identity starts without any.
//! So records can be merged in any order with the same result.
//!
//! **Protocol.** `foca` runs SWIM (Das, Gupta, Motivala 2002) over UDP: probes, indirect probes, suspicion, updates that
//! ride on packets. On the same packets ride descriptions (name and tags), departures, user events, and notices of
//! descriptions too large for a packet. Over TCP, on the same port, whole tables are exchanged both ways: at a join, about every 30 s with
//! a random member, and about every 30 s with a failed one, so that a healed partition merges. A restarted process has a
//! later generation (the wall clock) and wins its address at once; a process wrongly declared down takes the next renewal.
//! *Leaving is not failing*: a leaver's intent is spread before it stops, and who heard it shows `left`, not `failed`.
//!
//! **Limits** are in `limits`; nothing a peer sends grows a pool beyond them. Without keys a pool trusts its
//! network: whoever can send packets can take part.
//!
//! | file | what |
//! |---|---|
//! | `config`, `error` | what a pool is started with, and what can go wrong |
//! | `member`, `table`, `identity` | records and their merge rules, pure |
//! | `protocol`, `push_pull`, `dissemination`, `broadcast` | one node's behaviour, without sockets or clock |
//! | `awareness`, `suspicion` | how long it waits, by its own health and by what others found (Lifeguard) |
//! | `sweep` | how the table follows the failure detector |
//! | `fallback` | probes by TCP, where packets do not get through |
//! | `user_event` | messages to every node: which are kept, pure |
//! | `coordinate`, `round_trip` | where this node is in the network, pure; how that is measured |
//! | `envelope`, `replay` | the one door all bytes pass, where they are sealed and opened; what has come before |
//! | `keyring`, `key_rounds` | the keys of a pool, and how they are changed at all members |
//! | `wire` | the frames on streams |
//! | `transport`, `runtime` | sockets and tasks |

mod awareness;
mod broadcast;
mod config;
mod coordinate;
mod dissemination;
mod envelope;
mod error;
mod fallback;
mod identity;
mod key_rounds;
mod keyring;
mod limits;
mod member;
mod protocol;
mod push_pull;
mod replay;
mod round_trip;
mod runtime;
mod suspicion;
mod sweep;
mod table;
mod transport;
mod user_event;
mod wire;

#[cfg(test)]
mod pool_tests;
#[cfg(any(test, feature = "simulation"))]
pub mod scale;
#[cfg(any(test, feature = "simulation"))]
mod simulated;
#[cfg(test)]
mod simulation;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::{StreamExt, stream};
use tokio::{
    sync::{broadcast as channel, watch},
    time::Instant,
};

pub use self::{
    config::{PoolConfig, Timing},
    error::{ExchangeError, JoinError, PoolError, UnknownMember},
    key_rounds::{KeyringChange, KeyringReport},
    keyring::{GossipKey, KeyError, Keyring, KeyringError},
    member::{Member, MemberStatus, RecordError},
    user_event::{EventError, UserEvent},
};
use self::{
    identity::{Identity, is_reachable},
    limits::MAX_JOINS_AT_ONCE,
    protocol::{Presence, Protocol},
    runtime::Shared,
};
use crate::{model::Coordinate, tasks::Tasks};

/// How long the last packets of a leaver have to get out.
const LAST_PACKETS: Duration = Duration::from_millis(50);

/// A handle to this node's part in a pool. Clones are handles to the same one. The sockets are closed when the
/// [`Tasks`] it was started with stop; without [`Pool::leave`] before, that looks like a crash to the others.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

impl Pool {
    /// Binds UDP and TCP and starts to take part, alone until somebody joins.
    ///
    /// # Errors
    /// When the port is in use, the address cannot be bound or told to others, or the name or the tags are out of bounds.
    pub async fn start(config: PoolConfig, tasks: &Tasks) -> Result<Self, PoolError> {
        member::check_name(&config.name)?;
        member::check_tags(&config.name, &config.tags)?;
        let (socket, listener) = transport::bind(config.bind).await?;
        let listen = |reason| PoolError::Listen { protocol: "udp", address: config.bind, reason };
        let bound = socket.local_addr().map_err(listen)?;
        let mut address = config.advertise.unwrap_or(bound);
        if address.port() == 0 {
            address.set_port(bound.port());
        }
        if !is_reachable(address) {
            return Err(PoolError::Advertise(address));
        }
        let identity = Identity { address, generation: wall_clock_ms(), renewal: 0 };
        let protocol = Protocol::new(&config, identity, rand::random());
        let shared = Shared::start(protocol, socket, listener, tasks).map_err(listen)?;
        Ok(Self { shared })
    }

    /// Where the pool listens, with the real port.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.shared.local_address
    }

    /// Exchanges tables with each address; the number of those that answered. Joining ourselves counts.
    ///
    /// # Errors
    /// When none answered: each address with its cause.
    pub async fn join(&self, addresses: &[SocketAddr]) -> Result<usize, JoinError> {
        let attempts = stream::iter(addresses.iter().copied().map(|address| self.join_one(address)));
        let results: Vec<_> = attempts.buffered(MAX_JOINS_AT_ONCE).collect().await;
        let mut failures = Vec::new();
        for (address, result) in addresses.iter().zip(results) {
            if let Err(error) = result {
                failures.push((*address, error));
            }
        }
        let joined = addresses.len() - failures.len();
        if joined == 0 && !failures.is_empty() { Err(JoinError { failures }) } else { Ok(joined) }
    }

    async fn join_one(&self, address: SocketAddr) -> Result<(), ExchangeError> {
        let request = self.shared.with(|protocol, now| match protocol.presence {
            Presence::Present => Ok(protocol.push_pull_request(now)),
            Presence::Leaving | Presence::Left => Err(ExchangeError::Left),
        })?;
        let theirs = transport::ask(address, &self.shared.envelope, &request).await?;
        self.shared.with(|protocol, now| protocol.finish_join(now, theirs));
        Ok(())
    }

    /// Leaves for good: tells the others that we go, waits until that is spread (at most [`Timing::leave`]), then stops
    /// probing and answering probes. The others show `left`. Tables can still be read; joining again takes a new pool.
    pub async fn leave(&self) {
        self.shared.with(|protocol, now| protocol.begin_leave(now));
        let limit = self.shared.lock().timing.leave;
        let deadline = Instant::now() + limit;
        loop {
            let progress = self.shared.progress.notified();
            if self.shared.lock().is_spread() {
                break;
            }
            if tokio::time::timeout_at(deadline, progress).await.is_err() {
                tracing::warn!("the intent to leave may not have reached every member within {limit:?}");
                break;
            }
        }
        self.shared.with(|protocol, now| protocol.complete_leave(now));
        // The process may end as soon as this returns, and packets handed to the system are not yet sent.
        tokio::time::sleep(LAST_PACKETS).await;
    }

    /// Declares a failed member left. With `prune` a failed or left member is not shown any more either. A member that
    /// answers is not touched: it would refute the claim.
    ///
    /// # Errors
    /// When no member has the name.
    pub fn force_leave(&self, name: &str, prune: bool) -> Result<(), UnknownMember> {
        self.shared.with(|protocol, now| protocol.force_leave(now, name, prune))
    }

    /// Every known member, ourselves too, sorted by name. A snapshot.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        self.shared.lock().members()
    }

    /// This node as the pool is told.
    #[must_use]
    pub fn own(&self) -> Member {
        self.shared.lock().own().member()
    }

    /// Replaces the tags of this node and tells the pool.
    ///
    /// # Errors
    /// When there are more than 64 keys or 4096 bytes; the old tags stay.
    pub fn set_tags(&self, tags: BTreeMap<String, String>) -> Result<(), RecordError> {
        self.shared.with(|protocol, now| protocol.set_tags(now, tags))
    }

    /// Sends an event to every node of the pool, this one too; gives it with its time.
    ///
    /// # Errors
    /// When it has no name, is too large, or this node has left.
    pub fn fire(&self, event: UserEvent) -> Result<Arc<UserEvent>, EventError> {
        self.shared.with(|protocol, now| protocol.fire(now, event))
    }

    /// The events of the pool as they come in from now on. A receiver that falls 256 behind misses some.
    #[must_use]
    pub fn events(&self) -> channel::Receiver<Arc<UserEvent>> {
        self.shared.events.subscribe()
    }

    /// Where this node is in the network, by the round trips to the others.
    #[must_use]
    pub fn coordinate(&self) -> Coordinate {
        self.shared.lock().round_trips.own()
    }

    /// The coordinates of the members, ourselves too, as they last told them, by name. Not every member has told one.
    #[must_use]
    pub fn coordinates(&self) -> Vec<(String, Coordinate)> {
        self.shared.lock().coordinates()
    }

    /// A number that grows with every change of [`Pool::members`].
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.revision.subscribe()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pool").field("local_address", &self.shared.local_address).finish_non_exhaustive()
    }
}

/// Milliseconds since 1970: greater than in any former life, unless the clock was set back (then the first exchange
/// tells, and the next generation is taken).
fn wall_clock_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(identity::MAX_GENERATION).min(identity::MAX_GENERATION)
}
