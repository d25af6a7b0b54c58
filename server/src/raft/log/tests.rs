//! The log against openraft's own suite, and what the suite does not ask: group commit, restarts, crashes.

use std::sync::{Arc, Mutex, mpsc};

use lictor_shared::{
    command::{Command, Deregistration},
    model::Time,
    view,
};
use openraft::{
    EntryPayload, StorageError,
    storage::RaftLogStorageExt,
    testing::log::{StoreBuilder, Suite},
    type_config::TypeConfigExt,
    vote::RaftLeaderIdExt,
};
use redb::StorageBackend;
use tempfile::TempDir;

use super::*;
use crate::raft::{machine::Machine, proposal::Proposal, snapshot::SnapshotStore, tests::Ignored};

fn open(path: Option<&Path>) -> LogStore {
    LogStore::open(path, |reason| panic!("{reason}")).unwrap()
}

fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(openraft::type_config::alias::LeaderIdOf::<TypeConfig>::new_committed(term, 1), index)
}

fn entry(term: u64, index: u64) -> Entry {
    let command = Command::Deregister(Deregistration::Node(format!("node-{index}").into()));
    Entry { log_id: log_id(term, index), payload: EntryPayload::Normal(Proposal::new(Time(index), command)) }
}

async fn indexes(log: &mut LogStore) -> Vec<(u64, u64)> {
    let entries = log.get_log_reader().await.try_get_log_entries(..).await.unwrap();
    entries.iter().map(|entry| (entry.log_id.committed_leader_id().term, entry.log_id.index)).collect()
}

/// Waits until everything queued so far is durable.
async fn settle(log: &mut LogStore) {
    log.save_vote(&Vote::new(1, 1)).await.unwrap();
}

struct Builder {
    in_memory: bool,
}

impl StoreBuilder<TypeConfig, LogStore, Machine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, Machine), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().unwrap();
        let log = open((!self.in_memory).then(|| dir.path().join("log.redb")).as_deref());
        let snapshots = SnapshotStore::open((!self.in_memory).then(|| dir.path().join("snapshots"))).unwrap();
        Ok((dir, log, Machine::new(view::new().0, Arc::new(Ignored), Arc::new(snapshots))))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_openraft_on_disk() {
    Suite::test_all(Builder { in_memory: false }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_openraft_in_memory() {
    Suite::test_all(Builder { in_memory: true }).await.unwrap();
}

#[tokio::test]
async fn concurrent_appends_share_a_commit() {
    const APPENDS: u64 = 256;
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(Some(&dir.path().join("log.redb")));
    let mut flushed = Vec::new();
    for index in 0..APPENDS {
        let (sender, receiver) = TypeConfig::oneshot();
        log.append([entry(1, index)], IOFlushed::signal(sender)).await.unwrap();
        flushed.push(receiver);
    }
    for receiver in flushed {
        receiver.await.unwrap().unwrap();
    }
    let commits = log.reader().commits();
    assert!(commits < APPENDS / 4, "{commits} commits for {APPENDS} appends");
}

#[tokio::test]
async fn a_restart_keeps_vote_log_marks_and_what_was_cut() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.redb");
    let mut log = open(Some(&path));
    let vote = Vote::new(7, 3);
    log.save_vote(&vote).await.unwrap();
    log.blocking_append((0..20).map(|index| entry(1, index))).await.unwrap();
    log.truncate_after(Some(log_id(1, 14))).await.unwrap();
    log.blocking_append((15..18).map(|index| entry(2, index))).await.unwrap();
    log.purge(log_id(1, 4)).await.unwrap();
    log.save_committed(Some(log_id(2, 16))).await.unwrap();
    let before = indexes(&mut log).await;
    drop(log);

    let mut log = open(Some(&path));
    assert_eq!(log.get_log_reader().await.read_vote().await.unwrap(), Some(vote));
    assert_eq!(log.read_committed().await.unwrap(), Some(log_id(2, 16)));
    let state = log.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(log_id(1, 4)), Some(log_id(2, 17))));
    let expected: Vec<_> = (5..15).map(|index| (1, index)).chain((15..18).map(|index| (2, index))).collect();
    assert_eq!(before, expected);
    assert_eq!(indexes(&mut log).await, expected);
    let part = log.get_log_reader().await.limited_get_log_entries(16, 18).await.unwrap();
    assert_eq!(part, [entry(2, 16), entry(2, 17)]);
}

#[tokio::test]
async fn what_is_purged_to_the_end_continues_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.redb");
    let mut log = open(Some(&path));
    log.blocking_append((0..3).map(|index| entry(1, index))).await.unwrap();
    log.purge(log_id(3, 90)).await.unwrap();
    drop(log);
    let mut log = open(Some(&path));
    assert_eq!(log.get_log_state().await.unwrap().last_log_id, Some(log_id(3, 90)));
    log.blocking_append([entry(3, 91)]).await.unwrap();
    assert_eq!(indexes(&mut log).await, [(3, 91)]);
}

#[tokio::test]
async fn reads_join_the_file_and_the_tail() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.redb");
    let mut log = open(Some(&path));
    log.blocking_append((0..50).map(|index| entry(1, index))).await.unwrap();
    drop(log);
    let mut log = open(Some(&path));
    log.blocking_append((50..100).map(|index| entry(1, index))).await.unwrap();
    assert_eq!(log.shared.lock().tail.first(), 50);
    let mut reader = log.get_log_reader().await;
    for (range, expected) in
        [(0..100, 0..100), (40..60, 40..60), (60..70, 60..70), (10..20, 10..20), (90..200, 90..100)]
    {
        let found = reader.try_get_log_entries(range).await.unwrap();
        assert_eq!(found, expected.map(|index| entry(1, index)).collect::<Vec<_>>());
    }
    // A limit cuts, but never down to nothing.
    for (start, limit) in [(0, 1), (48, 1), (60, 1), (48, 2 * tail::bytes(&entry(1, 48)))] {
        let found = log.shared.read(start..100, limit).await.unwrap();
        let expected = if limit == 1 { 1 } else { 2 };
        assert_eq!(found, (start..start + expected).map(|index| entry(1, index)).collect::<Vec<_>>());
    }
}

/// A disk that remembers what a power cut would leave: what was synced, and any part of what was not.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Sectors>>);

#[derive(Debug, Default)]
struct Sectors {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Writes since the last sync.
    loose: Vec<(u64, Vec<u8>)>,
    /// Fails every sync from now on.
    broken: bool,
}

impl Sectors {
    /// The disk after a power cut: of the loose writes, those whose bit is set in `survivors`.
    fn cut(&self, survivors: u64) -> Vec<u8> {
        let mut left = self.synced.clone();
        for (number, (offset, data)) in self.loose.iter().enumerate() {
            if survivors >> (number % 64) & 1 == 1 {
                put(&mut left, *offset, data);
            }
        }
        left
    }
}

fn put(bytes: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let (start, end) = (offset as usize, offset as usize + data.len());
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[start..end].copy_from_slice(data);
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = offset as usize;
        out.copy_from_slice(&self.0.lock().unwrap().now[start..start + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.now.resize(len as usize, 0);
        disk.synced.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        if disk.broken {
            return Err(io::Error::other("the disk is gone"));
        }
        disk.synced = disk.now.clone();
        disk.loose.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        put(&mut disk.now, offset, data);
        disk.loose.push((offset, data.to_vec()));
        Ok(())
    }
}

fn open_disk(disk: Disk, fail: Fail) -> LogStore {
    LogStore::start(Database::builder().create_with_backend(disk).unwrap(), fail).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_leaves_all_that_was_acknowledged_and_nothing_half() {
    for seed in 0..24_u64 {
        let disk = Disk::default();
        let mut log = open_disk(disk.clone(), Box::new(|reason| panic!("{reason}")));
        let mut acknowledged = None;
        for index in 0..20 {
            let (sender, flushed) = TypeConfig::oneshot();
            log.append([entry(1, index)], IOFlushed::signal(sender)).await.unwrap();
            log.save_committed(Some(log_id(1, index))).await.unwrap();
            if (index + seed) % 3 == 0 {
                flushed.await.unwrap().unwrap();
                acknowledged = Some(index);
            }
        }
        // The writer is somewhere in the middle of the last entries now.
        let survivors = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let left =
            Disk(Arc::new(Mutex::new(Sectors { now: disk.0.lock().unwrap().cut(survivors), ..Sectors::default() })));
        let mut log = open_disk(left, Box::new(|reason| panic!("{reason}")));
        let found = indexes(&mut log).await;
        let expected: Vec<_> = (0..found.len() as u64).map(|index| (1, index)).collect();
        assert_eq!(found, expected, "seed {seed}: a hole");
        assert!(found.len() as u64 > acknowledged.unwrap(), "seed {seed}: lost an acknowledged entry");
        let committed = log.read_committed().await.unwrap();
        assert!(
            committed <= log.get_log_state().await.unwrap().last_log_id,
            "seed {seed}: committed before it is there"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_commit_is_told_to_everyone_and_is_final() {
    let disk = Disk::default();
    let (sender, failures) = mpsc::channel();
    let mut log = open_disk(disk.clone(), Box::new(move |reason| sender.send(reason).unwrap()));
    log.blocking_append([entry(1, 0)]).await.unwrap();
    disk.0.lock().unwrap().broken = true;
    assert!(log.blocking_append([entry(1, 1)]).await.unwrap_err().to_string().contains("the disk is gone"));
    assert!(failures.recv().unwrap().starts_with("the Raft log cannot be written"));
    disk.0.lock().unwrap().broken = false;
    assert!(log.save_vote(&Vote::new(9, 1)).await.is_err());
    assert!(log.blocking_append([entry(1, 2)]).await.is_err());
}

#[tokio::test]
async fn the_tail_keeps_what_is_not_durable_and_little_else() {
    let mut log = open(None);
    for batch in 0..12_u64 {
        log.blocking_append((batch * 500..(batch + 1) * 500).map(|index| entry(1, index))).await.unwrap();
    }
    settle(&mut log).await;
    let first = log.shared.lock().tail.first();
    assert!(first >= 1500, "{first}");
    assert_eq!(indexes(&mut log).await.len(), 6000);
}
