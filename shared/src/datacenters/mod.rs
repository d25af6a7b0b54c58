//! A server's way to other datacenters: requests that one of their servers answers with its own handlers.
//!
//! **Who is asked.** The servers of the WAN pool (`directory`); the one that answered last, else any. One that did not get
//! the request is passed over at once. One that says nothing for [`SILENCE`] is in doubt: all servers of that datacenter
//! are then asked whether they are there (one such *look* at a time, its result is shared), and if it is not among those
//! that are, the request goes to another of them. So a caller learns within about a second that nobody is there, while a
//! slow answer (a blocking read, a write during an election) is waited for as long as its server lives. What must be
//! done at most once is sent again only if it certainly did not arrive.
//!
//! **What the loss of one costs.** Each datacenter has its own `gate`: places for [`MAX_REQUESTS`] requests, and a `breaker` that
//! refuses everything at once while no server of it answers. Then one task looks, less and less often, whether one
//! does again. Nothing here asks this datacenter's own leader or quorum.
//!
//! Never passes a request on that has crossed from one datacenter to another: who answers such a one
//! (`http::remote`) is where it was meant to go.

mod breaker;
mod directory;
mod distance;
mod gate;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures_util::{StreamExt, future::join_all};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{sleep, timeout},
};

pub use self::distance::by_distance;
use self::{
    directory::Directory,
    gate::{Gate, Unheard},
};
use crate::{
    backend::{BackendError, Fetch, Fetched, Pieces},
    forward::AskError,
    gossip::Pool,
    metrics::{DATACENTER_REQUESTS, UNREACHABLE_DATACENTERS},
    tasks::Tasks,
};

/// The most requests under way to one datacenter, most of which wait for a change there.
pub const MAX_REQUESTS: usize = 1024;
/// How long a server may say nothing until it is in doubt.
pub const SILENCE: Duration = Duration::from_millis(250);
/// How long a server may take to say that it is there: a round trip across the world, with a connection to be made.
pub const LOOK_LIMIT: Duration = Duration::from_millis(600);
/// How long after its beginning a look that found nobody is good for all who are in doubt.
const NOBODY_HOLDS: Duration = Duration::from_secs(1);
/// Between two looks at a datacenter that is not asked; each time twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// Places in the labels of [`DATACENTER_REQUESTS`].
const ANSWERED: usize = 0;
const FAILED: usize = 1;
const REFUSED: usize = 2;

/// How a server of another datacenter is asked.
#[async_trait]
pub trait Ask: Send + Sync + 'static {
    /// Has it answer a request with its HTTP interface.
    ///
    /// # Errors
    /// [`AskError`].
    async fn fetch(&self, server: &str, fetch: &Fetch) -> Result<Fetched, AskError>;

    /// Whether it answers anything at all, as a server of that datacenter. May take as long as it wants to; it is dropped when it takes too long.
    async fn is_there(&self, server: &str, datacenter: &str) -> bool;
}

/// The other datacenters. Cheap to clone.
#[derive(Clone)]
pub struct Datacenters {
    inner: Arc<Inner>,
}

struct Inner {
    directory: Directory,
    ask: Box<dyn Ask>,
    /// By lower-case name; only of datacenters that the directory knows.
    gates: Mutex<HashMap<String, Arc<Gate>>>,
    tasks: Tasks,
}

impl Datacenters {
    /// Those whose servers are in that WAN pool; without one there are none.
    #[must_use]
    pub fn new(wan: Option<Pool>, ask: impl Ask, tasks: &Tasks) -> Self {
        Self::of(Directory::of_pool(wan), ask, tasks)
    }

    fn of(directory: Directory, ask: impl Ask, tasks: &Tasks) -> Self {
        let inner = Inner { directory, ask: Box::new(ask), gates: Mutex::default(), tasks: tasks.clone() };
        Self { inner: Arc::new(inner) }
    }

    /// Has a server of `fetch.datacenter` answer a request. Ends early, also there, when it is dropped.
    ///
    /// # Errors
    /// [`BackendError::NoPath`] where no server of it is known, [`BackendError::DatacenterUnavailable`] where none
    /// answers or too many requests are under way.
    pub async fn fetch(&self, fetch: Fetch) -> Result<Fetched, BackendError> {
        let servers = self.inner.directory.servers(&fetch.datacenter);
        if servers.is_empty() {
            return Err(BackendError::NoPath);
        }
        let gate = self.inner.gate(&fetch.datacenter);
        let refused = |reason| {
            DATACENTER_REQUESTS.count(REFUSED);
            BackendError::DatacenterUnavailable { datacenter: gate.datacenter.clone(), reason }
        };
        if let Some(reason) = gate.breaker().refusal(Instant::now()) {
            return Err(refused(reason));
        }
        let place = gate.places.clone().try_acquire_owned();
        let place = place.map_err(|_| refused(format!("{MAX_REQUESTS} requests to it are under way")))?;
        let fetch = Fetch { crossed: true, ..fetch };
        let limit = fetch.limit;
        match timeout(limit, gate.fetch(&*self.inner.ask, &servers, &fetch)).await {
            Err(_) => Err(self.inner.failed(&gate, format!("it did not answer within {limit:?}"))),
            Ok(Err(Unheard::Open(reason))) => Err(self.inner.failed(&gate, reason)),
            Ok(Err(Unheard::Nobody(reason))) => {
                let opens = gate.breaker().failed(&reason, Instant::now());
                if opens {
                    self.inner.look_out(gate.clone(), &reason);
                }
                Err(self.inner.failed(&gate, reason))
            }
            Ok(Ok(answered)) => {
                gate.breaker().succeeded();
                DATACENTER_REQUESTS.count(ANSWERED);
                Ok(holding(answered?, place))
            }
        }
    }
}

impl Inner {
    fn failed(&self, gate: &Gate, reason: String) -> BackendError {
        DATACENTER_REQUESTS.count(FAILED);
        BackendError::DatacenterUnavailable { datacenter: gate.datacenter.clone(), reason }
    }

    fn gate(&self, datacenter: &str) -> Arc<Gate> {
        let name = datacenter.to_ascii_lowercase();
        self.gates().entry(name).or_insert_with_key(|name| Arc::new(Gate::new(name))).clone()
    }

    fn gates(&self) -> MutexGuard<'_, HashMap<String, Arc<Gate>>> {
        // No code that holds the lock can leave it half changed.
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks until a server of that datacenter answers again, or none is known any more.
    fn look_out(self: &Arc<Self>, gate: Arc<Gate>, reason: &str) {
        let datacenter = &gate.datacenter;
        tracing::warn!(datacenter, reason, "this datacenter does not answer; it is not asked until it does");
        let held = UNREACHABLE_DATACENTERS.hold();
        let (inner, stopping) = (self.clone(), self.tasks.stopping());
        self.tasks.spawn_short(async move {
            stopping.run_until_cancelled(inner.until_it_answers(&gate)).await;
            drop(held);
        });
    }

    async fn until_it_answers(&self, gate: &Gate) {
        let mut pause = FIRST_PAUSE;
        loop {
            sleep(pause.mul_f64(rand::random_range(0.75..1.25))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            let servers = self.directory.servers(&gate.datacenter);
            let is_gone = servers.is_empty();
            let answering = look(&*self.ask, &servers, &gate.datacenter).await;
            if !is_gone && answering.is_empty() {
                continue;
            }
            if is_gone {
                self.gates().remove(&gate.datacenter);
            }
            if let Some(after) = gate.breaker().close(Instant::now()) {
                let (datacenter, after_s) = (&gate.datacenter, after.as_secs());
                let now = if is_gone { "this datacenter has left" } else { "this datacenter answers again" };
                tracing::info!(datacenter, after_s, "{now}");
            }
            return;
        }
    }
}

/// The answer, which has its place until it is taken as a whole.
fn holding(fetched: Fetched, place: OwnedSemaphorePermit) -> Fetched {
    let rest = fetched.rest.map(|rest| {
        Pieces::new(rest.map(move |piece| {
            let _held = &place;
            piece
        }))
    });
    Fetched { rest, ..fetched }
}

/// Those of the servers that are there.
async fn look(ask: &dyn Ask, servers: &[String], datacenter: &str) -> Vec<String> {
    let looks = servers.iter().map(async |server| {
        let is_there = timeout(LOOK_LIMIT, ask.is_there(server, datacenter)).await.unwrap_or(false);
        is_there.then(|| server.clone())
    });
    join_all(looks).await.into_iter().flatten().collect()
}
