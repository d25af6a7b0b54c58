//! One of many by the beginning of its ID, or by its name.

use anyhow::{Context, bail};
use bytes::Bytes;

use super::{asked::Asked, row::Row};
use crate::query::Query;

/// Characters of a whole ID.
const WHOLE: usize = 36;

/// Characters of an ID in errors.
const SHOWN: usize = 8;

/// A kind of thing that has IDs.
pub struct Kind {
    /// What one is called.
    pub noun: &'static str,
    /// Where all of them are listed.
    pub list: &'static str,
    /// Below which one is, by its ID; by its name below `name/`.
    pub one: &'static str,
    /// The name of the ID in a row.
    pub id: &'static str,
}

/// Policies.
pub const POLICY: Kind = Kind { noun: "policy", list: "/v1/acl/policies", one: "/v1/acl/policy", id: "ID" };
/// Roles.
pub const ROLE: Kind = Kind { noun: "role", list: "/v1/acl/roles", one: "/v1/acl/role", id: "ID" };
/// Tokens: by their accessor.
pub const TOKEN: Kind = Kind { noun: "token", list: "/v1/acl/tokens", one: "/v1/acl/token", id: "AccessorID" };
/// Binding rules.
pub const RULE: Kind =
    Kind { noun: "binding rule", list: "/v1/acl/binding-rules", one: "/v1/acl/binding-rule", id: "ID" };

/// The whole ID of the one whose ID begins so. A whole ID is taken as it is.
///
/// # Errors
/// There is none, or more than one; the list cannot be read.
pub async fn id(asked: &Asked, kind: &Kind, beginning: &str) -> anyhow::Result<String> {
    if beginning.len() >= WHOLE {
        return Ok(beginning.into());
    }
    let (noun, shown) = (kind.noun, self::beginning(beginning));
    if beginning.is_empty() {
        bail!("the ID of a {noun} is empty");
    }
    let rows = asked.rows(Query::new(kind.list)).await.with_context(|| format!("Error looking for the {noun}"))?;
    let ids = rows.iter().filter_map(|row| row[kind.id].as_str());
    let found: Vec<&str> = ids.filter(|id| id.starts_with(&beginning.to_lowercase())).collect();
    match found.as_slice() {
        [id] => Ok((*id).into()),
        [] => bail!("No {noun} has an ID that begins with {shown}"),
        several => bail!("{} have IDs that begin with {shown}: give more of it", count(several.len(), noun)),
    }
}

fn count(number: usize, noun: &str) -> String {
    match noun.strip_suffix('y') {
        Some(stem) => format!("{number} {stem}ies"),
        None => format!("{number} {noun}s"),
    }
}

/// Where the one is that flags name.
///
/// # Errors
/// They name none, or it is not to be found.
pub async fn query(asked: &Asked, kind: &Kind, id: Option<&str>, name: Option<&str>) -> anyhow::Result<Query> {
    match (id, name) {
        (Some(beginning), _) => Ok(Query::of(kind.one, &self::id(asked, kind, beginning).await?)),
        (None, Some(name)) if !name.is_empty() => Ok(Query::of(&format!("{}/name", kind.one), name)),
        _ => bail!("Must specify either the -id or -name parameters"),
    }
}

/// The row that flags name.
///
/// # Errors
/// As [`query`], and where it cannot be read.
pub async fn row(asked: &Asked, kind: &Kind, id: Option<&str>, name: Option<&str>) -> anyhow::Result<Row> {
    let query = query(asked, kind, id, name).await?;
    asked.row(query).await.with_context(|| format!("Error reading {} {}", kind.noun, called(id, name)))
}

/// The answer about the one that flags name, as it is.
///
/// # Errors
/// As [`row`].
pub async fn read(asked: &Asked, kind: &Kind, id: Option<&str>, name: Option<&str>) -> anyhow::Result<Bytes> {
    let query = query(asked, kind, id, name).await?;
    asked.read(query).await.with_context(|| format!("Error reading {} {}", kind.noun, called(id, name)))
}

/// The answer with the list that `query` asks for, as it is.
///
/// # Errors
/// The agent could not be asked or refused.
pub async fn list(asked: &Asked, kind: &Kind, query: Query) -> anyhow::Result<Bytes> {
    asked.read(query).await.with_context(|| format!("Failed to retrieve the {} list", kind.noun))
}

/// Makes a new one and gives the answer as it is.
///
/// # Errors
/// The agent could not be asked or refused.
pub async fn create(asked: &Asked, kind: &Kind, row: Row) -> anyhow::Result<Bytes> {
    asked.put(Query::new(kind.one), row).await.with_context(|| format!("Failed to create new {}", kind.noun))
}

/// Writes the row of that ID back and gives the answer as it is.
///
/// # Errors
/// The agent could not be asked or refused.
pub async fn update(asked: &Asked, kind: &Kind, id: &str, row: Row) -> anyhow::Result<Bytes> {
    let answer = asked.put(Query::of(kind.one, id), row).await;
    answer.with_context(|| format!("Error updating {} {id:?}", kind.noun))
}

/// Deletes the one that flags name, and gives its ID.
///
/// # Errors
/// As [`row`], and where the agent refuses.
pub async fn delete(asked: &Asked, kind: &Kind, id: Option<&str>, name: Option<&str>) -> anyhow::Result<String> {
    let id = match (id, name) {
        (Some(beginning), _) => self::id(asked, kind, beginning).await?,
        (None, _) => id_of(kind, &row(asked, kind, None, name).await?)?.to_owned(),
    };
    let deleted = asked.delete(Query::of(kind.one, &id)).await;
    deleted.with_context(|| format!("Error deleting {} {}", kind.noun, self::beginning(&id)))?;
    Ok(id)
}

/// The ID in a row.
///
/// # Errors
/// It has none: the agent is not what it seems.
pub fn id_of<'a>(kind: &Kind, row: &'a Row) -> anyhow::Result<&'a str> {
    row.get(kind.id).and_then(|id| id.as_str()).with_context(|| format!("the agent's {} has no {}", kind.noun, kind.id))
}

/// As the caller called it, in errors. Of an ID, its beginning: where an accessor is asked for, a secret may be given.
pub fn called(id: Option<&str>, name: Option<&str>) -> String {
    match (id, name) {
        (Some(id), _) => beginning(id),
        (None, name) => format!("{:?}", name.unwrap_or_default()),
    }
}

/// The beginning of an ID, which is enough to find it again.
pub fn beginning(id: &str) -> String {
    let shown: String = id.chars().take(SHOWN).collect();
    if shown.len() < id.len() { format!("{shown:?}...") } else { format!("{shown:?}") }
}
