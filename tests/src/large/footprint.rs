//! What a server takes of the machine, and when it was writing a snapshot: from `/proc` and its data directory.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::pauses::Span;
use crate::agent::{Agent, Memory};

/// How often a directory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Memory of a server's process and its files, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Footprint {
    /// What is resident.
    pub resident: u64,
    /// The most that ever was.
    pub peak: u64,
    /// The Raft log's files.
    pub log: u64,
    /// All snapshots that are kept, and one that is being written.
    pub snapshots: u64,
    /// The newest of them.
    pub snapshot: u64,
}

impl Footprint {
    /// As it is now.
    #[must_use]
    pub fn of(server: &Agent) -> Self {
        let Memory { resident, peak } = server.memory();
        let raft = server.data_directory().join("raft");
        let size = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
        let mut snapshots = files(&raft.join("snapshots"));
        snapshots.sort();
        Self {
            resident,
            peak,
            log: files(&raft.join("log")).iter().map(|path| size(path)).sum(),
            snapshots: snapshots.iter().map(|path| size(path)).sum(),
            snapshot: snapshots.iter().rfind(|path| has_extension(path, "snapshot")).map_or(0, |path| size(path)),
        }
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

/// The name of the newest snapshot that a server keeps.
#[must_use]
pub fn newest_snapshot(server: &Agent) -> Option<PathBuf> {
    let found = files(&server.data_directory().join("raft/snapshots"));
    found.into_iter().filter(|path| has_extension(path, "snapshot")).max()
}

/// Looks on while servers write snapshots.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    watchers: Vec<JoinHandle<Vec<Span>>>,
}

impl Watch {
    /// Begins, at each of these servers.
    #[must_use]
    pub fn start<'a>(servers: impl IntoIterator<Item = &'a Agent>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let start = |server: &Agent| {
            let (stop, directory) = (stop.clone(), server.data_directory().join("raft/snapshots"));
            thread::spawn(move || watch(&directory, &stop))
        };
        let watchers = servers.into_iter().map(start).collect();
        Self { stop, watchers }
    }

    /// For each server, from when to when an unfinished snapshot was in its directory.
    ///
    /// # Panics
    /// A thread panicked.
    #[must_use]
    pub fn end(self) -> Vec<Vec<Span>> {
        self.stop.store(true, Ordering::Relaxed);
        let watchers = self.watchers.into_iter();
        watchers.map(|watcher| watcher.join().unwrap_or_else(|_| panic!("a watcher panicked"))).collect()
    }
}

fn watch(directory: &Path, stop: &AtomicBool) -> Vec<Span> {
    let (mut spans, mut since) = (Vec::new(), None);
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        let unfinished = files(directory).iter().any(|path| has_extension(path, "unfinished"));
        match (unfinished, since) {
            (true, None) => since = Some(now),
            (false, Some(from)) => {
                spans.push((from, now));
                since = None;
            }
            _ => {}
        }
        thread::sleep(LOOK_EVERY);
    }
    spans.extend(since.map(|from| (from, Instant::now())));
    spans
}
