//! Keeps the last good state on disk up to date: seldom, off the async threads, and never in the way of the stream.
//!
//! It is written when nodes, services, checks or prepared queries have changed (coordinates alone are not worth it), at most every
//! [`SPACING`]; every [`REFRESH`] without a change, for it says when a leader last stood behind it; and at a clean
//! stop. A disk that fails is said once and tried again: nothing depends on the file.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lictor_shared::{
    catalog::{State, Topic},
    model::{Index, Status, Time},
    view::Reader,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    SidecarSettings,
    contact::ServerContact,
    last_good::{self, Header, LoadError},
};

/// The shortest time between two writes, but for the one at the end.
const SPACING: Duration = Duration::from_secs(30);
/// The longest time without a write while a leader is known.
const REFRESH: Duration = Duration::from_secs(300);
/// How soon after the start it is looked for the first time.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// The Raft IDs of the cluster that the view is from, as the stream knows them.
#[derive(Debug, Default)]
pub struct Cluster(Mutex<Vec<u64>>);

impl Cluster {
    /// Those IDs.
    #[must_use]
    pub fn ids(&self) -> Vec<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// They are these now.
    pub fn set(&self, ids: Vec<u64>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = ids;
    }
}

/// What an earlier life of this node knew.
#[derive(Clone, Debug)]
pub struct LastKnown {
    /// The state.
    pub state: State,
    /// Of which cluster it is.
    pub server_ids: Vec<u64>,
    /// How long ago a leader stood behind it.
    pub age: Duration,
}

/// Reads what an earlier life has left, unless it is older than `max_age`. What cannot be used is said and passed over.
pub async fn last_known(settings: &SidecarSettings, max_age: Duration) -> Option<LastKnown> {
    let directory = settings.data_dir.clone()?;
    let (node, datacenter) = (settings.node.to_string(), settings.datacenter.clone());
    let path = directory.join(last_good::FILE_NAME);
    let loaded = tokio::task::spawn_blocking(move || last_good::load(&directory, &node, &datacenter)).await;
    match loaded {
        Ok(Ok((header, state))) => {
            let age = Duration::from_millis(Time::now().0.saturating_sub(header.led_at.0));
            let usable = age < max_age;
            info!(path = %path.display(), index = header.index.0, ?age, usable, "read the last good state");
            usable.then_some(LastKnown { state, server_ids: header.server_ids, age })
        }
        Ok(Err(LoadError::Absent)) => None,
        Ok(Err(error)) => {
            warn!(path = %path.display(), %error, "the last good state is not used");
            None
        }
        Err(error) => {
            warn!(path = %path.display(), %error, "the last good state could not be read");
            None
        }
    }
}

/// The task that writes the file.
pub struct Keeper {
    directory: PathBuf,
    header: Header,
    reader: Reader,
    contact: Arc<ServerContact>,
    cluster: Arc<Cluster>,
    /// What is on disk, and since when.
    written: Option<([Index; 7], Instant)>,
    failing: bool,
}

impl Keeper {
    /// One for the state that `reader` sees.
    #[must_use]
    pub fn new(
        directory: PathBuf,
        settings: &SidecarSettings,
        reader: Reader,
        contact: Arc<ServerContact>,
        cluster: Arc<Cluster>,
    ) -> Self {
        let (node, datacenter) = (settings.node.to_string(), settings.datacenter.clone());
        let header = Header { node, datacenter, ..Header::default() };
        // What was read at the start is on disk already.
        let state = reader.base();
        let written = (state.index() > Index(0)).then(|| (marks(&state), Instant::now()));
        Self { directory, header, reader, contact, cluster, written, failing: false }
    }

    /// Runs until `stopping`, and writes once more then.
    ///
    /// # Errors
    /// None: what goes wrong is said and tried again.
    pub async fn run(mut self, stopping: CancellationToken) -> Result<(), std::convert::Infallible> {
        let mut pause = FIRST_LOOK;
        while stopping.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            pause = if self.keep(REFRESH).await { SPACING } else { FIRST_LOOK };
        }
        self.keep(SPACING).await;
        Ok(())
    }

    /// Writes what has changed, or was written longer than `refresh` ago. Whether it wrote.
    async fn keep(&mut self, refresh: Duration) -> bool {
        let state = self.reader.base();
        let marks = marks(&state);
        let contact = self.contact.contact();
        let due = self
            .written
            .is_none_or(|(written, at)| written != marks || (contact.known_leader && at.elapsed() >= refresh));
        if !due || state.index() == Index(0) {
            return false;
        }
        let led_at = Time(Time::now().0.saturating_sub(u64::try_from(contact.last.as_millis()).unwrap_or(u64::MAX)));
        let header = Header { server_ids: self.cluster.ids(), index: state.index(), led_at, ..self.header.clone() };
        let directory = self.directory.clone();
        let saved = tokio::task::spawn_blocking(move || last_good::save(&directory, &header, &state)).await;
        match saved.map_err(std::io::Error::other).flatten() {
            Ok(()) => self.failing = false,
            Err(error) => {
                if !self.failing {
                    let directory = self.directory.display();
                    warn!(%directory, %error, "the last good state cannot be kept; a start without servers knows nothing");
                }
                self.failing = true;
            }
        }
        self.written = Some((marks, Instant::now()));
        true
    }
}

/// What tells two states apart that are worth a write.
fn marks(state: &State) -> [Index; 7] {
    let [passing, warning, critical] = Status::ALL.map(Topic::Status);
    let topics = [Topic::Nodes, Topic::Services, Topic::Checks, Topic::Queries, passing, warning, critical];
    topics.map(|topic| state.index_of(&topic))
}
