//! The meaning of each [`Command`]: which rows it changes, and when it changes nothing.
//!
//! A row that is put again unchanged keeps its index, so that nobody wakes for it. A refused command changes nothing.

use std::sync::Arc;

use super::{Change, Row, State, Touched};
use crate::{
    command::{Command, Deregistration, Outcome, Refusal, Registration},
    model::{Autopilot, Check, Index, Key, Node, NodeCoordinate, NodeName, Service, Time},
};

/// What [`State::apply`] did.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The rows that changed, for those who hold a copy.
    pub change: Change,
    /// What readers who wait must be woken for.
    pub touched: Touched,
    /// What the caller is told.
    pub outcome: Outcome,
    /// Whether the whole state was replaced: then `change` and `touched` say nothing.
    pub replaced: bool,
}

impl State {
    /// Applies the command that makes `index` (see [`State::next_index`]) and was stamped `time` by its leader.
    /// Deterministic. A restore leaves the state at a later index.
    pub fn apply(&mut self, index: Index, time: Time, command: &Command) -> Applied {
        self.index = index;
        self.keys.forget(time);
        self.forget_stale_restore(time);
        let (mut changes, mut replaced) = (Changes::at(time), false);
        let outcome = match command {
            Command::Register(registration) => match self.register(registration, &mut changes) {
                Ok(()) => Outcome::Done,
                Err(refusal) => Outcome::Refused(refusal),
            },
            Command::Deregister(what) => {
                self.deregister(what, &mut changes);
                Outcome::Done
            }
            Command::UpdateCoordinates(updates) => {
                self.update_coordinates(updates, &mut changes);
                Outcome::Done
            }
            Command::SetAutopilot { autopilot, expected } => self.set_autopilot(autopilot, *expected, &mut changes),
            Command::Key(command) => match self.write_key(command, &mut changes) {
                Ok(true) => Outcome::Done,
                Ok(false) => Outcome::Mismatch,
                Err(refusal) => Outcome::Refused(refusal),
            },
            Command::Session(command) => match self.write_session(command, &mut changes) {
                Ok(()) => Outcome::Done,
                Err(refusal) => Outcome::Refused(refusal),
            },
            Command::Query(command) => match self.write_query(command, &mut changes) {
                Ok(()) => Outcome::Done,
                Err(refusal) => Outcome::Refused(refusal),
            },
            Command::Access(command) => match self.write_access(command, &mut changes) {
                Ok(()) => Outcome::Done,
                Err(refusal) => Outcome::Refused(refusal),
            },
            Command::Transaction(operations) => self.transact(operations, &mut changes),
            Command::Restore(command) => match self.restore(command, time) {
                Ok(done) => {
                    replaced = done;
                    Outcome::Done
                }
                Err(refusal) => Outcome::Refused(refusal),
            },
        };
        let change = Change { index: self.index, rows: changes.rows };
        Applied { change, touched: changes.touched, outcome, replaced }
    }

    /// Moves to `index` for a log entry that holds no command.
    pub fn skip_to(&mut self, index: Index) {
        self.index = index;
    }

    pub(super) fn register(&mut self, registration: &Registration, changes: &mut Changes) -> Result<(), Refusal> {
        let node = &registration.node;
        let existing = self.nodes.get(&node.name.key()).map(|entry| entry.node.clone());
        let keep = registration.skip_node_update && existing.is_some();
        if !keep {
            self.refuse_taken_name(node, existing.as_deref())?;
        }
        for check in &registration.checks {
            self.refuse_unknown_service(node, registration.service.as_ref(), check)?;
        }
        if !keep {
            self.register_node(node, existing.as_deref(), changes);
        }
        if let Some(service) = &registration.service {
            self.register_service(&node.name, service, changes);
        }
        for check in &registration.checks {
            self.register_check(&node.name, check, changes);
        }
        Ok(())
    }

    /// A name may pass to another node (another ID) only when its holder is not alive.
    fn refuse_taken_name(&self, node: &Node, existing: Option<&Node>) -> Result<(), Refusal> {
        let Some((existing, (holder, id))) = existing.and_then(|e| Some((e, e.id.zip(node.id)?))) else {
            return Ok(());
        };
        if holder == id || !self.is_alive(&existing.name) {
            return Ok(());
        }
        Err(Refusal::NameTaken {
            name: node.name.clone(),
            holder: holder.to_string(),
            address: existing.address.to_string(),
        })
    }

    fn refuse_unknown_service(&self, node: &Node, new: Option<&Service>, check: &Check) -> Result<(), Refusal> {
        if check.service_id.is_empty() {
            return Ok(());
        }
        let id = check.service_id.key();
        let known =
            new.is_some_and(|new| new.id.key() == id) || self.services.contains_key(&(node.name.key(), id.clone()));
        if known { Ok(()) } else { Err(Refusal::MissingService) }
    }

    fn register_node(&mut self, node: &Node, existing: Option<&Node>, changes: &mut Changes) {
        let mut row = Node { create_index: self.index, modify_index: self.index, ..node.clone() };
        let renamed = node.id.and_then(|id| self.node_by_id(id)).filter(|old| old.name.key() != node.name.key());
        if let Some(old) = renamed.cloned() {
            row.create_index = old.create_index;
            self.deregister_node(&old.name, changes);
        }
        if let Some(old) = existing {
            row.create_index = old.create_index;
            row.id = row.id.or(old.id);
            let unchanged = Node { modify_index: old.modify_index, ..row.clone() };
            if unchanged == *old {
                return;
            }
        }
        self.change(Row::Node(Arc::new(row)), changes);
    }

    fn register_service(&mut self, node: &NodeName, service: &Service, changes: &mut Changes) {
        let mut row =
            Service { node: node.clone(), create_index: self.index, modify_index: self.index, ..service.clone() };
        if let Some(old) = self.services.get(&(node.key(), row.id.key())) {
            row.create_index = old.create_index;
            let unchanged = Service { modify_index: old.modify_index, ..row.clone() };
            if unchanged == **old {
                return;
            }
        }
        self.change(Row::Service(Arc::new(row)), changes);
    }

    fn register_check(&mut self, node: &NodeName, check: &Check, changes: &mut Changes) {
        let service_name = self.services.get(&(node.key(), check.service_id.key())).map(|s| s.name.clone());
        let mut row = Check {
            node: node.clone(),
            service_name: service_name.unwrap_or_default(),
            since: changes.time,
            create_index: self.index,
            modify_index: self.index,
            ..check.clone()
        };
        if let Some(old) = self.checks.get(&(node.key(), check.id.key())) {
            row.create_index = old.create_index;
            if row.status == old.status {
                row.since = old.since;
            }
            let unchanged = Check { modify_index: old.modify_index, ..row.clone() };
            if unchanged == **old {
                return;
            }
        }
        self.change(Row::Check(Arc::new(row)), changes);
    }

    pub(super) fn deregister(&mut self, what: &Deregistration, changes: &mut Changes) {
        match what {
            Deregistration::Node(node) => self.deregister_node(node, changes),
            Deregistration::Service(node, id) => {
                let Some(service) = self.services.get(&(node.key(), id.key())).cloned() else { return };
                self.deregister_service(&service, changes);
            }
            Deregistration::Check(node, id) => {
                if let Some(check) = self.checks.get(&(node.key(), id.key())).cloned() {
                    self.change(Row::CheckGone(check.node.clone(), check.id.clone()), changes);
                }
            }
        }
    }

    fn deregister_node(&mut self, node: &NodeName, changes: &mut Changes) {
        let Some(entry) = self.nodes.get(&node.key()) else { return };
        let name = entry.node.name.clone();
        let checks: Vec<_> = self.checks_about(&node.key(), &Key::default()).cloned().collect();
        let services: Vec<_> = self.node_services(node).cloned().collect();
        for service in services {
            self.deregister_service(&service, changes);
        }
        for check in checks {
            self.change(Row::CheckGone(check.node.clone(), check.id.clone()), changes);
        }
        if self.coordinates.contains_key(&node.key()) {
            self.change(Row::CoordinateGone(name.clone()), changes);
        }
        self.change(Row::NodeGone(name), changes);
    }

    fn deregister_service(&mut self, service: &Service, changes: &mut Changes) {
        let checks: Vec<_> = self.checks_about(&service.node.key(), &service.id.key()).cloned().collect();
        for check in checks {
            self.change(Row::CheckGone(check.node.clone(), check.id.clone()), changes);
        }
        self.change(Row::ServiceGone(service.node.clone(), service.id.clone()), changes);
    }

    fn update_coordinates(&mut self, updates: &[NodeCoordinate], changes: &mut Changes) {
        for update in updates.iter().filter(|update| update.coordinate.is_valid()) {
            // The node as it is registered: letter case included.
            let Some(node) = self.node(&update.node).map(|node| node.name.clone()) else { continue };
            let row = NodeCoordinate { node, coordinate: update.coordinate };
            if self.coordinate(&row.node).is_none_or(|old| **old != row) {
                self.change(Row::Coordinate(Arc::new(row)), changes);
            }
        }
    }

    fn set_autopilot(&mut self, new: &Autopilot, expected: Option<Index>, changes: &mut Changes) -> Outcome {
        let old = self.autopilot.clone();
        let present = old.as_ref().map_or(Index(0), |old| old.modify_index);
        if expected.is_some_and(|expected| expected != present) {
            return Outcome::Mismatch;
        }
        let create_index = old.as_ref().map_or(self.index, |old| old.create_index);
        let row = Autopilot { create_index, modify_index: self.index, ..new.clone() };
        let unchanged = old.is_some_and(|old| Autopilot { modify_index: old.modify_index, ..row.clone() } == *old);
        if !unchanged {
            self.change(Row::Autopilot(Arc::new(row)), changes);
        }
        Outcome::Done
    }

    pub(super) fn change(&mut self, row: Row, changes: &mut Changes) {
        self.put(&row, &mut changes.touched);
        self.end_sessions_of(&row, changes);
        changes.tell(row);
    }
}

/// The effects of one command as they come about.
pub(super) struct Changes {
    /// What the command was stamped with.
    pub time: Time,
    rows: Vec<Row>,
    /// What they touch.
    pub touched: Touched,
}

impl Changes {
    /// None yet, of a command stamped `time`.
    pub fn at(time: Time) -> Self {
        Self { time, rows: Vec::new(), touched: Touched::new() }
    }

    /// Adds a row as others are to have it.
    pub fn tell(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Adds those of a part of the command.
    pub fn add(&mut self, part: Self) {
        self.rows.extend(part.rows);
        self.touched.extend(part.touched);
    }
}
