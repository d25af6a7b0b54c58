//! The log against openraft's own suite, and what the suite does not ask: group commit, restarts, crashes.

use std::{
    fs,
    path::Path,
    sync::{Arc, mpsc},
};

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
use tempfile::TempDir;

use super::{fragile::Fragile, *};
use crate::raft::{machine::Machine, proposal::Proposal, snapshot::SnapshotStore, tests::Ignored};

fn open(path: Option<&Path>) -> LogStore {
    LogStore::open(path.map(Path::to_owned), |reason| panic!("{reason}")).unwrap()
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
        let log = open((!self.in_memory).then(|| dir.path().join("log")).as_deref());
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
    let mut log = open(Some(&dir.path().join("log")));
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
    let path = dir.path().join("log");
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
    let path = dir.path().join("log");
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
    let path = dir.path().join("log");
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

fn open_disk(disk: &Fragile, fail: Fail) -> LogStore {
    LogStore::start(Arc::new(disk.clone()), fail).unwrap()
}

/// An entry of some kilobytes: over several sectors.
fn large_entry(index: u64) -> Entry {
    let name = format!("{index}-{}", "x".repeat(3000 * (index as usize % 4)));
    let command = Command::Deregister(Deregistration::Node(name.as_str().into()));
    Entry { log_id: log_id(1, index), payload: EntryPayload::Normal(Proposal::new(Time(index), command)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_leaves_all_that_was_acknowledged_and_nothing_half() {
    for seed in 0..48_u64 {
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut survives = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % 3 > 0
        };
        let mut disk = Fragile::default();
        let mut acknowledged = None;
        // Cut off again and again, also while it takes up what an earlier cut has left.
        for _ in 0..4 {
            let mut log = open_disk(&disk, Box::new(|reason| panic!("{reason}")));
            let found = indexes(&mut log).await;
            let expected: Vec<_> = (0..found.len() as u64).map(|index| (1, index)).collect();
            assert_eq!(found, expected, "seed {seed}: a hole");
            assert!(
                found.len() as u64 >= acknowledged.map_or(0, |index| index + 1),
                "seed {seed}: lost an acknowledged entry"
            );
            let committed = log.read_committed().await.unwrap();
            assert!(committed <= log.last(), "seed {seed}: committed before it is there");
            let next = found.len() as u64;
            for index in next..next + 20 {
                let (sender, flushed) = TypeConfig::oneshot();
                log.append([large_entry(index)], IOFlushed::signal(sender)).await.unwrap();
                log.save_committed(Some(log_id(1, index))).await.unwrap();
                if (index + seed) % 3 == 0 {
                    flushed.await.unwrap().unwrap();
                    acknowledged = Some(index);
                }
            }
            // The writer is somewhere in the middle of the last entries now.
            disk = disk.cut(&mut survives);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_commit_is_told_to_everyone_and_is_final() {
    let disk = Fragile::default();
    let (sender, failures) = mpsc::channel();
    let mut log = open_disk(&disk, Box::new(move |reason| sender.send(reason).unwrap()));
    log.blocking_append([entry(1, 0)]).await.unwrap();
    disk.set_broken(true);
    assert!(log.blocking_append([entry(1, 1)]).await.unwrap_err().to_string().contains("the disk is gone"));
    assert!(failures.recv().unwrap().starts_with("the Raft log cannot be written"));
    disk.set_broken(false);
    assert!(log.save_vote(&Vote::new(9, 1)).await.is_err());
    assert!(log.blocking_append([entry(1, 2)]).await.is_err());
}

/// The files of a log, by name.
fn files(path: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Entries of a megabyte each.
fn megabytes(indexes: std::ops::Range<u64>) -> impl Iterator<Item = Entry> {
    indexes.map(|index| {
        let command = Command::Deregister(Deregistration::Node("x".repeat(1 << 20).as_str().into()));
        Entry { log_id: log_id(1, index), payload: EntryPayload::Normal(Proposal::new(Time(index), command)) }
    })
}

#[tokio::test]
async fn files_go_when_all_in_them_is_purged_and_the_marks_stay() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut log = open(Some(&path));
    log.save_vote(&Vote::new(3, 2)).await.unwrap();
    for entry in megabytes(0..40) {
        log.blocking_append([entry]).await.unwrap();
    }
    let before = files(&path);
    assert_eq!(before.len(), 5);
    // Two segments and a part of the third.
    log.purge(log_id(1, 18)).await.unwrap();
    settle(&mut log).await;
    settle(&mut log).await;
    assert_eq!(files(&path)[..3], before[2..]);
    log.purge(log_id(1, 39)).await.unwrap();
    settle(&mut log).await;
    settle(&mut log).await;
    assert!(!files(&path).contains(&before[3]));
    drop(log);
    let mut log = open(Some(&path));
    assert_eq!((log.vote(), log.last()), (Some(Vote::new(1, 1)), Some(log_id(1, 39))));
    log.blocking_append([entry(1, 40)]).await.unwrap();
    assert_eq!(indexes(&mut log).await, [(1, 40)]);
}

#[tokio::test]
async fn no_commit_waits_for_more_than_one_file_to_go() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut log = open(Some(&path));
    for entry in megabytes(0..40) {
        log.blocking_append([entry]).await.unwrap();
    }
    let (before, commits) = (files(&path), log.reader().commits());
    log.purge(log_id(1, 39)).await.unwrap();
    let dead = &before[..before.len() - 1];
    loop {
        settle(&mut log).await;
        let left = files(&path);
        let gone = dead.iter().filter(|name| !left.contains(name)).count();
        assert!(gone as u64 <= log.reader().commits() - commits, "{gone} files at once");
        if gone == dead.len() {
            break;
        }
    }
}

#[tokio::test]
async fn what_is_purged_counts_by_its_index_whatever_its_term() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut log = open(Some(&path));
    // Never committed; what a leader then sends as a snapshot ends later, and in an earlier term.
    log.blocking_append([entry(1, 0), entry(5, 1)]).await.unwrap();
    log.purge(log_id(3, 90)).await.unwrap();
    assert_eq!(log.last(), Some(log_id(3, 90)));
    drop(log);
    assert_eq!(open(Some(&path)).last(), Some(log_id(3, 90)));
}

#[tokio::test]
async fn damage_is_refused_by_name_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut log = open(Some(&path));
    for entry in megabytes(0..20) {
        log.blocking_append([entry]).await.unwrap();
    }
    drop(log);
    let names = files(&path);
    let whole: Vec<Vec<u8>> = names.iter().map(|name| fs::read(name).unwrap()).collect();
    assert_eq!(names.len(), 3);
    let flip = |file: usize, at: usize| {
        let mut bytes = whole[file].clone();
        bytes[at] ^= 1;
        fs::write(&names[file], bytes).unwrap();
    };
    let cases: [(&str, &dyn Fn(), usize); 5] = [
        ("though others follow", &|| flip(2, 100_000), 2),
        ("its end is damaged", &|| flip(0, (8 << 20) + 100_000), 0),
        ("does not begin as a segment", &|| flip(1, 3), 1),
        ("the entries before 8 are missing", &|| fs::write(&names[0], &whole[0][..frame::SEGMENT_HEAD]).unwrap(), 0),
        ("it is missing", &|| fs::remove_file(&names[1]).unwrap(), 1),
    ];
    for (expected, damage, named) in cases {
        damage();
        let left: Vec<Vec<u8>> = files(&path).iter().map(|name| fs::read(name).unwrap()).collect();
        let error = LogStore::open(Some(path.clone()), |_| ()).err().expect(expected).to_string();
        assert!(error.contains(expected) && error.contains(names[named].to_str().unwrap()), "{expected}: {error}");
        assert_eq!(files(&path).iter().map(|name| fs::read(name).unwrap()).collect::<Vec<_>>(), left, "{expected}");
        for (name, bytes) in names.iter().zip(&whole) {
            fs::write(name, bytes).unwrap();
        }
    }
    fs::write(path.join("letter.txt"), "").unwrap();
    assert!(LogStore::open(Some(path.clone()), |_| ()).err().unwrap().to_string().contains("letter.txt"));
    fs::remove_file(path.join("letter.txt")).unwrap();
    assert_eq!(indexes(&mut open(Some(&path))).await.len(), 20);
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
