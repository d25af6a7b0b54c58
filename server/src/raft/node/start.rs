//! Starting a node: files, openraft, and the task that watches over it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use lictor_shared::{tasks::Tasks, view};
use openraft::Raft;
use tokio::sync::{Semaphore, watch};

use super::{Inner, RaftNode, RaftSettings, StartError, propose::IN_FLIGHT_KIB};
use crate::raft::{
    ChangeSink,
    log::LogStore,
    machine::Machine,
    network::{Contact, Peers},
    recovery,
    snapshot::SnapshotStore,
    surroundings,
};

/// Where the files are, in the data directory.
const RAFT_DIR: &str = "raft";
/// Neither the log nor the snapshot has what the commit mark speaks of.
const END_IS_MISSING: &str = "entries that were committed are missing at its end; restore the directory as it was, or \
                              empty this server's data directory and let it join again";

impl RaftNode {
    /// Starts a node: takes up the log, restores the latest snapshot into the view and replays what is known to be
    /// committed, all before it returns. A failure of its storage later on ends the process by way of `tasks`.
    ///
    /// # Errors
    /// [`StartError`] when the files cannot be used.
    pub async fn start(
        settings: RaftSettings,
        writer: view::Writer,
        sink: Arc<dyn ChangeSink>,
        tasks: &Tasks,
    ) -> Result<Self, StartError> {
        let config = settings.config().map_err(|error| StartError::Settings(error.to_string()))?;
        let (data_dir, for_failures) = (settings.data_dir.clone(), tasks.clone());
        let open = move || open(data_dir.as_deref(), for_failures);
        let opened = surroundings::blocking(open).await.map_err(|error| StartError::Storage(error.to_string()))?;
        let (log, snapshots) = opened?;
        if let Some(dir) = &settings.data_dir {
            recovery::recover(&dir.join(RAFT_DIR), settings.raft_id, &log, &snapshots).await?;
        }
        let (log_reader, reader) = (log.reader(), writer.reader());
        let machine = Machine::new(writer, sink, snapshots.clone());
        let peers = Peers::new(&settings);
        let raft = Raft::new(settings.raft_id, Arc::new(config), peers.clone(), log, machine);
        let raft = raft.await.map_err(|error| StartError::Storage(error.to_string()))?;
        let inner = Inner {
            settings,
            raft,
            log: log_reader,
            snapshots,
            contact: Arc::new(Contact::never()),
            peers,
            reader,
            in_flight: Semaphore::new(IN_FLIGHT_KIB),
            leader: watch::Sender::new(None),
            stability: super::report::Stability::default(),
        };
        let node = Self { inner: Arc::new(inner) };
        tasks.spawn("raft", node.clone().watch_over(tasks.stopping()));
        Ok(node)
    }
}

/// Opens the files in `raft/` of the data directory, or a log and snapshots in memory.
fn open(data_dir: Option<&Path>, tasks: Tasks) -> Result<(LogStore, Arc<SnapshotStore>), StartError> {
    let dir = data_dir.map(|dir| dir.join(RAFT_DIR));
    let snapshots = SnapshotStore::open(dir.as_ref().map(|dir| dir.join("snapshots")))?;
    let path = dir.map(|dir| dir.join("log"));
    let place = path.as_ref().map_or_else(|| "in memory".to_owned(), |path| path.display().to_string());
    let log = LogStore::open(path.clone(), move |reason| tasks.fail(format!("{reason} ({place})")));
    let failed = |reason| StartError::Log { path: path.unwrap_or_else(|| PathBuf::from("in memory")), reason };
    match log {
        Ok(log) if log.committed() > log.last().max(snapshots.latest().and_then(|latest| latest.meta.last_log_id)) => {
            Err(failed(io::Error::other(END_IS_MISSING)))
        }
        Ok(log) => Ok((log, Arc::new(snapshots))),
        Err(reason) => Err(failed(reason)),
    }
}
