//! The way to one datacenter: places, the breaker, who answered last, and one request from server to server.

use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

use super::{Ask, MAX_REQUESTS, NOBODY_HOLDS, SILENCE, breaker::Breaker, look};
use crate::{
    backend::{BackendError, Fetch, Fetched},
    forward::AskError,
};

/// See the module.
pub(super) struct Gate {
    /// Its name, in lower case.
    pub datacenter: String,
    /// One for each request under way.
    pub places: Arc<Semaphore>,
    breaker: Mutex<Breaker>,
    /// The server that answered last.
    preferred: Mutex<Option<String>>,
    /// What the last look has found. Held while one looks: the others take what he finds.
    seen: tokio::sync::Mutex<Option<Seen>>,
}

struct Seen {
    /// When the look began.
    since: Instant,
    there: Vec<String>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Unheard {
    /// No server answers: why the last one did not.
    Nobody(String),
    /// What must be done at most once has reached a server that has not answered; others may well be there.
    Open(String),
}

/// Why one server gave no answer.
enum Unanswered {
    /// The request did not arrive.
    Unsent(String),
    /// It may have arrived.
    Unknown(String),
    /// It does not answer anything; these do.
    Silent(Vec<String>),
}

impl Gate {
    pub fn new(datacenter: &str) -> Self {
        Self {
            datacenter: datacenter.to_owned(),
            places: Arc::new(Semaphore::new(MAX_REQUESTS)),
            breaker: Mutex::default(),
            preferred: Mutex::default(),
            seen: tokio::sync::Mutex::default(),
        }
    }

    pub fn breaker(&self) -> MutexGuard<'_, Breaker> {
        // No code that holds the lock can leave it half changed; so with the one below.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn preferred(&self) -> MutexGuard<'_, Option<String>> {
        self.preferred.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a server says: its answer, or that it will not answer.
    pub async fn fetch(
        &self,
        ask: &dyn Ask,
        servers: &[String],
        fetch: &Fetch,
    ) -> Result<Result<Fetched, BackendError>, Unheard> {
        let mut left = servers.to_vec();
        let mut reason = String::new();
        loop {
            let preferred = self.preferred().clone();
            let place = left.iter().position(|server| Some(server) == preferred.as_ref()).unwrap_or(0);
            if left.is_empty() {
                return Err(Unheard::Nobody(reason));
            }
            let server = left.remove(place);
            let unanswered = match self.ask_one(ask, servers, &server, fetch).await {
                Ok(answered) => {
                    *self.preferred() = Some(server);
                    return Ok(answered);
                }
                Err(unanswered) => unanswered,
            };
            // The next request shall not begin with it.
            self.preferred().take_if(|preferred| *preferred == server);
            let has_arrived = !matches!(unanswered, Unanswered::Unsent(_));
            let nobody_is_there = matches!(&unanswered, Unanswered::Silent(there) if there.is_empty());
            reason = match unanswered {
                Unanswered::Unsent(reason) | Unanswered::Unknown(reason) => format!("{server}: {reason}"),
                Unanswered::Silent(there) => {
                    left.retain(|server| there.contains(server));
                    format!("{server} does not answer")
                }
            };
            tracing::debug!(datacenter = self.datacenter, reason, "a server of another datacenter was asked in vain");
            if fetch.once && has_arrived {
                let reason = format!("{reason}; what was asked may or may not have been done");
                return Err(if nobody_is_there { Unheard::Nobody(reason) } else { Unheard::Open(reason) });
            }
        }
    }

    async fn ask_one(
        &self,
        ask: &dyn Ask,
        servers: &[String],
        server: &str,
        fetch: &Fetch,
    ) -> Result<Result<Fetched, BackendError>, Unanswered> {
        let began = Instant::now();
        let mut asked = pin!(ask.fetch(server, fetch));
        let in_doubt = async {
            sleep(SILENCE).await;
            self.look(ask, servers, began).await
        };
        let answer = tokio::select! {
            answer = &mut asked => answer,
            there = in_doubt => {
                if !there.iter().any(|there| there == server) {
                    return Err(Unanswered::Silent(there));
                }
                asked.await
            }
        };
        match answer {
            Ok(fetched) => Ok(Ok(fetched)),
            Err(AskError::Rejected(reason)) => Ok(Err(BackendError::Failed(reason))),
            Err(AskError::Denied(reason)) => Ok(Err(BackendError::Denied(reason))),
            Err(AskError::Unsent(reason)) => Err(Unanswered::Unsent(reason)),
            Err(AskError::NotLeader { .. }) => Err(Unanswered::Unsent("it does not lead".into())),
            Err(AskError::Unknown(reason)) => Err(Unanswered::Unknown(reason)),
        }
    }

    /// The servers that are there, by a look that has begun since then; or by one that has found nobody of late.
    async fn look(&self, ask: &dyn Ask, servers: &[String], since: Instant) -> Vec<String> {
        let mut seen = self.seen.lock().await;
        let holds =
            |seen: &&Seen| seen.since >= since || (seen.there.is_empty() && seen.since.elapsed() < NOBODY_HOLDS);
        if let Some(seen) = seen.as_ref().filter(holds) {
            return seen.there.clone();
        }
        let since = Instant::now();
        let there = look(ask, servers, &self.datacenter).await;
        *seen = Some(Seen { since, there: there.clone() });
        there
    }
}
