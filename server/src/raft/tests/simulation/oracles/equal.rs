//! What a server holds, as bytes: those of the snapshot that it would make.

use lictor_shared::catalog::State;

use crate::raft::{
    SnapshotMeta,
    snapshot::{SnapshotData, SnapshotStore},
};

/// The bytes of a state.
pub(in crate::raft::tests::simulation) fn bytes(state: &State) -> Vec<u8> {
    let built = SnapshotStore::open(None).unwrap().build(SnapshotMeta::default(), state).unwrap();
    match built.snapshot {
        SnapshotData::Memory(bytes) => bytes.to_vec(),
        other => panic!("not in memory: {other:?}"),
    }
}
