//! Transactions: the operations of a body, and what became of them.
//!
//! An operation that can be read but makes no sense (an unknown verb, no key, a value that is no Base64) is given back as
//! the sentence that fails its transaction.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use smol_str::SmolStr;
use uuid::Uuid;

use super::{
    kv::KeyRow,
    registration::{check, service},
    rows::{CheckRow, NodeRow, ServiceRow},
};
use crate::{
    agent::definition::{DefinitionError, Fields, Strictness},
    backend::Contact,
    catalog::State,
    command::{CatalogName, CatalogRow, KeyCommand, KeyEntry, Operation, OperationError, OperationResult},
    http::Failure,
    model::{Index, Node},
};

/// Reads the body of a transaction.
///
/// # Errors
/// 400 where it cannot be read.
pub fn operations(body: &[u8]) -> Result<Vec<Result<Operation, String>>, Failure> {
    let failed = |reason: &dyn std::fmt::Display| Failure::BadRequest(format!("Failed to parse body: {reason}"));
    let body: Value = serde_json::from_slice(body).map_err(|error| failed(&error))?;
    let list = match &body {
        Value::Array(list) => list,
        _ => return Err(failed(&"the body is no list of operations")),
    };
    let read = |value: &Value| match operation(value) {
        Ok(operation) => Ok(Ok(operation)),
        Err(Bad::Unreadable(error)) => Err(error),
        Err(Bad::Senseless(reason)) => Ok(Err(reason)),
    };
    let numbered = list.iter().enumerate();
    numbered
        .map(|(number, value)| read(value).map_err(|error| failed(&format!("{number}: {}", error.explain()))))
        .collect()
}

/// What can be wrong with an operation.
enum Bad {
    Unreadable(DefinitionError),
    Senseless(String),
}

impl From<DefinitionError> for Bad {
    fn from(error: DefinitionError) -> Self {
        if error.is_decoding() { Self::Unreadable(error) } else { Self::Senseless(error.to_string()) }
    }
}

fn senseless(reason: impl Into<String>) -> Bad {
    Bad::Senseless(reason.into())
}

fn operation(value: &Value) -> Result<Operation, Bad> {
    let mut fields = Fields::of(value, Strictness::Body)?;
    if let Some(fields) = fields.fields("kv")? {
        return key(fields);
    }
    for (name, read) in [("node", node as fn(Fields<'_>) -> _), ("service", on_service), ("check", on_check)] {
        if let Some(fields) = fields.fields(name)? {
            return read(fields);
        }
    }
    if let Some(fields) = fields.fields("session")? {
        return session(fields);
    }
    Err(senseless("the operation is none of KV, Node, Service, Check, Session"))
}

/// A number that JSON may hold up to 2^64.
fn unsigned(fields: &mut Fields<'_>, name: &str) -> Result<u64, Bad> {
    match fields.take(name) {
        None => Ok(0),
        Some((key, value)) => value.as_u64().ok_or_else(|| senseless(format!("{key}: {value} is no index"))),
    }
}

fn key(mut fields: Fields<'_>) -> Result<Operation, Bad> {
    let (verb, key) = (fields.text("verb")?, fields.text("key")?);
    let (flags, index) = (unsigned(&mut fields, "flags")?, Index(unsigned(&mut fields, "index")?));
    let value = STANDARD.decode(fields.text("value")?.as_bytes());
    let value = value.map_err(|error| senseless(format!("the value of key {key:?} is no Base64: {error}")))?;
    let session = fields.text("session")?;
    let entry = || KeyEntry { key: key.clone(), value: Bytes::from(value.clone()), flags };
    let id = || session_id(&session);
    if key.is_empty() && !matches!(verb.as_str(), "delete-tree" | "get-tree") {
        return Err(senseless("Must provide key"));
    }
    Ok(match verb.as_str() {
        "set" => Operation::Key(KeyCommand::Set(entry())),
        "cas" => Operation::Key(KeyCommand::Cas(entry(), index)),
        "lock" => Operation::Key(KeyCommand::Acquire(entry(), id()?)),
        "unlock" => Operation::Key(KeyCommand::Release(entry(), id()?)),
        "delete" => Operation::Key(KeyCommand::Delete(key)),
        "delete-cas" => Operation::Key(KeyCommand::DeleteCas(key, index)),
        "delete-tree" => Operation::Key(KeyCommand::DeleteTree(key)),
        "get" => Operation::GetKey(key),
        "get-tree" => Operation::GetTree(key),
        "check-index" => Operation::CheckIndex(key, index),
        "check-session" => Operation::CheckSession(key, id()?),
        "check-not-exists" => Operation::CheckAbsent(key),
        other => return Err(senseless(format!("unknown KV verb {other:?}"))),
    })
}

fn session_id(text: &str) -> Result<Uuid, Bad> {
    if text.is_empty() {
        return Err(senseless("missing session"));
    }
    crate::http::session::id(text).map_err(Bad::Senseless)
}

fn node(mut fields: Fields<'_>) -> Result<Operation, Bad> {
    let verb = fields.text("verb")?;
    let mut fields = part(&mut fields, "node")?;
    let (name, id) = (fields.text("node")?, fields.text("id")?);
    if name.is_empty() {
        return Err(senseless("Must provide node"));
    }
    let id = if id.is_empty() { Ok(None) } else { Uuid::try_parse(&id).map(Some) };
    let row = Node {
        name: name.clone().into(),
        id: id.map_err(|error| senseless(format!("Bad node ID: {error}")))?,
        address: fields.text("address")?,
        tagged_addresses: fields.map("taggedaddresses")?,
        meta: fields.map("meta")?,
        ..Node::default()
    };
    let index = Index(unsigned(&mut fields, "modifyindex")?);
    catalog(&verb, "Node", CatalogName::Node(name.into()), || CatalogRow::Node(Box::new(row)), index)
}

fn on_service(mut fields: Fields<'_>) -> Result<Operation, Bad> {
    let (verb, node) = (fields.text("verb")?, fields.text("node")?);
    let mut fields = part(&mut fields, "service")?;
    let index = Index(unsigned(&mut fields, "modifyindex")?);
    let mut row = service(fields)?;
    row.node = node.clone().into();
    if verb != "get" && row.name.is_empty() && !row.id.is_empty() {
        return Err(senseless("Must provide service name with ID"));
    }
    let name = CatalogName::Service(node.into(), row.id.clone());
    catalog(&verb, "Service", name, || CatalogRow::Service(Box::new(row)), index)
}

fn on_check(mut fields: Fields<'_>) -> Result<Operation, Bad> {
    let verb = fields.text("verb")?;
    let mut fields = part(&mut fields, "check")?;
    let index = Index(unsigned(&mut fields, "modifyindex")?);
    let mut row = check(fields)?;
    if row.id.is_empty() {
        row.id = row.name.clone().into();
    }
    let name = CatalogName::Check(row.node.clone(), row.id.clone());
    catalog(&verb, "Check", name, || CatalogRow::Check(Box::new(row)), index)
}

fn session(mut fields: Fields<'_>) -> Result<Operation, Bad> {
    let verb = fields.text("verb")?;
    let id = part(&mut fields, "session")?.text("id")?;
    match verb.as_str() {
        "delete" => Ok(Operation::DestroySession(session_id(&id)?)),
        other => Err(senseless(format!("unknown Session verb {other:?}"))),
    }
}

/// The object inside an operation that says what it is about.
fn part<'a>(fields: &mut Fields<'a>, name: &str) -> Result<Fields<'a>, Bad> {
    fields.fields(name)?.ok_or_else(|| senseless(format!("the operation has no {name}")))
}

fn catalog(
    verb: &SmolStr,
    what: &str,
    name: CatalogName,
    row: impl FnOnce() -> CatalogRow,
    index: Index,
) -> Result<Operation, Bad> {
    Ok(match verb.as_str() {
        "get" => Operation::Get(name),
        "set" => Operation::Put(row(), None),
        "cas" => Operation::Put(row(), Some(index)),
        "delete" => Operation::Remove(name, None),
        "delete-cas" => Operation::Remove(name, Some(index)),
        other => return Err(senseless(format!("unknown {what} verb {other:?}"))),
    })
}

#[derive(Serialize)]
enum ResultRow<'a> {
    #[serde(rename = "KV")]
    Key(KeyRow<'a>),
    Node(NodeRow<'a>),
    Service(ServiceRow<'a>),
    Check(Box<CheckRow<'a>>),
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorRow<'a> {
    op_index: u32,
    what: &'a str,
}

/// What became of a transaction.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TransactionRow<'a> {
    /// Null where it failed.
    results: Option<Vec<ResultRow<'a>>>,
    /// Null where it did not.
    errors: Option<Vec<ErrorRow<'a>>>,
}

impl<'a> TransactionRow<'a> {
    /// The row of a transaction with these results, or errors.
    #[must_use]
    pub fn new(
        results: &'a [OperationResult],
        errors: &'a [OperationError],
        state: &'a State,
        datacenter: &'a str,
    ) -> Self {
        if !errors.is_empty() {
            let errors = errors.iter().map(|error| ErrorRow { op_index: error.place, what: &error.reason });
            return Self { results: None, errors: Some(errors.collect()) };
        }
        let row = |result: &'a OperationResult| match result {
            OperationResult::Key(row) => ResultRow::Key(KeyRow::new(row)),
            OperationResult::Node(row) => ResultRow::Node(NodeRow::new(row, datacenter)),
            OperationResult::Service(row) => ResultRow::Service(ServiceRow::new(row).with_null()),
            OperationResult::Check(row) => ResultRow::Check(Box::new(CheckRow::in_state(row, state).with_null())),
        };
        Self { results: Some(results.iter().map(row).collect()), errors: None }
    }
}

/// The same for a transaction that was a read.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct LookRow<'a> {
    #[serde(flatten)]
    transaction: TransactionRow<'a>,
    index: u64,
    /// In nanoseconds.
    last_contact: u64,
    known_leader: bool,
    consistency_level: &'static str,
    not_modified: bool,
    backend: u8,
}

impl<'a> LookRow<'a> {
    /// The row of a read at an index.
    #[must_use]
    pub fn new(transaction: TransactionRow<'a>, index: Index, contact: Contact) -> Self {
        Self {
            transaction,
            index: index.0.max(1),
            last_contact: u64::try_from(contact.last.as_nanos()).unwrap_or(u64::MAX),
            known_leader: contact.known_leader,
            consistency_level: "",
            not_modified: false,
            backend: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_and_what_is_wrong_with_them() {
        for (body, expected) in [
            (r#"{"KV": {"Verb": "get", "Key": "a"}}"#, "Ok(GetKey(\"a\"))"),
            (r#"{"kv": {"verb": "delete-tree", "key": ""}}"#, "Ok(Key(DeleteTree(\"\")))"),
            (
                r#"{"KV": {"Verb": "check-index", "Key": "a", "Index": 18446744073709551615}}"#,
                "Ok(CheckIndex(\"a\", Index(18446744073709551615)))",
            ),
            (r#"{"KV": {"Verb": "get"}}"#, "Err(\"Must provide key\")"),
            (r#"{"KV": {"Verb": "set", "Key": "a", "Value": "*"}}"#, "is no Base64"),
            (r#"{"KV": {"Verb": "lock", "Key": "a"}}"#, "Err(\"missing session\")"),
            (r#"{"Node": {"Verb": "delete", "Node": {"Node": "n"}}}"#, "Remove(Node("),
            (
                r#"{"Service": {"Verb": "delete", "Node": "n", "Service": {"ID": "s"}}}"#,
                "Must provide service name with ID",
            ),
            (r#"{"Check": {"Verb": "fly", "Check": {"CheckID": "c"}}}"#, "unknown Check verb"),
            (r#"{"Session": {"Verb": "delete", "Session": {"ID": "x"}}}"#, "UUID must be 36 characters"),
            (r#"{}"#, "none of KV"),
        ] {
            let read = operations(format!("[{body}]").as_bytes()).unwrap();
            assert!(format!("{:?}", read[0]).contains(expected), "{body}: {read:?}");
        }
        for body in ["", "{}", "null", "[1]", r#"[{"KV": {"Verb": 1}}]"#] {
            assert!(operations(body.as_bytes()).is_err(), "{body}");
        }
    }
}
