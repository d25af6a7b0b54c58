//! The log on a simulated disk: the same store and the same journal, with a task in the place of the writer's thread.
//!
//! A commit takes the simulated time that the seed gives it, before it begins and again before anybody is told. A
//! crash ends the task in between, so that the batch is lost, or is there and nobody knows. For the disk itself see
//! `raft/tests/simulation/disk.rs`. Only in tests.

use std::{io, path::Path, sync::Arc};

use super::{Fail, LogStore, Shared, journal::Journal, writer};
use crate::raft::{
    Vote,
    tests::simulation::{disk::PoweredDisk, world},
};

/// The disk on which a simulation has that directory, if one runs on this thread.
pub(super) fn disk(path: &Path) -> Option<PoweredDisk> {
    world::is_active().then(|| world::disk(path))
}

impl LogStore {
    /// Opens the log on that disk.
    pub(super) fn simulate(disk: &PoweredDisk, fail: Fail) -> io::Result<Self> {
        let (shared, journal) = Shared::open(Arc::new(disk.attach()))?;
        tokio::spawn(write(shared.clone(), journal, disk.clone(), fail));
        Ok(Self { shared, writer: None })
    }
}

async fn write(shared: Arc<Shared>, mut journal: Journal, disk: PoweredDisk, fail: Fail) {
    loop {
        shared.queued.notified().await;
        loop {
            let batch = {
                let mut log = shared.lock();
                if log.queue.is_empty() {
                    break;
                }
                writer::take(&mut log)
            };
            disk.delay().await;
            if let Err(error) = writer::store(&mut journal, &batch) {
                return writer::failed(&shared, batch, &error, &fail);
            }
            disk.delay_after().await;
            writer::written(&shared, batch);
        }
    }
}

/// The vote that a server would find there after a loss of power now.
pub(in crate::raft) fn durable_vote(disk: &PoweredDisk) -> io::Result<Option<Vote>> {
    Ok(Journal::open(Arc::new(disk.durable_copy()))?.marks().vote)
}
