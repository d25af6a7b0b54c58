//! Recursors: who is asked for names that are not ours.
//!
//! Answers are passed on byte for byte and kept as long as they may be (`received`, `cache`); a question on its way
//! (`question`, `exchange`) is asked once however many want to know. Everything is bounded, and nothing here is waited
//! for by a question for a name of our own. Our own parsing of records ends where TTLs are: `hickory-resolver` gives
//! the records it knows, from which a message as it was cannot be put together again.

mod cache;
mod exchange;
mod question;
mod received;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::seq::SliceRandom;
use tokio::{
    sync::{Semaphore, SemaphorePermit, watch},
    time::Instant,
};

pub(super) use self::question::Asked;
use self::{
    cache::{Cache, Kept},
    question::Key,
};
use super::{RecursorStrategy, Settings, Transport};
use crate::tasks::Tasks;

/// Different questions on their way at once, each with a socket.
const IN_FLIGHT_MAX: usize = 256;
/// Clients that wait for them at once.
const WAITING_MAX: usize = 4096;
/// How long a recursor that did not answer is asked after the others.
const FAILED_LAST: Duration = Duration::from_secs(10);

/// The recursors of a node and what they said.
#[derive(Debug)]
pub(super) struct Recursors {
    recursors: Vec<Recursor>,
    timeout: Duration,
    strategy: RecursorStrategy,
    memory: Mutex<Memory>,
    waiting: Semaphore,
    started: Instant,
    tasks: Tasks,
}

#[derive(Debug)]
struct Recursor {
    address: SocketAddr,
    /// Until when it is asked last, in milliseconds after `started`.
    last_until: AtomicU64,
}

#[derive(Debug, Default)]
struct Memory {
    cache: Cache,
    in_flight: HashMap<Flight, watch::Receiver<Option<Landed>>>,
}

/// What came of it; `None`: no recursor answered.
type Landed = Option<Kept>;
/// By TCP apart: what was cut by UDP is of no use there.
type Flight = (Key, Transport);

impl Recursors {
    /// None where none are configured.
    pub(super) fn new(settings: &Settings, tasks: &Tasks) -> Option<Arc<Self>> {
        if settings.recursors.is_empty() {
            return None;
        }
        let recursor = |address: &SocketAddr| Recursor { address: *address, last_until: AtomicU64::new(0) };
        Some(Arc::new(Self {
            recursors: settings.recursors.iter().map(recursor).collect(),
            timeout: settings.recursor_timeout,
            strategy: settings.recursor_strategy,
            memory: Mutex::default(),
            waiting: Semaphore::new(WAITING_MAX),
            started: Instant::now(),
            tasks: tasks.clone(),
        }))
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place among those who wait; none: too many do.
    pub(super) fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.waiting.try_acquire().ok()
    }

    /// What is known already.
    pub(super) fn known(&self, asked: &Asked) -> Option<Kept> {
        self.memory().cache.get(&asked.key(), Instant::now())
    }

    /// What is known, or what the recursors say; `None` where none answers in its time, or too much is on its way.
    pub(super) async fn resolve(self: &Arc<Self>, asked: &Asked, transport: Transport) -> Option<Kept> {
        let mut landed = match self.board(asked, transport)? {
            Boarded::Known(kept) => return Some(kept),
            Boarded::InFlight(landed) => landed,
        };
        // An error: the node is stopping.
        landed.wait_for(Option::is_some).await.ok()?.clone().flatten()
    }

    fn board(self: &Arc<Self>, asked: &Asked, transport: Transport) -> Option<Boarded> {
        let mut memory = self.memory();
        let key = asked.key();
        if let Some(kept) = memory.cache.get(&key, Instant::now()) {
            return Some(Boarded::Known(kept));
        }
        let flight = (key, transport);
        if let Some(landed) = memory.in_flight.get(&flight) {
            return Some(Boarded::InFlight(landed.clone()));
        }
        if memory.in_flight.len() >= IN_FLIGHT_MAX {
            return None;
        }
        let (sender, landed) = watch::channel(None);
        memory.in_flight.insert(flight.clone(), landed.clone());
        drop(memory);
        let (asked, stopping) = (asked.clone(), self.tasks.stopping());
        let landing = Landing { recursors: self.clone(), flight };
        self.tasks.spawn_short(async move {
            if let Some(kept) = stopping.run_until_cancelled(landing.recursors.fly(&asked, transport)).await {
                landing.keep(kept.as_ref());
                sender.send_replace(Some(kept));
            }
        });
        Some(Boarded::InFlight(landed))
    }

    /// Asks one after the other until one knows.
    async fn fly(&self, asked: &Asked, transport: Transport) -> Landed {
        for recursor in self.in_turn() {
            let address = recursor.address;
            match exchange::ask(address, asked, transport, self.timeout).await {
                Ok(answer) if answer.is_conclusive() => {
                    recursor.last_until.store(0, Ordering::Relaxed);
                    return Some(Kept { answer: Arc::new(answer), since: Instant::now() });
                }
                Ok(_) => tracing::debug!(recursor = %address, "DNS: the recursor could not find out"),
                Err(error) => {
                    let until = self.started.elapsed() + FAILED_LAST;
                    let until = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
                    recursor.last_until.store(until, Ordering::Relaxed);
                    tracing::debug!(recursor = %address, %error, "DNS: the recursor did not answer");
                }
            }
        }
        None
    }

    /// By the strategy, those that did not answer lately after the others.
    fn in_turn(&self) -> Vec<&Recursor> {
        let mut turn: Vec<&Recursor> = self.recursors.iter().collect();
        if self.strategy == RecursorStrategy::Random {
            turn.shuffle(&mut rand::rng());
        }
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        turn.sort_by_key(|recursor| now < recursor.last_until.load(Ordering::Relaxed));
        turn
    }
}

enum Boarded {
    Known(Kept),
    InFlight(watch::Receiver<Option<Landed>>),
}

/// A question on its way, until dropped.
struct Landing {
    recursors: Arc<Recursors>,
    flight: Flight,
}

impl Landing {
    fn keep(&self, kept: Option<&Kept>) {
        if let Some(kept) = kept {
            self.recursors.memory().cache.put(self.flight.0.clone(), kept.clone());
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.recursors.memory().in_flight.remove(&self.flight);
    }
}

impl Kept {
    /// The message for a client that takes `limit` bytes.
    pub(super) fn reply(&self, asked: &Asked, limit: u16) -> Vec<u8> {
        let age = u32::try_from(self.since.elapsed().as_secs()).unwrap_or(u32::MAX);
        self.answer.reply(asked, age, limit)
    }
}
