//! What differs between the local table and a view of the registry, and the commands that mend it.
//!
//! Pure. Works group by group, a service with its checks or the node with its own, so that a group is mended as a
//! whole. Rows that the leader keeps on this node (`serfHealth`, a server's `consul` service) are left alone; every
//! other row that the local table does not have is removed.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::local::{Local, LocalCheck, group_of};
use crate::{
    catalog::State,
    command::{Command, Deregistration, Registration},
    model::{Check, Key, Node, SERF_HEALTH, SERVER_SERVICE, Service},
};

impl Local {
    /// The groups in which something differs.
    pub(super) fn groups_that_differ(&self, state: &State, now: Instant) -> BTreeSet<Key> {
        let mut groups = BTreeSet::new();
        if self.node_differs(state) {
            groups.insert(Key::default());
        }
        for (key, service) in &self.services {
            let found = state.node_service(&self.node.name, &service.id);
            if found.is_none_or(|found| self.service_differs(key, service, found)) {
                groups.insert(key.clone());
            }
        }
        for check in self.checks.values() {
            let found = state.node_check(&self.node.name, &check.row.id);
            if found.is_none_or(|found| check_differs(check, found, now)) {
                groups.insert(group_of(&check.row));
            }
        }
        groups.extend(state.node_services(&self.node.name).filter(|s| self.is_foreign(s)).map(|s| s.id.key()));
        groups.extend(state.node_checks(&self.node.name).filter(|c| self.is_foreign_check(c)).map(|c| group_of(c)));
        groups
    }

    /// The commands that make a group of the view what it should be, to be done in this order; none where it is.
    pub(super) fn commands(&self, group: &Key, state: &State, now: Instant) -> Vec<Command> {
        let mut commands = Vec::new();
        let node = &self.node.name;
        let found = state.node_service(node, group.as_str());
        if let Some(found) = found.filter(|found| self.is_foreign(found)) {
            // Takes the service's checks with it.
            return vec![Command::Deregister(Deregistration::Service(node.clone(), found.id.clone()))];
        }
        let node_key = node.key();
        let foreign = state.checks_about(&node_key, group).filter(|c| self.is_foreign_check(c));
        commands.extend(foreign.map(|c| Command::Deregister(Deregistration::Check(node.clone(), c.id.clone()))));

        let wanted = self.services.get(group);
        let service = wanted.filter(|wanted| found.is_none_or(|found| self.service_differs(group, wanted, found)));
        let service = service.map(|wanted| {
            let found = found.filter(|_| self.leaves_tags(group, wanted));
            Service { tags: found.unwrap_or(wanted).tags.clone(), ..Service::clone(wanted) }
        });
        let checks: Vec<Check> = self
            .checks_of(group)
            .filter(|check| state.node_check(node, &check.row.id).is_none_or(|found| check_differs(check, found, now)))
            .map(|check| Check::clone(&check.row))
            .collect();
        let update_node = group.as_str().is_empty() && self.node_differs(state);
        if update_node || service.is_some() || !checks.is_empty() {
            let registration =
                Registration { node: self.node.clone(), skip_node_update: !update_node, service, checks };
            commands.push(Command::Register(Box::new(registration)));
        }
        commands
    }

    fn node_differs(&self, state: &State) -> bool {
        let Some(found) = state.node(&self.node.name) else { return true };
        let Node { name, id, address, tagged_addresses, meta, create_index: _, modify_index: _ } = &self.node;
        *name != found.name
            || (id.is_some() && *id != found.id)
            || *address != found.address
            || *tagged_addresses != found.tagged_addresses
            || *meta != found.meta
    }

    /// Whether the tags stay as they are found: others may change them.
    fn leaves_tags(&self, group: &Key, wanted: &Service) -> bool {
        wanted.enable_tag_override && !self.gives_tags(group)
    }

    fn service_differs(&self, group: &Key, wanted: &Service, found: &Service) -> bool {
        wanted.id != found.id
            || wanted.name != found.name
            || (!self.leaves_tags(group, wanted) && wanted.tags != found.tags)
            || wanted.address != found.address
            || wanted.port != found.port
            || wanted.meta != found.meta
            || wanted.tagged_addresses != found.tagged_addresses
            || wanted.weights != found.weights
            || wanted.enable_tag_override != found.enable_tag_override
            || wanted.origin != found.origin
    }

    /// A service on this node that this agent does not know, and that no one else keeps.
    fn is_foreign(&self, found: &Service) -> bool {
        let kept_by_leader = self.is_server && &*found.id == SERVER_SERVICE;
        !kept_by_leader && !self.services.contains_key(&found.id.key())
    }

    fn is_foreign_check(&self, found: &Check) -> bool {
        let kept_by_leader = &*found.id == SERF_HEALTH || (self.is_server && &*found.service_id == SERVER_SERVICE);
        !kept_by_leader && !self.checks.contains_key(&found.id.key())
    }
}

/// A differing output alone counts only when it is due.
fn check_differs(wanted: &LocalCheck, found: &Check, now: Instant) -> bool {
    let output_counts = wanted.output_due.is_some_and(|due| due <= now);
    let wanted = &*wanted.row;
    wanted.id != found.id
        || wanted.name != found.name
        || wanted.status != found.status
        || wanted.notes != found.notes
        || (output_counts && wanted.output != found.output)
        || wanted.service_id != found.service_id
        || wanted.service_name != found.service_name
        || wanted.kind != found.kind
        || wanted.interval != found.interval
        || wanted.timeout != found.timeout
        || wanted.definition != found.definition
        || wanted.runs != found.runs
        || wanted.origin != found.origin
}
