//! What each write needs (Consul's documents name it beside each endpoint). Every command has its line here, and a server
//! asks before it proposes one, whichever way it came.
//!
//! **Registrations.** A node is written with `node:write`, a service with `service:write`. What stands on a node already
//! may also be written by who may write the node, as long as it keeps its service's name: an agent that was started anew
//! goes on with what it finds in its node's name, and needs no token but its own for that.

use super::{Denial, Level, Resource, Rights};
use crate::{
    catalog::State,
    command::{
        CatalogName, CatalogRow, Command, Deregistration, KeyCommand, Operation, QueryCommand, Registration,
        SessionCommand,
    },
    model::{Check, Node, NodeName, PreparedQuery, Service, ServiceId},
};

/// Whether somebody with these rights may have that done to this state.
///
/// # Errors
/// [`Denial`] names the first right that is missing.
pub fn authorize(rights: &Rights, state: &State, command: &Command) -> Result<(), Denial> {
    let asked = Asked { rights, state };
    match command {
        Command::Register(registration) => asked.register(registration),
        Command::Deregister(Deregistration::Node(node)) => asked.node(node),
        Command::Deregister(Deregistration::Service(node, id)) => asked.remove_service(node, id),
        Command::Deregister(Deregistration::Check(node, id)) => asked.remove_check(node, id),
        Command::UpdateCoordinates(updates) => updates.iter().try_for_each(|update| asked.node(&update.node)),
        Command::SetAutopilot { .. } => rights.require(Resource::Operator, Level::Write, ""),
        Command::Key(command) => asked.key(command),
        Command::Session(SessionCommand::Create(session)) => asked.session(&session.node),
        Command::Session(SessionCommand::Destroy(id)) => asked.end_session(*id),
        Command::Query(command) => asked.query(command),
        Command::Transaction(operations) => {
            operations.iter().try_for_each(|operation| authorize_operation(rights, state, operation))
        }
        // Who may bootstrap is decided by a server, from what is on its disk, and done by it as a server.
        Command::Access(_) | Command::Restore(_) => rights.require(Resource::Acl, Level::Write, ""),
    }
}

/// Whether somebody may have that operation done, a look as well as a write.
///
/// # Errors
/// [`Denial`] names the first right that is missing.
pub fn authorize_operation(rights: &Rights, state: &State, operation: &Operation) -> Result<(), Denial> {
    let asked = Asked { rights, state };
    let reads_key = |key: &str| rights.require(Resource::Key, Level::Read, key);
    match operation {
        Operation::Key(command) => asked.key(command),
        Operation::GetKey(key)
        | Operation::CheckIndex(key, _)
        | Operation::CheckSession(key, _)
        | Operation::CheckAbsent(key) => reads_key(key),
        Operation::GetTree(prefix) => asked.tree(Level::Read, prefix),
        Operation::Put(CatalogRow::Node(node), _) => {
            asked.node(&node.name)?;
            asked.replaced(node)
        }
        Operation::Put(CatalogRow::Service(service), _) => asked.put_service(&service.node, service),
        Operation::Put(CatalogRow::Check(check), _) => asked.put_check(&check.node, check, None),
        Operation::Get(CatalogName::Node(node)) => rights.require(Resource::Node, Level::Read, node),
        Operation::Get(CatalogName::Service(node, id)) => {
            let name = asked.service_name(node, id);
            rights.require(Resource::Service, Level::Read, name.unwrap_or(id))
        }
        Operation::Get(CatalogName::Check(node, id)) => {
            let check = state.node_check(node, id).filter(|check| !check.service_id.is_empty());
            match check {
                Some(check) => rights.require(Resource::Service, Level::Read, &check.service_name),
                None => rights.require(Resource::Node, Level::Read, node),
            }
        }
        Operation::Remove(CatalogName::Node(node), _) => asked.node(node),
        Operation::Remove(CatalogName::Service(node, id), _) => asked.remove_service(node, id),
        Operation::Remove(CatalogName::Check(node, id), _) => asked.remove_check(node, id),
        Operation::DestroySession(id) => asked.end_session(*id),
    }
}

struct Asked<'a> {
    rights: &'a Rights,
    state: &'a State,
}

impl<'a> Asked<'a> {
    fn node(&self, node: &NodeName) -> Result<(), Denial> {
        self.rights.require(Resource::Node, Level::Write, node)
    }

    fn writes_node(&self, node: &NodeName) -> bool {
        self.rights.allow(Resource::Node, Level::Write, node)
    }

    fn service(&self, name: &str) -> Result<(), Denial> {
        self.rights.require(Resource::Service, Level::Write, name)
    }

    fn service_name(&self, node: &NodeName, id: &ServiceId) -> Option<&'a str> {
        self.state.node_service(node, id).map(|service| service.name.as_str())
    }

    fn register(&self, registration: &Registration) -> Result<(), Denial> {
        let Registration { node, skip_node_update, service, checks } = registration;
        let present = self.state.node(&node.name);
        let keeps_node = *skip_node_update && present.is_some();
        // Who registers a service often repeats its node.
        let repeats = present.is_some_and(|present| {
            let same_id = node.id.is_none() || node.id == present.id;
            same_id
                && node.address == present.address
                && node.meta == present.meta
                && node.tagged_addresses == present.tagged_addresses
        });
        if !keeps_node && !repeats {
            self.node(&node.name)?;
        }
        if !keeps_node {
            self.replaced(node)?;
        }
        if let Some(service) = service {
            self.put_service(&node.name, service)?;
        }
        checks.iter().try_for_each(|check| self.put_check(&node.name, check, service.as_ref()))
    }

    /// With another node's ID it takes that one's place.
    fn replaced(&self, node: &Node) -> Result<(), Denial> {
        match node.id.and_then(|id| self.state.node_by_id(id)) {
            Some(old) if old.name.key() != node.name.key() => self.node(&old.name),
            _ => Ok(()),
        }
    }

    fn put_service(&self, node: &NodeName, service: &Service) -> Result<(), Denial> {
        let old = self.state.node_service(node, &service.id);
        match old {
            Some(old) if old.name.key() == service.name.key() && self.writes_node(node) => Ok(()),
            Some(old) if old.name.key() != service.name.key() && !self.writes_node(node) => {
                // It would take the other's place.
                self.service(&old.name)?;
                self.service(&service.name)
            }
            _ => self.service(&service.name),
        }
    }

    /// A check of a service, which may come in the same command, or of the node itself.
    fn put_check(&self, node: &NodeName, check: &Check, with: Option<&Service>) -> Result<(), Denial> {
        // It would take the place of one about something else.
        let old = self.state.node_check(node, &check.id);
        if let Some(old) = old.filter(|old| old.service_id.key() != check.service_id.key()) {
            self.about(node, &old.service_id, None)?;
        }
        self.about(node, &check.service_id, with)
    }

    fn about(&self, node: &NodeName, service: &ServiceId, with: Option<&Service>) -> Result<(), Denial> {
        if service.is_empty() || (self.writes_node(node) && self.service_name(node, service).is_some()) {
            return self.node(node);
        }
        let with = with.filter(|with| with.id.key() == service.key()).map(|with| with.name.as_str());
        // One that is not there is refused by its name, as if it were one.
        self.service(with.or_else(|| self.service_name(node, service)).unwrap_or(service))
    }

    fn remove_service(&self, node: &NodeName, id: &ServiceId) -> Result<(), Denial> {
        if self.writes_node(node) {
            return Ok(());
        }
        self.service(self.service_name(node, id).unwrap_or(id))
    }

    fn remove_check(&self, node: &NodeName, id: &str) -> Result<(), Denial> {
        if self.writes_node(node) {
            return Ok(());
        }
        match self.state.node_check(node, id).filter(|check| !check.service_id.is_empty()) {
            Some(check) => self.service(&check.service_name),
            None => self.node(node),
        }
    }

    fn key(&self, command: &KeyCommand) -> Result<(), Denial> {
        match command {
            KeyCommand::Set(entry)
            | KeyCommand::Cas(entry, _)
            | KeyCommand::Acquire(entry, _)
            | KeyCommand::Release(entry, _) => self.rights.require(Resource::Key, Level::Write, &entry.key),
            KeyCommand::Delete(key) | KeyCommand::DeleteCas(key, _) => {
                self.rights.require(Resource::Key, Level::Write, key)
            }
            KeyCommand::DeleteTree(prefix) => self.tree(Level::Write, prefix),
        }
    }

    fn tree(&self, level: Level, prefix: &str) -> Result<(), Denial> {
        if self.rights.allow_all_below(Resource::Key, level, prefix) {
            return Ok(());
        }
        Err(Denial::missing(Resource::Key, level, prefix))
    }

    fn session(&self, node: &str) -> Result<(), Denial> {
        self.rights.require(Resource::Session, Level::Write, node)
    }

    /// One that is not there is nobody's.
    fn end_session(&self, id: uuid::Uuid) -> Result<(), Denial> {
        self.state.session(id).map_or(Ok(()), |session| self.session(&session.node))
    }

    fn query(&self, command: &QueryCommand) -> Result<(), Denial> {
        match command {
            QueryCommand::Create(query) => self.named_query(query),
            QueryCommand::Update(query) => {
                if let Some(old) = self.state.query(query.id) {
                    self.named_query(old)?;
                }
                self.named_query(query)
            }
            QueryCommand::Delete(id) => self.state.query(*id).map_or(Ok(()), |query| self.named_query(query)),
        }
    }

    fn named_query(&self, query: &PreparedQuery) -> Result<(), Denial> {
        if query.is_only_known_by_id() {
            return Ok(());
        }
        self.rights.require(Resource::Query, Level::Write, &query.name)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        acl::Rules,
        model::{Index, Time},
    };

    fn node(name: &str, id: u128) -> Node {
        Node { name: name.into(), id: Some(Uuid::from_u128(id)), address: "10.0.0.1".into(), ..Node::default() }
    }

    #[test]
    fn nobody_takes_the_place_of_a_node_that_he_may_not_write() {
        let mut state = State::default();
        let registration = Registration { node: node("victim", 1), ..Registration::default() };
        state.apply(Index(1), Time(0), &Command::Register(Box::new(registration)));
        let rules = Rules::parse(r#"node "mine" { policy = "write" }"#).unwrap();
        let rights = Rights::new([&rules], false);
        for (id, allowed) in [(1, false), (2, true)] {
            let node = node("mine", id);
            let registration = Registration { node: node.clone(), ..Registration::default() };
            let register = Command::Register(Box::new(registration));
            assert_eq!(authorize(&rights, &state, &register).is_ok(), allowed, "{register:?}");
            let put = Command::Transaction(vec![Operation::Put(CatalogRow::Node(Box::new(node)), None)]);
            assert_eq!(authorize(&rights, &state, &put).is_ok(), allowed, "{put:?}");
        }
    }
}
