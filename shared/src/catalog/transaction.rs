//! Transactions: operations done in order, all of them or none.
//!
//! They run on a clone of the state, which costs a few reference counts and becomes the state only when nothing has
//! failed. One that only looks is the same, thrown away: it needs no command.

use super::{State, apply::Changes};
use crate::{
    command::{
        CatalogName, CatalogRow, Deregistration, KeyCommand, Operation, OperationError, OperationResult, Outcome,
        Refusal,
    },
    model::{Index, KeyValue},
};

/// The most bytes of keys and values that one transaction gives, so that its outcome fits into a message.
const MAX_RESULT_BYTES: usize = 8 << 20;
/// What a key counts beside its text and value.
const ROW_BYTES: usize = 64;

impl State {
    /// Does the operations, or none of them.
    pub(super) fn transact(&mut self, operations: &[Operation], changes: &mut Changes) -> Outcome {
        let (mut next, mut made) = (self.clone(), Changes::at(changes.time));
        match next.operate_all(operations, &mut made) {
            Ok(results) => {
                *self = next;
                changes.add(made);
                Outcome::Committed(results)
            }
            Err(errors) => Outcome::Aborted(errors),
        }
    }

    /// What the operations of a transaction that only looks give.
    ///
    /// # Errors
    /// Why they fail. Nothing is changed in any case.
    pub fn look(&self, operations: &[Operation]) -> Result<Vec<OperationResult>, Vec<OperationError>> {
        self.clone().operate_all(operations, &mut Changes::at(crate::model::Time(0)))
    }

    fn operate_all(
        &mut self,
        operations: &[Operation],
        changes: &mut Changes,
    ) -> Result<Vec<OperationResult>, Vec<OperationError>> {
        let (mut results, mut errors, mut bytes) = (Vec::new(), Vec::new(), 0);
        for (place, operation) in (0..).zip(operations) {
            match self.operate(operation, changes) {
                Ok(found) => {
                    bytes += found.iter().map(weight).sum::<usize>();
                    if bytes <= MAX_RESULT_BYTES {
                        results.extend(found);
                        continue;
                    }
                    let reason = format!("the transaction gives more than {MAX_RESULT_BYTES} bytes: ask for less");
                    errors.push(OperationError { place, reason });
                    break;
                }
                Err(reason) => errors.push(OperationError { place, reason }),
            }
        }
        if errors.is_empty() { Ok(results) } else { Err(errors) }
    }

    fn operate(&mut self, operation: &Operation, changes: &mut Changes) -> Result<Vec<OperationResult>, String> {
        match operation {
            Operation::Key(command) => self.operate_key(command, changes),
            Operation::GetKey(key) => Ok(vec![OperationResult::Key(self.present(key)?.clone())]),
            Operation::GetTree(prefix) => {
                Ok(self.keys_below(prefix).map(|row| OperationResult::Key((**row).clone())).collect())
            }
            Operation::CheckIndex(key, expected) => {
                let row = self.present(key)?;
                let found = row.modify_index;
                if found != *expected {
                    return Err(format!(
                        "failed index check for key {key:?}, current modify index {found} != {expected}"
                    ));
                }
                Ok(vec![without_value(row)])
            }
            Operation::CheckSession(key, session) => {
                let row = self.present(key)?;
                if row.session != Some(*session) {
                    let holder = row.session.map(|id| id.to_string()).unwrap_or_default();
                    let wanted = session.to_string();
                    return Err(format!(
                        "failed session check for key {key:?}, current session {holder:?} != {wanted:?}"
                    ));
                }
                Ok(vec![without_value(row)])
            }
            Operation::CheckAbsent(key) if self.key(key).is_some() => Err(format!("key {key:?} exists")),
            Operation::CheckAbsent(_) => Ok(Vec::new()),
            Operation::Put(row, expected) => self.put_row(row, *expected, changes),
            Operation::Get(name) => {
                self.find(name).map(|found| vec![found]).ok_or_else(|| format!("{name} doesn't exist"))
            }
            Operation::Remove(name, expected) => {
                if let Some(found) = self.find(name) {
                    if expected.is_some_and(|expected| expected != modify_index(&found)) {
                        return Err(format!("failed to delete {name}, index is stale"));
                    }
                    self.deregister(&name.deregistration(), changes);
                }
                Ok(Vec::new())
            }
            Operation::DestroySession(id) => {
                self.end_session(*id, changes);
                Ok(Vec::new())
            }
        }
    }

    fn present(&self, key: &str) -> Result<&KeyValue, String> {
        self.key(key).map(|row| &**row).ok_or_else(|| format!("key {key:?} doesn't exist"))
    }

    fn operate_key(&mut self, command: &KeyCommand, changes: &mut Changes) -> Result<Vec<OperationResult>, String> {
        let (key, failure) = match command {
            KeyCommand::Set(entry) => (Some(&entry.key), String::new()),
            KeyCommand::Cas(entry, _) => {
                (Some(&entry.key), format!("failed to set key {:?}, index is stale", entry.key))
            }
            KeyCommand::Acquire(entry, _) if self.is_held_back(&entry.key, changes.time) => {
                return Err(format!("failed to lock key {:?} due to lock delay", entry.key));
            }
            KeyCommand::Acquire(entry, _) => {
                (Some(&entry.key), format!("failed to lock key {:?}, lock is already held", entry.key))
            }
            KeyCommand::Release(entry, _) => {
                let reason = "lock isn't held, or is held by another session";
                (Some(&entry.key), format!("failed to unlock key {:?}, {reason}", entry.key))
            }
            KeyCommand::DeleteCas(key, _) => (None, format!("failed to delete key {key:?}, index is stale")),
            KeyCommand::Delete(_) | KeyCommand::DeleteTree(_) => (None, String::new()),
        };
        match self.write_key(command, changes) {
            Ok(true) => Ok(key.and_then(|key| self.key(key)).map(|row| without_value(row)).into_iter().collect()),
            Ok(false) => Err(failure),
            Err(refusal) => Err(refusal.to_string()),
        }
    }

    fn put_row(
        &mut self,
        row: &CatalogRow,
        expected: Option<Index>,
        changes: &mut Changes,
    ) -> Result<Vec<OperationResult>, String> {
        let name = row.name();
        let present = self.find(&name).map_or(Index(0), |found| modify_index(&found));
        if expected.is_some_and(|expected| expected != present) {
            return Err(format!("failed to set {name}, index is stale"));
        }
        if name.host().is_some_and(|node| self.node(node).is_none()) {
            return Err(Refusal::MissingNode.to_string());
        }
        self.register(&row.registration(), changes).map_err(|refusal| refusal.to_string())?;
        Ok(self.find(&name).into_iter().collect())
    }

    fn find(&self, name: &CatalogName) -> Option<OperationResult> {
        match name {
            CatalogName::Node(node) => self.node(node).map(|row| OperationResult::Node(Box::new((**row).clone()))),
            CatalogName::Service(node, id) => {
                self.node_service(node, id).map(|row| OperationResult::Service(Box::new((**row).clone())))
            }
            CatalogName::Check(node, id) => {
                self.node_check(node, id).map(|row| OperationResult::Check(Box::new((**row).clone())))
            }
        }
    }
}

impl CatalogName {
    /// The node that a service or check is on.
    fn host(&self) -> Option<&str> {
        match self {
            Self::Node(_) => None,
            Self::Service(node, _) | Self::Check(node, _) => Some(node),
        }
    }

    fn deregistration(&self) -> Deregistration {
        match self.clone() {
            Self::Node(node) => Deregistration::Node(node),
            Self::Service(node, id) => Deregistration::Service(node, id),
            Self::Check(node, id) => Deregistration::Check(node, id),
        }
    }
}

/// As it stands in the sentences that say why an operation failed.
impl std::fmt::Display for CatalogName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Node(node) => write!(formatter, "node {:?}", node.as_str()),
            Self::Service(node, id) => write!(formatter, "service {:?} on node {:?}", id.as_str(), node.as_str()),
            Self::Check(node, id) => write!(formatter, "check {:?} on node {:?}", id.as_str(), node.as_str()),
        }
    }
}

fn without_value(row: &KeyValue) -> OperationResult {
    OperationResult::Key(KeyValue { value: bytes::Bytes::new(), ..row.clone() })
}

fn modify_index(found: &OperationResult) -> Index {
    match found {
        OperationResult::Key(row) => row.modify_index,
        OperationResult::Node(row) => row.modify_index,
        OperationResult::Service(row) => row.modify_index,
        OperationResult::Check(row) => row.modify_index,
    }
}

fn weight(found: &OperationResult) -> usize {
    match found {
        OperationResult::Key(row) => row.key.len() + row.value.len() + ROW_BYTES,
        // Bounded by the registrations that put them.
        _ => ROW_BYTES,
    }
}
