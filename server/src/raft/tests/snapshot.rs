//! Snapshots: a roundtrip keeps every row and index; a damaged file is refused by name.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{Arc, mpsc},
    thread::{self, ThreadId},
    time::Duration,
};

use bytes::Bytes;
use lictor_shared::{
    catalog::{Loader, Record, State},
    model::{Index, KeyValue, Time},
    view,
};
use openraft::{Membership, storage::RaftStateMachine, vote::RaftLeaderIdExt};

use super::{Ignored, registration};
use crate::raft::{
    LogId, ServerAddress, SnapshotMeta, StoredMembership, TypeConfig,
    incoming::{Place, Received},
    machine::Machine,
    snapshot::{SnapshotData, SnapshotStore},
};

fn state(entries: u64) -> State {
    let mut state = State::default();
    for index in 1..=entries {
        state.apply(Index(index), Time(index * 1000), &registration(&format!("node-{}", index % 40)));
    }
    state
}

fn meta(index: u64) -> SnapshotMeta {
    let log_id = LogId::new(openraft::type_config::alias::LeaderIdOf::<TypeConfig>::new_committed(3, 9), index);
    let address = ServerAddress { rpc: "127.0.0.1:8300".into(), name: "one".into(), ..ServerAddress::default() };
    let membership = Membership::new(
        vec![BTreeSet::from([9])],
        [(9, address)].into_iter().collect::<std::collections::BTreeMap<_, _>>(),
    );
    SnapshotMeta {
        last_log_id: Some(log_id),
        last_membership: StoredMembership::new(Some(log_id), membership.unwrap()),
    }
}

fn path(snapshot: &SnapshotData) -> &Path {
    match snapshot {
        SnapshotData::Kept(path) => path,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_roundtrip_keeps_everything() {
    let dir = tempfile::tempdir().unwrap();
    for place in [None, Some(dir.path().to_owned())] {
        let store = SnapshotStore::open(place).unwrap();
        let built = store.build(meta(100), &state(100)).unwrap();
        let (found, loaded) = SnapshotStore::load(&built.snapshot).unwrap();
        assert_eq!(found, meta(100));
        assert_eq!(loaded.index(), Index(100));
        assert_eq!(loaded.records().collect::<Vec<Record>>(), state(100).records().collect::<Vec<Record>>());
    }
}

#[test]
fn the_last_two_are_kept_and_the_latest_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = SnapshotStore::open(Some(dir.path().to_owned())).unwrap();
    for index in [5, 50, 500] {
        store.build(meta(index), &state(index)).unwrap();
    }
    fs::write(dir.path().join("received-3.unfinished"), "half").unwrap();
    let store = SnapshotStore::open(Some(dir.path().to_owned())).unwrap();
    assert_eq!(store.latest().unwrap().meta, meta(500));
    let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["00000000000000000050.snapshot", "00000000000000000500.snapshot"]);
}

#[test]
fn a_truncated_file_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = SnapshotStore::open(Some(dir.path().to_owned())).unwrap();
    let built = store.build(meta(60), &state(60)).unwrap();
    let path = path(&built.snapshot);
    let whole = fs::read(path).unwrap();
    for length in [0, 7, 11, 20, whole.len() / 2, whole.len() - 5, whole.len() - 1] {
        fs::write(path, &whole[..length]).unwrap();
        let error = SnapshotStore::load(&built.snapshot).unwrap_err().to_string();
        assert!(error.contains("00000000000000000060.snapshot is damaged (it is truncated)"), "{length}: {error}");
    }
}

#[test]
fn an_altered_file_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = SnapshotStore::open(Some(dir.path().to_owned())).unwrap();
    let built = store.build(meta(60), &state(60)).unwrap();
    let path = path(&built.snapshot);
    let whole = fs::read(path).unwrap();
    let every = (whole.len() / 199).max(1);
    for at in (0..whole.len()).step_by(every) {
        let mut altered = whole.clone();
        altered[at] ^= 0x10;
        fs::write(path, &altered).unwrap();
        let error = SnapshotStore::load(&built.snapshot).unwrap_err().to_string();
        assert!(error.contains("00000000000000000060.snapshot is damaged ("), "byte {at}: {error}");
    }
    fs::write(path, [whole.as_slice(), b"more"].concat()).unwrap();
    assert!(SnapshotStore::load(&built.snapshot).is_err());
}

#[test]
fn a_damaged_latest_file_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let store = SnapshotStore::open(Some(dir.path().to_owned())).unwrap();
    let built = store.build(meta(60), &state(60)).unwrap();
    fs::write(path(&built.snapshot), "nonsense").unwrap();
    let error = SnapshotStore::open(Some(dir.path().to_owned())).unwrap_err().to_string();
    assert!(error.contains("00000000000000000060.snapshot is damaged ("), "{error}");
}

#[test]
fn what_a_leader_sends_replaces_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = SnapshotStore::open(Some(dir.path().to_owned())).unwrap();
    let sent = SnapshotStore::open(None).unwrap().build(meta(70), &state(70)).unwrap();
    let mut bytes = Vec::new();
    sent.snapshot.open().unwrap().read_to_end(&mut bytes).unwrap();
    for keep in [false, true] {
        let mut receiving = store.receive().unwrap();
        bytes.chunks(100).for_each(|piece| receiving.push(piece).unwrap());
        let received = SnapshotData::Received(Arc::new(receiving.finish().unwrap()));
        assert_eq!(SnapshotStore::load(&received).unwrap().0, meta(70));
        if keep {
            store.adopt(meta(70), received).unwrap();
        }
    }
    assert_eq!(store.latest().unwrap().meta, meta(70));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "what was not adopted is gone");
}

/// Says on which thread it goes.
struct Probe(mpsc::Sender<ThreadId>);

impl AsRef<[u8]> for Probe {
    fn as_ref(&self) -> &[u8] {
        b"value"
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.send(thread::current().id()).unwrap();
    }
}

#[tokio::test]
async fn a_state_that_is_replaced_goes_on_another_thread_than_the_one_that_applies() {
    let (sender, gone) = mpsc::channel();
    let value = Bytes::from_owner(Probe(sender));
    let key = "k".into();
    let (create_index, modify_index) = (Index(1), Index(1));
    let row = KeyValue { key, value, flags: 0, session: None, lock_index: 0, create_index, modify_index };
    let mut loader = Loader::default();
    loader.push(Record::Key(Arc::new(row)));
    let store = Arc::new(SnapshotStore::open(None).unwrap());
    let (writer, reader) = view::new();
    let mut machine = Machine::new(writer, Arc::new(Ignored), store);
    for (index, state) in [(5, loader.finish_at(5)), (70, state(70))] {
        let received = Received { place: Place::Memory(Bytes::new()), meta: meta(index), state };
        machine.install_snapshot(&meta(index), SnapshotData::Received(Arc::new(received))).await.unwrap();
        assert_eq!(reader.load().index(), Index(index));
        assert_eq!(reader.load().key("k").is_some(), index == 5);
    }
    let thread = gone.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_ne!(thread, thread::current().id());
    assert!(gone.recv().is_err(), "it went once");
}
