//! The thread that writes the log: takes all that is queued, one commit, then the answers in order.
//!
//! A failed commit is final. Nobody may be told that it is durable, nothing may be written after it (the order would
//! be broken), and a retried fsync can lie about pages that the kernel has dropped: so every waiter gets the error,
//! the store refuses all further work, and the process ends with a sentence that says why.

use std::{collections::VecDeque, io, sync::PoisonError, time::Instant};

use lictor_shared::metrics::RAFT_LOG_WRITE_SECONDS;
use openraft::entry::RaftEntry;

use super::{Fail, Job, Log, LogId, Shared, Work, journal::Journal};
use crate::raft::fail_point::FailPoint;

/// All that one commit makes durable.
pub(super) struct Batch {
    jobs: VecDeque<Job>,
    committed: Option<LogId>,
}

/// Writes until the store is closed and the queue is empty, or until a commit fails.
pub(super) fn run(shared: &Shared, mut journal: Journal, fail: &Fail) {
    let _ended = Ended(fail);
    while let Some(batch) = next(shared) {
        match store(&mut journal, &batch) {
            Ok(()) => written(shared, batch),
            Err(error) => return failed(shared, batch, &error, fail),
        }
    }
}

/// Makes a batch durable; nobody is told yet.
pub(super) fn store(journal: &mut Journal, batch: &Batch) -> io::Result<()> {
    let began = Instant::now();
    journal.commit(batch.jobs.iter().map(|job| &job.work), batch.committed)?;
    RAFT_LOG_WRITE_SECONDS.observe(began.elapsed());
    if batch.jobs.iter().any(|job| matches!(job.work, Work::Append(_))) {
        FailPoint::LogAppended.pass();
    }
    Ok(())
}

/// Reports a panic of the writer, which would leave everyone waiting.
struct Ended<'a>(&'a Fail);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0("the Raft log's writer panicked".into());
        }
    }
}

/// Waits for work. The commit mark is taken together with the queue: it must never be durable before its entry.
fn next(shared: &Shared) -> Option<Batch> {
    let mut log = shared.lock();
    loop {
        if !log.queue.is_empty() || (log.closed && log.committed_moved) {
            return Some(take(&mut log));
        }
        if log.closed {
            return None;
        }
        log = shared.wake.wait(log).unwrap_or_else(PoisonError::into_inner);
    }
}

/// All that waits, and the commit mark if it has moved.
pub(super) fn take(log: &mut Log) -> Batch {
    let moved = std::mem::take(&mut log.committed_moved);
    let committed = log.committed.filter(|_| moved);
    Batch { jobs: std::mem::take(&mut log.queue), committed }
}

/// Tells all who wait for a batch that it is durable.
pub(super) fn written(shared: &Shared, batch: Batch) {
    let mut log = shared.lock();
    log.commits += 1;
    for job in &batch.jobs {
        if let Work::Vote(vote) = job.work {
            log.vote = Some(vote);
        }
    }
    let durable = durable(&log, &batch);
    log.tail.evict(durable);
    drop(log);
    for job in batch.jobs {
        job.done.tell(Ok(()));
    }
}

/// The index before which the file has what the tail has: nothing that is still queued touches it.
fn durable(log: &Log, batch: &Batch) -> u64 {
    let written = batch.jobs.iter().filter_map(|job| match &job.work {
        Work::Append(entries) => entries.last().map(|entry| entry.index() + 1),
        _ => None,
    });
    let queued = log.queue.iter().filter_map(|job| match &job.work {
        Work::Append(entries) => entries.first().map(RaftEntry::index),
        Work::Truncate(from) => Some(*from),
        Work::Vote(_) | Work::Purge(_) => None,
    });
    written.max().unwrap_or(0).min(queued.min().unwrap_or(u64::MAX))
}

/// Tells all who wait that it never will be.
pub(super) fn failed(shared: &Shared, batch: Batch, error: &io::Error, fail: &Fail) {
    let reason = format!("the Raft log cannot be written: {error}");
    let mut log = shared.lock();
    log.failure = Some(reason.clone());
    let queued = std::mem::take(&mut log.queue);
    drop(log);
    for job in batch.jobs.into_iter().chain(queued) {
        job.done.tell(Err(io::Error::other(reason.clone())));
    }
    fail(reason);
}
