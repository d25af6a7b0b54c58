//! Keys and sessions: rows, writes, and what a snapshot keeps of them. Transactions are in `transaction`.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use lictor_shared::{
    catalog::{CoordinationIndexes, Record},
    command::{KeyCommand, KeyEntry, SessionCommand},
    model::{Behavior, CheckId, Index, KeyValue, Session, Time},
};
use uuid::Uuid;

use super::{DecodeError, model::nanoseconds, required};
use crate::internal::{self, key_command, record, session_command};

pub(super) fn id_bytes(id: Uuid) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

pub(super) fn id(bytes: &[u8], field: &'static str) -> Result<Uuid, DecodeError> {
    Uuid::from_slice(bytes).map_err(|_| DecodeError::IdLength { field, length: bytes.len() })
}

impl From<&KeyValue> for internal::KeyValue {
    fn from(row: &KeyValue) -> Self {
        Self {
            key: row.key.to_string(),
            value: row.value.clone(),
            flags: row.flags,
            session: row.session.map(id_bytes).unwrap_or_default(),
            lock_index: row.lock_index,
            create_index: row.create_index.0,
            modify_index: row.modify_index.0,
        }
    }
}

impl TryFrom<internal::KeyValue> for KeyValue {
    type Error = DecodeError;

    fn try_from(row: internal::KeyValue) -> Result<Self, DecodeError> {
        let session = (!row.session.is_empty()).then(|| id(&row.session, "KeyValue.session")).transpose()?;
        Ok(Self {
            key: row.key.into(),
            value: row.value,
            flags: row.flags,
            session,
            lock_index: row.lock_index,
            create_index: Index(row.create_index),
            modify_index: Index(row.modify_index),
        })
    }
}

impl From<&Session> for internal::Session {
    fn from(session: &Session) -> Self {
        let texts = |ids: &[CheckId]| ids.iter().map(ToString::to_string).collect();
        Self {
            id: id_bytes(session.id),
            name: session.name.to_string(),
            node: session.node.to_string(),
            node_checks: texts(&session.node_checks),
            service_checks: texts(&session.service_checks),
            lock_delay_ns: nanoseconds(session.lock_delay),
            deletes_keys: session.behavior == Behavior::Delete,
            ttl_ns: nanoseconds(session.ttl),
            ttl_text: session.ttl_text.to_string(),
            create_index: session.create_index.0,
            modify_index: session.modify_index.0,
        }
    }
}

impl TryFrom<internal::Session> for Session {
    type Error = DecodeError;

    fn try_from(session: internal::Session) -> Result<Self, DecodeError> {
        let ids = |texts: Vec<String>| texts.into_iter().map(CheckId::from).collect();
        Ok(Self {
            id: id(&session.id, "Session.id")?,
            name: session.name.into(),
            node: session.node.into(),
            node_checks: ids(session.node_checks),
            service_checks: ids(session.service_checks),
            lock_delay: Duration::from_nanos(session.lock_delay_ns),
            behavior: if session.deletes_keys { Behavior::Delete } else { Behavior::Release },
            ttl: Duration::from_nanos(session.ttl_ns),
            ttl_text: session.ttl_text.into(),
            create_index: Index(session.create_index),
            modify_index: Index(session.modify_index),
        })
    }
}

impl From<&KeyEntry> for internal::KeyEntry {
    fn from(entry: &KeyEntry) -> Self {
        Self { key: entry.key.to_string(), value: entry.value.clone(), flags: entry.flags }
    }
}

impl From<internal::KeyEntry> for KeyEntry {
    fn from(entry: internal::KeyEntry) -> Self {
        Self { key: entry.key.into(), value: entry.value, flags: entry.flags }
    }
}

fn key_at(key: &str, index: Index) -> internal::KeyAt {
    internal::KeyAt { key: key.to_owned(), index: index.0 }
}

fn key_lock(entry: &KeyEntry, session: Uuid) -> internal::KeyLock {
    internal::KeyLock { entry: Some(entry.into()), session: id_bytes(session) }
}

fn lock(lock: internal::KeyLock) -> Result<(KeyEntry, Uuid), DecodeError> {
    Ok((required(lock.entry, "KeyLock.entry")?.into(), id(&lock.session, "KeyLock.session")?))
}

impl From<&KeyCommand> for internal::KeyCommand {
    fn from(command: &KeyCommand) -> Self {
        use key_command::Command;
        let command = match command {
            KeyCommand::Set(entry) => Command::Set(entry.into()),
            KeyCommand::Cas(entry, expected) => {
                Command::Cas(internal::KeyCas { entry: Some(entry.into()), expected: expected.0 })
            }
            KeyCommand::Acquire(entry, session) => Command::Acquire(key_lock(entry, *session)),
            KeyCommand::Release(entry, session) => Command::Release(key_lock(entry, *session)),
            KeyCommand::Delete(key) => Command::Delete(key.to_string()),
            KeyCommand::DeleteCas(key, expected) => Command::DeleteCas(key_at(key, *expected)),
            KeyCommand::DeleteTree(prefix) => Command::DeleteTree(prefix.to_string()),
        };
        Self { command: Some(command) }
    }
}

impl TryFrom<internal::KeyCommand> for KeyCommand {
    type Error = DecodeError;

    fn try_from(command: internal::KeyCommand) -> Result<Self, DecodeError> {
        use key_command::Command;
        Ok(match required(command.command, "KeyCommand.command")? {
            Command::Set(entry) => Self::Set(entry.into()),
            Command::Cas(cas) => Self::Cas(required(cas.entry, "KeyCas.entry")?.into(), Index(cas.expected)),
            Command::Acquire(what) => lock(what).map(|(entry, session)| Self::Acquire(entry, session))?,
            Command::Release(what) => lock(what).map(|(entry, session)| Self::Release(entry, session))?,
            Command::Delete(key) => Self::Delete(key.into()),
            Command::DeleteCas(at) => Self::DeleteCas(at.key.into(), Index(at.index)),
            Command::DeleteTree(prefix) => Self::DeleteTree(prefix.into()),
        })
    }
}

impl From<&SessionCommand> for internal::SessionCommand {
    fn from(command: &SessionCommand) -> Self {
        let command = match command {
            SessionCommand::Create(session) => session_command::Command::Create((&**session).into()),
            SessionCommand::Destroy(session) => session_command::Command::Destroy(id_bytes(*session)),
        };
        Self { command: Some(command) }
    }
}

impl TryFrom<internal::SessionCommand> for SessionCommand {
    type Error = DecodeError;

    fn try_from(command: internal::SessionCommand) -> Result<Self, DecodeError> {
        Ok(match required(command.command, "SessionCommand.command")? {
            session_command::Command::Create(session) => Self::Create(Box::new(session.try_into()?)),
            session_command::Command::Destroy(session) => Self::Destroy(id(&session, "SessionCommand.destroy")?),
        })
    }
}

impl From<CoordinationIndexes> for internal::CoordinationIndexes {
    fn from(indexes: CoordinationIndexes) -> Self {
        Self {
            keys: indexes.keys.0,
            keys_forgotten: indexes.keys_forgotten.0,
            sessions: indexes.sessions.0,
            sessions_gone: indexes.sessions_gone.0,
            ahead: indexes.ahead,
        }
    }
}

impl From<internal::CoordinationIndexes> for CoordinationIndexes {
    fn from(indexes: internal::CoordinationIndexes) -> Self {
        Self {
            keys: Index(indexes.keys),
            keys_forgotten: Index(indexes.keys_forgotten),
            sessions: Index(indexes.sessions),
            sessions_gone: Index(indexes.sessions_gone),
            ahead: indexes.ahead,
        }
    }
}

/// The message of a record of a deleted key.
pub(super) fn key_gone(key: &str, index: Index, due: Time) -> record::Record {
    record::Record::KeyGone(internal::KeyGone { key: key.to_owned(), index: index.0, due_ms: due.0 })
}

/// The message of a record of a lock that is held back.
pub(super) fn lock_delay(key: &str, until: Time) -> record::Record {
    record::Record::LockDelay(internal::LockDelay { key: key.to_owned(), until_ms: until.0 })
}

impl From<internal::KeyGone> for Record {
    fn from(gone: internal::KeyGone) -> Self {
        Self::KeyGone(gone.key.into(), Index(gone.index), Time(gone.due_ms))
    }
}

impl From<internal::LockDelay> for Record {
    fn from(delay: internal::LockDelay) -> Self {
        Self::LockDelay(delay.key.into(), Time(delay.until_ms))
    }
}

impl TryFrom<internal::KeyValue> for Record {
    type Error = DecodeError;

    fn try_from(row: internal::KeyValue) -> Result<Self, DecodeError> {
        // As large as its value: what a snapshot's frame held besides is not kept with it.
        let row = internal::KeyValue { value: Bytes::copy_from_slice(&row.value), ..row };
        Ok(Self::Key(Arc::new(row.try_into()?)))
    }
}
