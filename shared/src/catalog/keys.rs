//! Keys and their locks: their tables, the meaning of each [`KeyCommand`], and their indexes.
//!
//! **Deleted keys** are remembered for a while (key, index of the deletion), so that who waits for a key or a prefix
//! sees an index that has grown. They are forgotten by the time that commands are stamped with, a few with each
//! command: so no leader's command is needed for it, and every server forgets the same. Below every key that is not
//! there lies the index of the latest deletion that was forgotten; thus no index goes back when one is.
//!
//! **Lock delays** (a lock that was lost with its session cannot be taken for a while) go by the same time.
//!
//! No row of a key is ever part of a [`super::Change`]: sidecars hold no keys, and servers have the commands.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use imbl::{OrdMap, OrdSet};
use smol_str::SmolStr;
use uuid::Uuid;

use super::{State, Topic, Touched, apply::Changes, expiring::Expiring};
use crate::{
    command::{KeyCommand, KeyEntry, Refusal},
    model::{Behavior, Index, KeyValue, Session, Time},
};

/// How long a deletion is remembered: Consul's `tombstone_ttl`.
const GONE_FOR: Duration = Duration::from_secs(15 * 60);
/// The most deletions that are remembered, and the most lock delays; the oldest are forgotten first.
const MAX_REMEMBERED: usize = 1 << 18;
/// The most that one command forgets of what is due, so that none takes long.
const FORGOTTEN_AT_ONCE: usize = 256;

/// The tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    rows: OrdMap<SmolStr, Arc<KeyValue>>,
    /// The keys that each session has locked.
    held: OrdSet<(Uuid, SmolStr)>,
    /// Deleted keys with the indexes of their deletions.
    gone: Expiring<Index>,
    /// Locks that nobody may take yet.
    delays: Expiring<()>,
    /// The last change of any key.
    pub index: Index,
    /// The latest deletion that was forgotten.
    pub forgotten: Index,
}

impl Keys {
    fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Arc<KeyValue>> {
        let rows = self.rows.range(SmolStr::new(prefix)..);
        rows.take_while(move |(key, _)| key.starts_with(prefix)).map(|(_, row)| row)
    }

    /// When the key was last written or deleted.
    pub fn index_of(&self, key: &SmolStr) -> Index {
        match self.rows.get(key) {
            Some(row) => row.modify_index,
            None => self.gone.get(key).map_or(self.forgotten, |(_, index)| *index),
        }
    }

    /// When a key that begins with this text was last written or deleted.
    pub fn index_below(&self, prefix: &str) -> Index {
        if prefix.is_empty() {
            return self.index;
        }
        let rows = self.below(prefix).map(|row| row.modify_index);
        rows.chain(self.gone.below(prefix).copied()).max().unwrap_or_default().max(self.forgotten)
    }

    /// Forgets what is due.
    pub fn forget(&mut self, now: Time) {
        let forgotten = self.gone.forget(now, FORGOTTEN_AT_ONCE, MAX_REMEMBERED);
        self.forgotten = forgotten.into_iter().max().unwrap_or_default().max(self.forgotten);
        self.delays.forget(now, FORGOTTEN_AT_ONCE, MAX_REMEMBERED);
    }

    /// All keys.
    pub fn rows(&self) -> impl Iterator<Item = &Arc<KeyValue>> {
        self.rows.values()
    }

    /// The deletions that are remembered: key, index, and until when.
    pub fn gone(&self) -> impl Iterator<Item = (&SmolStr, Index, Time)> {
        self.gone.iter().map(|(key, (due, index))| (key, *index, *due))
    }

    /// The locks that nobody may take yet, and until when.
    pub fn delays(&self) -> impl Iterator<Item = (&SmolStr, Time)> {
        self.delays.iter().map(|(key, (due, ()))| (key, *due))
    }

    /// Puts a row as it is.
    pub fn put(&mut self, row: Arc<KeyValue>) {
        let key = row.key.clone();
        self.gone.remove(&key);
        if let Some(session) = row.session {
            self.held.insert((session, key.clone()));
        }
        let was_held_by = self.rows.insert(key.clone(), row.clone()).and_then(|old| old.session);
        if let Some(session) = was_held_by.filter(|_| was_held_by != row.session) {
            self.held.remove(&(session, key));
        }
    }

    /// Remembers a deletion.
    pub fn put_gone(&mut self, key: SmolStr, index: Index, due: Time) {
        self.gone.insert(key, due, index);
    }

    /// Holds a lock back.
    pub fn put_delay(&mut self, key: SmolStr, due: Time) {
        self.delays.insert(key, due, ());
    }
}

impl State {
    /// The key, exactly so written.
    #[must_use]
    pub fn key(&self, key: &str) -> Option<&Arc<KeyValue>> {
        self.keys.rows.get(key)
    }

    /// All keys that begin with `prefix`, in the order of their bytes.
    pub fn keys_below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Arc<KeyValue>> {
        self.keys.below(prefix)
    }

    /// Whether the lock of a key cannot be taken yet at `now`.
    pub(super) fn is_held_back(&self, key: &SmolStr, now: Time) -> bool {
        self.keys.delays.get(key).is_some_and(|(until, ())| *until > now)
    }

    /// Does what the command says. False where a condition of it does not hold.
    pub(super) fn write_key(&mut self, command: &KeyCommand, changes: &mut Changes) -> Result<bool, Refusal> {
        match command {
            KeyCommand::Set(entry) => self.put_entry(entry, None, changes),
            KeyCommand::Cas(entry, expected) => {
                let present = self.key(&entry.key).map_or(Index(0), |row| row.modify_index);
                if present != *expected {
                    return Ok(false);
                }
                self.put_entry(entry, None, changes);
            }
            KeyCommand::Acquire(entry, session) => return self.acquire(entry, *session, changes),
            KeyCommand::Release(entry, session) => {
                let Some(old) = self.key(&entry.key).filter(|old| old.session == Some(*session)) else {
                    return Ok(false);
                };
                let lock = Lock { session: None, lock_index: old.lock_index };
                self.put_entry(entry, Some(lock), changes);
            }
            KeyCommand::Delete(key) => self.delete_key(key, changes),
            KeyCommand::DeleteCas(key, expected) => {
                if self.key(key).is_some_and(|row| row.modify_index != *expected) {
                    return Ok(false);
                }
                self.delete_key(key, changes);
            }
            KeyCommand::DeleteTree(prefix) => {
                let keys: Vec<_> = self.keys_below(prefix).map(|row| row.key.clone()).collect();
                keys.iter().for_each(|key| self.delete_key(key, changes));
            }
        }
        Ok(true)
    }

    fn acquire(&mut self, entry: &KeyEntry, session: Uuid, changes: &mut Changes) -> Result<bool, Refusal> {
        if self.session(session).is_none() {
            return Err(Refusal::NoSession(session));
        }
        let (holder, lock_index) = self.key(&entry.key).map_or((None, 0), |old| (old.session, old.lock_index));
        let lock = match holder {
            Some(holder) if holder != session => return Ok(false),
            Some(_) => Lock { session: Some(session), lock_index },
            None if self.is_held_back(&entry.key, changes.time) => return Ok(false),
            None => Lock { session: Some(session), lock_index: lock_index + 1 },
        };
        self.put_entry(entry, Some(lock), changes);
        Ok(true)
    }

    /// Writes a key; without a `lock`, who holds it stays so and the count of its takings begins anew, as in Consul.
    fn put_entry(&mut self, entry: &KeyEntry, lock: Option<Lock>, changes: &mut Changes) {
        let old = self.key(&entry.key);
        let lock = lock.unwrap_or_else(|| Lock { session: old.and_then(|old| old.session), lock_index: 0 });
        let mut row = KeyValue {
            key: entry.key.clone(),
            // A copy, for the command's bytes may be a small part of a large buffer.
            value: Bytes::copy_from_slice(&entry.value),
            flags: entry.flags,
            session: lock.session,
            lock_index: lock.lock_index,
            create_index: self.index,
            modify_index: self.index,
        };
        if let Some(old) = old {
            row.create_index = old.create_index;
            let unchanged = KeyValue { modify_index: old.modify_index, ..row.clone() };
            if unchanged == **old {
                return;
            }
        }
        self.put_key(Arc::new(row), &mut changes.touched);
    }

    fn put_key(&mut self, row: Arc<KeyValue>, touched: &mut Touched) {
        self.keys.index = self.index;
        touched.insert(Topic::Key(row.key.clone()));
        self.keys.put(row);
    }

    fn delete_key(&mut self, key: &SmolStr, changes: &mut Changes) {
        let Some(old) = self.keys.rows.remove(key) else { return };
        if let Some(session) = old.session {
            self.keys.held.remove(&(session, key.clone()));
        }
        self.keys.put_gone(key.clone(), self.index, after(changes.time, GONE_FOR));
        self.keys.index = self.index;
        changes.touched.insert(Topic::Key(key.clone()));
    }

    /// Takes its locks from a session that has ended.
    pub(super) fn give_up_keys(&mut self, session: &Session, changes: &mut Changes) {
        let held = self.keys.held.range((session.id, SmolStr::default())..);
        let keys: Vec<_> = held.take_while(|(id, _)| *id == session.id).map(|(_, key)| key.clone()).collect();
        for key in keys {
            match session.behavior {
                Behavior::Delete => self.delete_key(&key, changes),
                Behavior::Release => {
                    let Some(old) = self.keys.rows.get(&key) else { continue };
                    let row = KeyValue { session: None, modify_index: self.index, ..(**old).clone() };
                    self.put_key(Arc::new(row), &mut changes.touched);
                }
            }
            if !session.lock_delay.is_zero() {
                self.keys.put_delay(key, after(changes.time, session.lock_delay));
            }
        }
    }
}

/// Who holds a lock after a write.
struct Lock {
    session: Option<Uuid>,
    lock_index: u64,
}

fn after(time: Time, span: Duration) -> Time {
    Time(time.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
}
