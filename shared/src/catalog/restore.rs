//! The meaning of each [`RestoreCommand`]: a saved state comes in part by part and takes effect as a whole.
//!
//! What has come is part of the state, so that it survives a restart and is on every server alike; nobody reads it. Each
//! part goes into the tables of the state to be as it comes, so that the last step takes no longer for a large one. A
//! restore that is not gone on with for [`RESTORE_LIMIT`], by the time that commands carry, is forgotten.
//!
//! **Indexes.** Rows keep the indexes that they were saved with. The registry's own index goes on from the higher of
//! the present one and the saved one, for it must neither go back nor fall below that of a row: where the saved one was
//! higher (a new cluster), indexes are *ahead* of the log from then on. [`Indexes::restored`](super::Indexes) is the least
//! that any topic shows, so that whoever waits sees every index grow.

use std::{sync::Arc, time::Duration};

use imbl::Vector;
use uuid::Uuid;

use super::{Loader, Record, State};
use crate::{
    command::{Refusal, RestoreCommand},
    model::{Index, Time},
};

/// How long a restore may rest between two parts.
pub const RESTORE_LIMIT: Duration = Duration::from_secs(5 * 60);
/// The highest index that a saved state may have: above it there would be no room for later ones.
pub const MAX_SAVED_INDEX: Index = Index(1 << 62);

/// A saved state that is coming in.
#[derive(Clone, Debug)]
pub(super) struct Staged {
    id: Uuid,
    /// When its last part came.
    time: Time,
    /// What has come, as it came: for snapshots. Shares its rows with the loader.
    parts: Vector<Arc<[Record]>>,
    loader: Loader,
}

impl State {
    /// The index that the command at this place of the log makes.
    #[must_use]
    pub fn next_index(&self, log_index: u64) -> Index {
        Index(log_index.saturating_add(self.ahead))
    }

    /// The place in the log of the last command applied, on a server.
    #[must_use]
    pub fn log_index(&self) -> u64 {
        self.index.0.saturating_sub(self.ahead)
    }

    /// When the state was last replaced by a saved one; 0: never.
    #[must_use]
    pub fn restored(&self) -> Index {
        self.indexes.restored
    }

    /// Whether the state was replaced: what was read from it before says nothing about it.
    pub(super) fn restore(&mut self, command: &RestoreCommand, time: Time) -> Result<bool, Refusal> {
        match command {
            RestoreCommand::Begin(id) => self.begin_restore(*id, time),
            RestoreCommand::Records { id, number, records } => {
                self.expect_restore(*id, *number)?;
                self.stage(records.clone());
                if let Some(staged) = &mut self.staged {
                    Arc::make_mut(staged).time = time;
                }
            }
            RestoreCommand::Commit { id, parts, saved } => {
                self.expect_restore(*id, *parts)?;
                self.finish_restore(*saved);
                return Ok(true);
            }
            RestoreCommand::Abandon(id) => self.staged = self.staged.take().filter(|staged| staged.id != *id),
        }
        Ok(false)
    }

    pub(super) fn begin_restore(&mut self, id: Uuid, time: Time) {
        self.staged = Some(Arc::new(Staged { id, time, parts: Vector::new(), loader: Loader::default() }));
    }

    /// Takes the next part of the restore that is under way.
    pub(super) fn stage(&mut self, records: Arc<[Record]>) {
        let Some(staged) = &mut self.staged else { return };
        let staged = Arc::make_mut(staged);
        records.iter().for_each(|record| staged.loader.push(record.clone()));
        staged.parts.push_back(records);
    }

    pub(super) fn staged_records(&self) -> impl Iterator<Item = Record> {
        let staged = self.staged.iter();
        staged.flat_map(|staged| {
            let parts = staged.parts.iter().map(|records| Record::Staged(records.clone()));
            [Record::Restoring(staged.id, staged.time)].into_iter().chain(parts)
        })
    }

    pub(super) fn forget_stale_restore(&mut self, time: Time) {
        let limit_ms = u64::try_from(RESTORE_LIMIT.as_millis()).unwrap_or(u64::MAX);
        let is_stale = |staged: &Arc<Staged>| time.0.saturating_sub(staged.time.0) > limit_ms;
        if self.staged.as_ref().is_some_and(is_stale) {
            self.staged = None;
        }
    }

    fn expect_restore(&self, id: Uuid, parts: u32) -> Result<(), Refusal> {
        let staged = self.staged.as_ref().filter(|staged| staged.id == id);
        let expected = staged.filter(|staged| staged.parts.len() == parts as usize);
        if expected.is_some() { Ok(()) } else { Err(Refusal::NotRestoring(id)) }
    }

    fn finish_restore(&mut self, saved: Index) {
        let Some(staged) = self.staged.take() else { return };
        let index = self.index.max(Index(saved.min(MAX_SAVED_INDEX).0 + 1));
        let ahead = self.ahead + (index.0 - self.index.0);
        let mut state = Arc::unwrap_or_clone(staged).loader.finish(index);
        // A saved state may itself have come of a restore.
        (state.ahead, state.indexes.restored, state.staged) = (ahead, index, None);
        *self = state;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::Topic,
        command::{Command, KeyCommand, KeyEntry, Outcome},
    };

    struct Log {
        state: State,
        next: u64,
        time: Time,
    }

    impl Log {
        fn new() -> Self {
            Self { state: State::default(), next: 0, time: Time(1000) }
        }

        fn apply(&mut self, command: &Command) -> Outcome {
            self.next += 1;
            let outcome = self.state.apply(self.state.next_index(self.next), self.time, command).outcome;
            assert_eq!(self.state.log_index(), self.next);
            outcome
        }

        fn set(&mut self, key: &str) {
            let entry = KeyEntry { key: key.into(), value: self.next.to_string().into(), flags: 0 };
            assert!(self.apply(&Command::Key(KeyCommand::Set(entry))).is_done());
        }

        fn step(&mut self, step: RestoreCommand) -> Outcome {
            self.apply(&Command::Restore(step))
        }

        fn begin(&mut self, id: Uuid, saved: &State, part: usize) -> u32 {
            assert!(self.step(RestoreCommand::Begin(id)).is_done());
            let records: Vec<Record> = saved.saved_records().collect();
            for (number, records) in records.chunks(part).enumerate() {
                let (number, records) = (u32::try_from(number).unwrap(), records.into());
                assert!(self.step(RestoreCommand::Records { id, number, records }).is_done());
            }
            u32::try_from(records.len().div_ceil(part)).unwrap()
        }

        /// As a restart does: from a snapshot.
        fn restart(&mut self) {
            let mut loader = Loader::default();
            self.state.records().for_each(|record| loader.push(record));
            self.state = loader.finish_at(self.next);
        }
    }

    fn saved(keys: u32) -> State {
        let mut log = Log::new();
        (0..keys).for_each(|key| log.set(&format!("k{key:03}")));
        log.state
    }

    const ID: Uuid = Uuid::from_u128(7);

    #[test]
    fn a_saved_state_takes_effect_as_a_whole_with_its_rows_as_they_were() {
        for (present, keys) in [(3, 40), (90, 40)] {
            let (saved, mut log) = (saved(keys), Log::new());
            (0..present).for_each(|_| log.set("other"));
            let parts = log.begin(ID, &saved, 7);
            assert!(log.state.key("other").is_some() && log.state.key("k000").is_none());
            let before = log.state.index();
            log.restart();
            assert!(log.step(RestoreCommand::Commit { id: ID, parts, saved: saved.index() }).is_done());
            let state = &log.state;
            assert!(state.key("other").is_none());
            let rows = |state: &State| state.keys_below("").cloned().collect::<Vec<_>>();
            assert_eq!(rows(state), rows(&saved));
            assert!(state.index() > before && state.index() > saved.index(), "{:?}", state.index());
            for topic in [Topic::Key("k001".into()), Topic::Key("other".into()), Topic::Nodes, Topic::Sessions] {
                assert_eq!(state.index_of(&topic), state.index(), "{topic:?}");
            }
            log.restart();
            log.set("k001");
            let row = log.state.key("k001").unwrap();
            assert_eq!((row.create_index, row.modify_index), (Index(2), log.state.index()));
            assert!(row.modify_index > saved.index() && row.modify_index > before);
        }
    }

    #[test]
    fn what_is_out_of_place_changes_nothing() {
        let (saved, mut log) = (saved(9), Log::new());
        log.set("other");
        let parts = log.begin(ID, &saved, 4);
        let other = Uuid::from_u128(8);
        let records: Arc<[Record]> = [].into();
        let commit = |id, parts| RestoreCommand::Commit { id, parts, saved: Index(9) };
        for step in [
            commit(other, parts),
            commit(ID, parts - 1),
            RestoreCommand::Records { id: other, number: parts, records: records.clone() },
            RestoreCommand::Records { id: ID, number: parts - 1, records },
        ] {
            assert!(matches!(log.step(step.clone()), Outcome::Refused(Refusal::NotRestoring(_))), "{step:?}");
        }
        assert!(log.step(RestoreCommand::Abandon(other)).is_done());
        assert!(log.step(RestoreCommand::Abandon(ID)).is_done());
        assert!(!log.step(commit(ID, parts)).is_done());
        assert!(log.state.key("other").is_some() && log.state.key("k000").is_none());
    }

    #[test]
    fn a_restore_that_is_not_gone_on_with_is_forgotten() {
        let mut log = Log::new();
        let parts = log.begin(ID, &saved(9), 4);
        log.time = Time(1000 + u64::try_from(RESTORE_LIMIT.as_millis()).unwrap());
        log.set("other");
        assert!(log.state.staged.is_some());
        log.time = Time(log.time.0 + 1);
        log.set("other");
        assert!(log.state.staged.is_none());
        assert!(!log.step(RestoreCommand::Commit { id: ID, parts, saved: Index(9) }).is_done());
    }

    #[test]
    fn an_index_without_room_above_it_is_not_taken() {
        let mut log = Log::new();
        let parts = log.begin(ID, &saved(1), 4);
        assert!(log.step(RestoreCommand::Commit { id: ID, parts, saved: Index(u64::MAX) }).is_done());
        log.set("k");
        assert_eq!(log.state.index(), Index(MAX_SAVED_INDEX.0 + 2));
    }
}
