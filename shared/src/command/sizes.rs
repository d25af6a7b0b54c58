//! How large what is registered may be: names, tags, free pairs, what checks say.
//!
//! Every row is on every server and, but for keys and sessions, on every host, so each text in it has a limit. They are
//! far above what anybody needs; free pairs have Consul's (64 of them, keys of 128 and values of 512 bytes). Asked where a
//! write comes in, by HTTP: what is in the log already is never refused.

use serde::Serialize;

use super::{CatalogRow, Command, KeyCommand, Operation, QueryCommand, Registration, SessionCommand};
use crate::model::{Check, CheckDefinition, Meta, Node, PreparedQuery, Service, Session};

/// Names, IDs and addresses, in bytes each.
pub const NAME_BYTES: usize = 512;
/// A tag, in bytes; proxies read whole rules out of some.
pub const TAG_BYTES: usize = 4096;
/// The tags of a service.
pub const TAGS: usize = 512;
/// All of them together, in bytes.
pub const TAGS_BYTES: usize = 64 * 1024;
/// Free pairs of a node or a service, and addresses by network.
pub const PAIRS: usize = 64;
/// The key of a free pair, in bytes.
pub const PAIR_KEY_BYTES: usize = 128;
/// Its value, in bytes.
pub const PAIR_VALUE_BYTES: usize = 512;
/// What a check says, and what is noted about it, in bytes each.
pub const OUTPUT_BYTES: usize = 16 * 1024;
/// What a check does, written down as JSON, in bytes; the same for a prepared query.
pub const DEFINITION_BYTES: usize = 64 * 1024;
/// Checks that are registered at once, and checks that end a session.
pub const CHECKS: usize = 512;
/// A key, in bytes.
pub const KEY_BYTES: usize = 8 * 1024;

/// What is too large. `Display` is the sentence a client sees.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is too large: {found} {unit} (at most {most})")]
pub struct TooLarge {
    what: &'static str,
    found: usize,
    unit: &'static str,
    most: usize,
}

type Checked = Result<(), TooLarge>;

fn bytes(what: &'static str, text: &str, most: usize) -> Checked {
    bounded(what, text.len(), "bytes", most)
}

fn bounded(what: &'static str, found: usize, unit: &'static str, most: usize) -> Checked {
    if found <= most { Ok(()) } else { Err(TooLarge { what, found, unit, most }) }
}

fn names<const N: usize>(named: [(&'static str, &str); N]) -> Checked {
    named.into_iter().try_for_each(|(what, text)| bytes(what, text, NAME_BYTES))
}

fn pairs(what: &'static str, pairs: &Meta) -> Checked {
    bounded(what, pairs.len(), "pairs", PAIRS)?;
    pairs.iter().try_for_each(|(key, value)| {
        bytes("A key of free pairs (Meta)", key, PAIR_KEY_BYTES)?;
        bytes("A value of free pairs (Meta)", value, PAIR_VALUE_BYTES)
    })
}

fn definition(what: &'static str, definition: &impl Serialize) -> Checked {
    // What cannot be written down is refused by whoever stores it.
    let length = serde_json::to_vec(definition).map_or(0, |written| written.len());
    bounded(what, length, "bytes", DEFINITION_BYTES)
}

fn node(node: &Node) -> Checked {
    names([("The node's name", &node.name), ("The node's address", &node.address)])?;
    bounded("The node's set of addresses", node.tagged_addresses.len(), "pairs", PAIRS)?;
    for (network, address) in &node.tagged_addresses {
        names([("A network's name", network), ("An address of the node", address)])?;
    }
    pairs("The node's metadata", &node.meta)
}

/// Looks at a service.
///
/// # Errors
/// Names the first thing that is too large.
pub fn service(service: &Service) -> Result<(), TooLarge> {
    names([
        ("The service's name", &service.name),
        ("The service's ID", &service.id),
        ("The service's address", &service.address),
        ("The service's node", &service.node),
    ])?;
    bounded("The list of tags", service.tags.len(), "tags", TAGS)?;
    service.tags.iter().try_for_each(|tag| bytes("A tag", tag, TAG_BYTES))?;
    bounded("The list of tags", service.tags.iter().map(|tag| tag.len()).sum(), "bytes", TAGS_BYTES)?;
    bounded("The service's set of addresses", service.tagged_addresses.len(), "pairs", PAIRS)?;
    for (network, tagged) in &service.tagged_addresses {
        names([("A network's name", network), ("An address of the service", &tagged.address)])?;
    }
    pairs("The service's metadata", &service.meta)
}

/// Looks at what a check is called and does.
///
/// # Errors
/// Names the first thing that is too large.
pub fn check_definition(id: &str, name: &str, notes: &str, runs: &CheckDefinition) -> Result<(), TooLarge> {
    names([("The check's ID", id), ("The check's name", name)])?;
    bytes("The check's notes", notes, OUTPUT_BYTES)?;
    if *runs == CheckDefinition::default() { Ok(()) } else { definition("The check's definition", runs) }
}

fn check(check: &Check) -> Checked {
    names([
        ("The check's node", &check.node),
        ("The check's service ID", &check.service_id),
        ("The check's type", &check.kind),
    ])?;
    bytes("The check's output", &check.output, OUTPUT_BYTES)?;
    check_definition(&check.id, &check.name, &check.notes, &CheckDefinition::default())?;
    definition("The check's definition", &check.definition)
}

fn registration(registration: &Registration) -> Checked {
    node(&registration.node)?;
    registration.service.iter().try_for_each(service)?;
    bounded("The list of checks", registration.checks.len(), "checks", CHECKS)?;
    registration.checks.iter().try_for_each(check)
}

fn key(command: &KeyCommand) -> Checked {
    let key = match command {
        KeyCommand::Set(entry)
        | KeyCommand::Cas(entry, _)
        | KeyCommand::Acquire(entry, _)
        | KeyCommand::Release(entry, _) => &entry.key,
        KeyCommand::Delete(key) | KeyCommand::DeleteCas(key, _) | KeyCommand::DeleteTree(key) => key,
    };
    bytes("The key", key, KEY_BYTES)
}

fn session(session: &Session) -> Checked {
    names([("The session's name", &session.name), ("The session's node", &session.node)])?;
    bounded("The session's list of checks", session.checks().count(), "checks", CHECKS)?;
    session.checks().try_for_each(|check| bytes("The ID of a check", check, NAME_BYTES))
}

fn query(query: &PreparedQuery) -> Checked {
    bytes("The query's name", &query.name, NAME_BYTES)?;
    definition("The prepared query", query)
}

fn operation(operation: &Operation) -> Checked {
    match operation {
        Operation::Key(command) => key(command),
        Operation::Put(CatalogRow::Node(row), _) => node(row),
        Operation::Put(CatalogRow::Service(row), _) => service(row),
        Operation::Put(CatalogRow::Check(row), _) => check(row),
        // Nothing of it is kept.
        Operation::GetKey(_)
        | Operation::GetTree(_)
        | Operation::CheckIndex(..)
        | Operation::CheckSession(..)
        | Operation::CheckAbsent(_)
        | Operation::Get(_)
        | Operation::Remove(..)
        | Operation::DestroySession(_) => Ok(()),
    }
}

impl Command {
    /// Whether nothing in it is larger than it may be.
    ///
    /// # Errors
    /// Names the first thing that is too large.
    pub fn check_sizes(&self) -> Result<(), TooLarge> {
        match self {
            // The endpoints that make these bound their bodies, and each text in them.
            Self::Access(_) => Ok(()),
            Self::Register(row) => registration(row),
            Self::Key(command) => key(command),
            Self::Session(SessionCommand::Create(row)) => session(row),
            Self::Query(QueryCommand::Create(row) | QueryCommand::Update(row)) => query(row),
            Self::Transaction(operations) => operations.iter().try_for_each(operation),
            // Nothing that a caller names is kept of these.
            Self::Deregister(_)
            | Self::UpdateCoordinates(_)
            | Self::SetAutopilot { .. }
            | Self::Session(SessionCommand::Destroy(_))
            | Self::Query(QueryCommand::Delete(_))
            | Self::Restore(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{command::KeyEntry, model::ServiceAddress};

    fn of(change: impl FnOnce(&mut Registration)) -> Result<(), String> {
        let mut registration = Registration { service: Some(Service::default()), ..Registration::default() };
        registration.checks.push(Check::default());
        change(&mut registration);
        Command::Register(Box::new(registration)).check_sizes().map_err(|error| error.to_string())
    }

    /// A change of a registration with a text of so many bytes.
    type Change = fn(&mut Registration, String);

    #[test]
    fn every_text_of_a_registration_has_a_limit() {
        let changes: [(usize, Change); 16] = [
            (NAME_BYTES, |row, text| row.node.name = text.as_str().into()),
            (NAME_BYTES, |row, text| row.node.address = text.into()),
            (NAME_BYTES, |row, text| drop(row.node.tagged_addresses.insert("lan".into(), text.into()))),
            (PAIR_VALUE_BYTES, |row, text| drop(row.node.meta.insert("key".into(), text.into()))),
            (NAME_BYTES, |row, text| row.service.as_mut().unwrap().name = text.as_str().into()),
            (NAME_BYTES, |row, text| row.service.as_mut().unwrap().id = text.as_str().into()),
            (NAME_BYTES, |row, text| row.service.as_mut().unwrap().address = text.into()),
            (TAG_BYTES, |row, text| row.service.as_mut().unwrap().tags.push(text.into())),
            (PAIR_KEY_BYTES, |row, text| drop(row.service.as_mut().unwrap().meta.insert(text.into(), "".into()))),
            (PAIR_VALUE_BYTES, |row, text| drop(row.service.as_mut().unwrap().meta.insert("k".into(), text.into()))),
            (NAME_BYTES, |row, text| {
                let address = ServiceAddress { address: text.into(), port: 1 };
                row.service.as_mut().unwrap().tagged_addresses.insert("lan".into(), address);
            }),
            (NAME_BYTES, |row, text| row.checks[0].id = text.as_str().into()),
            (NAME_BYTES, |row, text| row.checks[0].name = text.into()),
            (OUTPUT_BYTES, |row, text| row.checks[0].output = text.into()),
            (OUTPUT_BYTES, |row, text| row.checks[0].notes = text.into()),
            (NAME_BYTES, |row, text| row.checks[0].kind = text.into()),
        ];
        for (number, (most, change)) in changes.into_iter().enumerate() {
            assert_eq!(of(|row| change(row, "x".repeat(most))), Ok(()), "{number}");
            let refused = of(|row| change(row, "x".repeat(most + 1))).unwrap_err();
            assert!(refused.ends_with(&format!("is too large: {} bytes (at most {most})", most + 1)), "{refused}");
        }
    }

    #[test]
    fn lists_have_limits_too() {
        let tags = |count: usize, length: usize| {
            of(|row| row.service.as_mut().unwrap().tags = vec!["x".repeat(length).into(); count])
        };
        assert!(tags(TAGS, 100).is_ok() && tags(TAGS + 1, 1).is_err() && tags(20, 4000).is_err());
        let pairs =
            |count: usize| of(|row| row.node.meta = (0..count).map(|n| (n.to_string().into(), "".into())).collect());
        assert!(pairs(PAIRS).is_ok());
        assert_eq!(pairs(PAIRS + 1).unwrap_err(), "The node's metadata is too large: 65 pairs (at most 64)");
        assert!(of(|row| row.checks = vec![Check::default(); CHECKS + 1]).is_err());
        let http = |bytes: usize| {
            let runs = CheckDefinition { http: "x".repeat(bytes).into(), ..CheckDefinition::default() };
            check_definition("c", "c", "", &runs)
        };
        assert!(http(1000).is_ok() && http(DEFINITION_BYTES).is_err());
    }

    #[test]
    fn keys_sessions_and_queries_have_limits() {
        let key = |bytes: usize| KeyCommand::Set(KeyEntry { key: "k".repeat(bytes).into(), ..KeyEntry::default() });
        assert!(Command::Key(key(KEY_BYTES)).check_sizes().is_ok());
        assert!(Command::Key(key(KEY_BYTES + 1)).check_sizes().is_err());
        assert!(Command::Transaction(vec![Operation::Key(key(KEY_BYTES + 1))]).check_sizes().is_err());
        let session = |checks: usize| Session { node_checks: vec!["c".into(); checks], ..Session::default() };
        let create = |session| Command::Session(SessionCommand::Create(Box::new(session)));
        assert!(create(session(CHECKS)).check_sizes().is_ok() && create(session(CHECKS + 1)).check_sizes().is_err());
        assert!(create(Session { name: "x".repeat(513).into(), ..Session::default() }).check_sizes().is_err());
        let query = PreparedQuery { name: "q".repeat(NAME_BYTES + 1).into(), ..PreparedQuery::default() };
        assert!(Command::Query(QueryCommand::Create(Box::new(query))).check_sizes().is_err());
    }
}
