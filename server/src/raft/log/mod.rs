//! The log store: entries, vote and commit mark, durable in a journal with a writer thread of its own.
//!
//! Everything that changes the log does three things under one lock: it changes the in-memory picture (so that a
//! reader sees it at once), it joins the queue, and it wakes the writer. The writer takes the whole queue, makes
//! **one** commit of it and then answers in order: an fsync is shared by all that wait for one. Entries, votes,
//! truncation and purge go through the same queue, because their order is a safety rule of Raft. `save_committed` is
//! called before every apply; it only leaves a note that rides along with the next commit.
//!
//! Reads come from the tail kept in memory, which holds all that is not durable yet and the last few thousand
//! entries besides; only a follower far behind and a restart read the journal. Without a data directory the same
//! journal lies in memory.
//!
//! A write that fails closes the store for good and ends the process: see `writer`. What is on the disk: `journal`, and
//! `frame` below it; the disk itself is behind `disk`.

pub(super) mod disk;
#[cfg(test)]
pub(super) mod fragile;
mod frame;
mod journal;
#[cfg(test)]
pub(super) mod simulated;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    collections::VecDeque,
    fmt::Debug,
    io,
    ops::{Bound, RangeBounds},
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use openraft::{
    EntryPayload, LogState, Membership, OptionalSend, RaftLogReader,
    entry::RaftEntry,
    storage::{IOFlushed, RaftLogStorage},
};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use self::{
    disk::{Directory, Disk, Memory},
    journal::{Journal, Lookup},
    tail::Tail,
};
use super::{Entry, LogId, ServerAddress, TypeConfig, Vote, surroundings};

/// The most bytes of entries that one replication request carries (one entry may be larger).
const REQUEST_BYTES: usize = 1 << 20;

/// What to do when the log cannot be written: ends the process.
type Fail = Box<dyn Fn(String) + Send>;

/// The log, for the one who writes it.
pub(super) struct LogStore {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

/// Reads the log. Cheap to clone.
#[derive(Clone)]
pub(super) struct LogReader {
    shared: Arc<Shared>,
}

struct Shared {
    /// Finds what is on the disk.
    lookup: Lookup,
    log: Mutex<Log>,
    /// Woken when the queue has something or the store is closed.
    wake: Condvar,
    /// The same for a simulated writer.
    #[cfg(test)]
    queued: tokio::sync::Notify,
}

/// The log as it is once everything in the queue is done.
struct Log {
    vote: Option<Vote>,
    committed: Option<LogId>,
    /// The commit mark has moved since it was last written.
    committed_moved: bool,
    purged: Option<LogId>,
    last: Option<LogId>,
    tail: Tail,
    queue: VecDeque<Job>,
    closed: bool,
    failure: Option<String>,
    /// Commits made since the start.
    commits: u64,
}

/// One change of the log and who waits for it.
struct Job {
    work: Work,
    done: Done,
}

enum Work {
    Append(Vec<Entry>),
    Vote(Vote),
    /// Removes the entries from this index on.
    Truncate(u64),
    /// Removes the entries up to this one.
    Purge(LogId),
}

enum Done {
    Flushed(IOFlushed<TypeConfig>),
    Waiting(oneshot::Sender<io::Result<()>>),
    Nobody,
}

impl Done {
    fn tell(self, result: io::Result<()>) {
        match self {
            Self::Flushed(callback) => callback.io_completed(result),
            // One who gave up waiting has dropped the receiver.
            Self::Waiting(sender) => drop(sender.send(result)),
            Self::Nobody => {}
        }
    }
}

impl LogReader {
    /// Commits since the start.
    pub fn commits(&self) -> u64 {
        self.shared.lock().commits
    }
}

impl LogStore {
    /// A reader of it.
    pub fn reader(&self) -> LogReader {
        LogReader { shared: self.shared.clone() }
    }

    /// The vote as it is on the disk.
    pub fn vote(&self) -> Option<Vote> {
        self.shared.lock().vote
    }

    /// The end of the log, and the last membership that stands in it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn last_membership(&self) -> io::Result<(Option<LogId>, Option<Membership<u64, ServerAddress>>)> {
        let (last, purged) = {
            let log = self.shared.lock();
            (log.last, log.purged)
        };
        let first = purged.map_or(0, |id| id.index() + 1);
        let mut end = last.map_or(0, |id| id.index() + 1);
        // One by one, and from the end: what counts is most often near it, and an entry may be large.
        while end > first {
            let entries = self.shared.read(end - 1..end, usize::MAX).await?;
            if let Some(EntryPayload::Membership(membership)) = entries.into_iter().next().map(|entry| entry.payload) {
                return Ok((last, Some(membership)));
            }
            end -= 1;
        }
        Ok((last, None))
    }

    /// Appends an entry under a vote of its own, after all that is there or in a snapshot up to `after`; all is on the
    /// disk when this returns. Only before Raft runs.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn force(&self, after: LogId, vote: Vote, entry: Entry) -> io::Result<()> {
        let (sender, done) = oneshot::channel();
        if self.shared.lock().last < Some(after) {
            self.purge_to(after)?;
        }
        self.shared.queue(Work::Vote(vote), Done::Nobody, |_| {})?;
        let copy = entry.clone();
        self.shared.queue(Work::Append(vec![entry]), Done::Waiting(sender), |log| {
            log.last = Some(copy.log_id());
            log.tail.push(copy);
        })?;
        done.await.map_err(|_| io::Error::other("the Raft log's writer has stopped"))?
    }

    fn purge_to(&self, upto: LogId) -> io::Result<()> {
        self.shared.queue(Work::Purge(upto), Done::Nobody, |log| {
            log.tail.purge(upto.index());
            log.purged = log.purged.max(Some(upto));
            // By the index: what is purged may be of an earlier term than an entry before it that was never committed.
            if log.last.is_none_or(|last| last.index() < upto.index()) {
                log.last = Some(upto);
            }
        })
    }

    /// The commit mark, which may be behind what was committed.
    pub fn committed(&self) -> Option<LogId> {
        self.shared.lock().committed
    }

    /// The end of the log.
    pub fn last(&self) -> Option<LogId> {
        self.shared.lock().last
    }

    /// Opens the log in a directory, or an empty one in memory. `fail` is called with a sentence, once, when it cannot be
    /// written.
    ///
    /// # Errors
    /// When its files cannot be read or written, or are damaged.
    pub fn open(directory: Option<PathBuf>, fail: impl Fn(String) + Send + 'static) -> io::Result<Self> {
        #[cfg(test)]
        if let Some(disk) = directory.as_deref().and_then(simulated::disk) {
            return Self::simulate(&disk, Box::new(fail));
        }
        let disk: Arc<dyn Disk> = match directory {
            Some(directory) => Arc::new(Directory::open(directory)?),
            None => Arc::new(Memory::default()),
        };
        Self::start(disk, Box::new(fail))
    }

    fn start(disk: Arc<dyn Disk>, fail: Fail) -> io::Result<Self> {
        let (shared, journal) = Shared::open(disk)?;
        let for_writer = shared.clone();
        let writer = std::thread::Builder::new().name("raft-log".into());
        let writer = writer.spawn(move || writer::run(&for_writer, journal, &fail))?;
        Ok(Self { shared, writer: Some(writer) })
    }
}

impl Drop for LogStore {
    /// Writes what is queued, then stops the writer, so that the file can be opened again at once.
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_all();
        if let Some(writer) = self.writer.take() {
            // It has reported its failure, or ended in peace.
            let _ = writer.join();
        }
    }
}

impl Shared {
    fn open(disk: Arc<dyn Disk>) -> io::Result<(Arc<Self>, Journal)> {
        let journal = Journal::open(disk)?;
        let (marks, last) = (journal.marks(), journal.last()?);
        let log = Log {
            vote: marks.vote,
            committed: marks.committed,
            committed_moved: false,
            purged: marks.purged,
            last,
            tail: Tail::new(last.map_or(0, |id| id.index() + 1)),
            queue: VecDeque::new(),
            closed: false,
            failure: None,
            commits: 0,
        };
        let shared = Self {
            lookup: journal.lookup(),
            log: Mutex::new(log),
            wake: Condvar::new(),
            #[cfg(test)]
            queued: tokio::sync::Notify::new(),
        };
        Ok((Arc::new(shared), journal))
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        // No code that holds this lock can leave the log half changed.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the picture and queues the change of the file, in one step.
    fn queue(&self, work: Work, done: Done, change: impl FnOnce(&mut Log)) -> io::Result<()> {
        let mut log = self.lock();
        if let Some(failure) = &log.failure {
            return Err(io::Error::other(failure.clone()));
        }
        change(&mut log);
        log.queue.push_back(Job { work, done });
        drop(log);
        self.wake.notify_one();
        #[cfg(test)]
        self.queued.notify_one();
        Ok(())
    }

    /// The entries of `range` that are there, in order; with a limit, no more bytes than that but at least one entry.
    async fn read(&self, range: impl RangeBounds<u64>, limit: usize) -> io::Result<Vec<Entry>> {
        let (on_disk, cached) = {
            let log = self.lock();
            let start = first(&range).max(log.purged.map_or(0, |id| id.index() + 1));
            let end = end(&range).min(log.last.map_or(0, |id| id.index() + 1));
            let on_disk = start..end.min(log.tail.first()).max(start);
            (on_disk.clone(), log.tail.range(on_disk.end..end, limit))
        };
        if on_disk.is_empty() {
            return Ok(cached);
        }
        let (lookup, range) = (self.lookup.clone(), on_disk.clone());
        let read = move || read_entries(&lookup, range, limit);
        let (mut entries, mut left) = surroundings::blocking(read).await??;
        if self.lock().purged.is_some_and(|purged| purged.index() >= on_disk.start) {
            // Purged since the lock was released. A list with a hole would be worse than none.
            return Ok(Vec::new());
        }
        for entry in cached {
            let bytes = tail::bytes(&entry);
            if bytes > left {
                break;
            }
            left -= bytes;
            entries.push(entry);
        }
        Ok(entries)
    }
}

fn first(range: &impl RangeBounds<u64>) -> u64 {
    match range.start_bound() {
        Bound::Included(index) => *index,
        Bound::Excluded(index) => index.saturating_add(1),
        Bound::Unbounded => 0,
    }
}

fn end(range: &impl RangeBounds<u64>) -> u64 {
    match range.end_bound() {
        Bound::Included(index) => index.saturating_add(1),
        Bound::Excluded(index) => *index,
        Bound::Unbounded => u64::MAX,
    }
}

/// The entries of a range as they are on the disk, and what is left of the limit.
fn read_entries(lookup: &Lookup, range: std::ops::Range<u64>, limit: usize) -> io::Result<(Vec<Entry>, usize)> {
    let (mut entries, mut left) = (Vec::new(), limit);
    for entry in lookup.entries(range)? {
        let entry = entry?;
        let bytes = tail::bytes(&entry);
        if bytes > left && !entries.is_empty() {
            return Ok((entries, 0));
        }
        left = left.saturating_sub(bytes);
        entries.push(entry);
    }
    Ok((entries, left))
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    postcard::from_bytes(bytes)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("a row of the Raft log: {error}")))
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> io::Result<Vec<Entry>> {
        self.shared.read(range, usize::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.shared.read(start..end, REQUEST_BYTES).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.shared.lock().vote)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let log = self.shared.lock();
        Ok(LogState { last_purged_log_id: log.purged, last_log_id: log.last })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        self.reader()
    }

    /// Returns when the vote is on the disk: a vote that is forgotten can be given twice.
    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let (sender, saved) = oneshot::channel();
        self.shared.queue(Work::Vote(*vote), Done::Waiting(sender), |_| {})?;
        saved.await.map_err(|_| io::Error::other("the Raft log's writer has stopped"))?
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let mut log = self.shared.lock();
        log.committed_moved |= log.committed != committed;
        log.committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.shared.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let copies = entries.clone();
        self.shared.queue(Work::Append(entries), Done::Flushed(callback), |log| {
            for entry in copies {
                log.last = Some(entry.log_id());
                log.tail.push(entry);
            }
        })
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let from = last.map_or(0, |id| id.index() + 1);
        self.shared.queue(Work::Truncate(from), Done::Nobody, |log| {
            log.tail.truncate(from);
            log.last = log.last.min(last);
        })
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.purge_to(upto)
    }
}
