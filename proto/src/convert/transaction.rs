//! Transactions: their operations, and what these give.

use lictor_shared::{
    command::{CatalogName, CatalogRow, Operation, OperationError, OperationResult},
    model::Index,
};

use super::{
    DecodeError,
    coordination::{id, id_bytes},
    required,
};
use crate::internal::{self, catalog_name, operation, operation_result, put_row};

impl From<&Operation> for internal::Operation {
    fn from(operation: &Operation) -> Self {
        use operation::Operation as Message;
        let operation = match operation {
            Operation::Key(command) => Message::Key(command.into()),
            Operation::GetKey(key) => Message::GetKey(key.to_string()),
            Operation::GetTree(prefix) => Message::GetTree(prefix.to_string()),
            Operation::CheckIndex(key, index) => {
                Message::CheckIndex(internal::KeyAt { key: key.to_string(), index: index.0 })
            }
            Operation::CheckSession(key, session) => {
                Message::CheckSession(internal::KeySession { key: key.to_string(), session: id_bytes(*session) })
            }
            Operation::CheckAbsent(key) => Message::CheckAbsent(key.to_string()),
            Operation::Put(row, expected) => {
                let row = match row {
                    CatalogRow::Node(node) => put_row::Row::Node((&**node).into()),
                    CatalogRow::Service(service) => put_row::Row::Service((&**service).into()),
                    CatalogRow::Check(check) => put_row::Row::Check((&**check).into()),
                };
                Message::Put(internal::PutRow { row: Some(row), expected: expected.map(|index| index.0) })
            }
            Operation::Get(name) => Message::Get(name.into()),
            Operation::Remove(name, expected) => Message::Remove(internal::RemoveRow {
                name: Some(name.into()),
                expected: expected.map(|index| index.0),
            }),
            Operation::DestroySession(session) => Message::DestroySession(id_bytes(*session)),
        };
        Self { operation: Some(operation) }
    }
}

impl TryFrom<internal::Operation> for Operation {
    type Error = DecodeError;

    fn try_from(operation: internal::Operation) -> Result<Self, DecodeError> {
        use operation::Operation as Message;
        Ok(match required(operation.operation, "Operation.operation")? {
            Message::Key(command) => Self::Key(command.try_into()?),
            Message::GetKey(key) => Self::GetKey(key.into()),
            Message::GetTree(prefix) => Self::GetTree(prefix.into()),
            Message::CheckIndex(at) => Self::CheckIndex(at.key.into(), Index(at.index)),
            Message::CheckSession(what) => {
                Self::CheckSession(what.key.into(), id(&what.session, "KeySession.session")?)
            }
            Message::CheckAbsent(key) => Self::CheckAbsent(key.into()),
            Message::Put(put) => {
                let row = match required(put.row, "PutRow.row")? {
                    put_row::Row::Node(node) => CatalogRow::Node(Box::new(node.try_into()?)),
                    put_row::Row::Service(service) => CatalogRow::Service(Box::new(service.try_into()?)),
                    put_row::Row::Check(check) => CatalogRow::Check(Box::new(check.try_into()?)),
                };
                Self::Put(row, put.expected.map(Index))
            }
            Message::Get(name) => Self::Get(name.into()),
            Message::Remove(remove) => {
                Self::Remove(required(remove.name, "RemoveRow.name")?.into(), remove.expected.map(Index))
            }
            Message::DestroySession(session) => Self::DestroySession(id(&session, "Operation.destroy_session")?),
        })
    }
}

impl From<&CatalogName> for internal::CatalogName {
    fn from(name: &CatalogName) -> Self {
        let (node, on_node) = match name {
            CatalogName::Node(node) => (node, None),
            CatalogName::Service(node, id) => (node, Some(catalog_name::OnNode::Service(id.to_string()))),
            CatalogName::Check(node, id) => (node, Some(catalog_name::OnNode::Check(id.to_string()))),
        };
        Self { node: node.to_string(), on_node }
    }
}

impl From<internal::CatalogName> for CatalogName {
    fn from(name: internal::CatalogName) -> Self {
        let node = name.node.into();
        match name.on_node {
            None => Self::Node(node),
            Some(catalog_name::OnNode::Service(id)) => Self::Service(node, id.into()),
            Some(catalog_name::OnNode::Check(id)) => Self::Check(node, id.into()),
        }
    }
}

impl From<&OperationResult> for internal::OperationResult {
    fn from(result: &OperationResult) -> Self {
        let result = match result {
            OperationResult::Key(row) => operation_result::Result::Key(row.into()),
            OperationResult::Node(row) => operation_result::Result::Node((&**row).into()),
            OperationResult::Service(row) => operation_result::Result::Service((&**row).into()),
            OperationResult::Check(row) => operation_result::Result::Check((&**row).into()),
        };
        Self { result: Some(result) }
    }
}

impl TryFrom<internal::OperationResult> for OperationResult {
    type Error = DecodeError;

    fn try_from(result: internal::OperationResult) -> Result<Self, DecodeError> {
        Ok(match required(result.result, "OperationResult.result")? {
            operation_result::Result::Key(row) => Self::Key(row.try_into()?),
            operation_result::Result::Node(row) => Self::Node(Box::new(row.try_into()?)),
            operation_result::Result::Service(row) => Self::Service(Box::new(row.try_into()?)),
            operation_result::Result::Check(row) => Self::Check(Box::new(row.try_into()?)),
        })
    }
}

impl From<&OperationError> for internal::OperationError {
    fn from(error: &OperationError) -> Self {
        Self { place: error.place, reason: error.reason.clone() }
    }
}

impl From<internal::OperationError> for OperationError {
    fn from(error: internal::OperationError) -> Self {
        Self { place: error.place, reason: error.reason }
    }
}
