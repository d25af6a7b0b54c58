//! The answers that a web page is made of: nodes with all that is on them, one line for each node and service, and how many
//! of what there are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Serialize;

use super::rows::{CheckRow, NodeId, Nothing, ServiceRow, Texts, filled};
use crate::{
    acl::{Level, Resource, Rights},
    catalog::{Instance, State},
    http::read::{Guarded, Rows},
    model::{Check, Key, Node, Status},
};

/// What marks the program that registered an instance, in its metadata.
const EXTERNAL_SOURCE: &str = "external-source";

/// A node with its services and checks.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NodeDumpRow<'a> {
    #[serde(rename = "ID")]
    id: NodeId,
    node: &'a str,
    address: &'a str,
    tagged_addresses: Texts<'a>,
    meta: Texts<'a>,
    services: Vec<ServiceRow<'a>>,
    checks: Vec<CheckRow<'a>>,
}

impl<'a> NodeDumpRow<'a> {
    /// The row of a node in this state, as somebody with these rights may see it; with `since`, its checks say since when
    /// they have their statuses.
    #[must_use]
    pub fn new(node: &'a Node, state: &'a State, rights: &Rights, since: bool) -> Self {
        let services = state.node_services(&node.name);
        let services = services.filter(|service| rights.allow(Resource::Service, Level::Read, &service.name));
        let checks = state.node_checks(&node.name);
        let checks = checks.filter(|check| rights.sees_check(&check.node, &check.service_name));
        Self {
            id: NodeId(node.id),
            node: &node.name,
            address: &node.address,
            tagged_addresses: filled(&node.tagged_addresses),
            meta: filled(&node.meta),
            services: services.map(|service| ServiceRow::new(service).with_null()).collect(),
            checks: checks.map(|check| CheckRow::in_state(check, state).with_null().since_if(since, check)).collect(),
        }
    }
}

/// A node in one line: how much is on it, and how that is.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NodeSummaryRow<'a> {
    #[serde(rename = "ID")]
    id: NodeId,
    node: &'a str,
    address: &'a str,
    meta: Texts<'a>,
    services: usize,
    checks_passing: usize,
    checks_warning: usize,
    checks_critical: usize,
}

impl<'a> NodeSummaryRow<'a> {
    /// The row of a node in this state, of what somebody with these rights may see.
    #[must_use]
    pub fn new(node: &'a Node, state: &State, rights: &Rights) -> Self {
        let services = state.node_services(&node.name);
        let checks = state.node_checks(&node.name).filter(|check| rights.sees_check(&check.node, &check.service_name));
        let mut by_status = [0; 3];
        checks.for_each(|check| by_status[check.status as usize] += 1);
        let [checks_passing, checks_warning, checks_critical] = by_status;
        Self {
            id: NodeId(node.id),
            node: &node.name,
            address: &node.address,
            meta: filled(&node.meta),
            services: services.filter(|service| rights.allow(Resource::Service, Level::Read, &service.name)).count(),
            checks_passing,
            checks_warning,
            checks_critical,
        }
    }
}

/// How many there are in each state, by the worst of their checks.
#[derive(Clone, Copy, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tally {
    passing: usize,
    warning: usize,
    critical: usize,
}

impl Tally {
    fn of(statuses: impl Iterator<Item = Status>) -> Self {
        let mut tally = Self::default();
        for status in statuses {
            match status {
                Status::Passing => tally.passing += 1,
                Status::Warning => tally.warning += 1,
                Status::Critical => tally.critical += 1,
            }
        }
        tally
    }
}

/// How many services, instances, nodes and checks there are in each state.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Overview {
    services: Tally,
    instances: Tally,
    nodes: Tally,
    checks: Tally,
}

impl Overview {
    /// Of what the caller may see of this state.
    #[must_use]
    pub(in crate::http) fn new(state: &State, rows: &Rows) -> Self {
        let rights = rows.rights();
        let sees = |instance: &&Instance| rows.sees(rights.sees_instance(&instance.node.name, &instance.service.name));
        let instances = || state.all_instances().map(|instance| &**instance).filter(sees);
        let mut services: BTreeMap<Key, Status> = BTreeMap::new();
        for instance in instances() {
            let worst = services.entry(instance.service.name.key()).or_insert(Status::Passing);
            *worst = (*worst).max(instance.status());
        }
        let visible = |check: &&Arc<Check>| rights.sees_check(&check.node, &check.service_name);
        let nodes = state.nodes().filter(|node| rows.sees(rights.allow(Resource::Node, Level::Read, &node.name)));
        let worst = |node: &Arc<Node>| {
            state.node_checks(&node.name).filter(visible).map(|check| check.status).max().unwrap_or(Status::Passing)
        };
        Self {
            services: Tally::of(services.into_values()),
            instances: Tally::of(instances().map(Instance::status)),
            nodes: Tally::of(nodes.map(worst)),
            checks: Tally::of(state.checks().filter(visible).map(|check| check.status)),
        }
    }
}

/// A service in one line: how many instances it has, where, and how its checks are.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ServiceSummaryRow<'a> {
    name: &'a str,
    datacenter: &'a str,
    tags: Option<BTreeSet<&'a str>>,
    nodes: BTreeSet<&'a str>,
    external_sources: Option<BTreeSet<&'a str>>,
    instance_count: usize,
    checks_passing: usize,
    checks_warning: usize,
    checks_critical: usize,
    gateway_config: Nothing,
    transparent_proxy: bool,
    connected_with_proxy: bool,
    connected_with_gateway: bool,
}

impl<'a> ServiceSummaryRow<'a> {
    /// One row for each service of these instances, by name.
    #[must_use]
    pub fn all(instances: impl Iterator<Item = &'a Instance>, state: &'a State, datacenter: &'a str) -> Vec<Self> {
        let mut rows: BTreeMap<&str, Self> = BTreeMap::new();
        for instance in instances {
            let name = state.service(&instance.service.name).map_or(&*instance.service.name, |entry| &entry.name);
            rows.entry(name).or_insert_with(|| Self::empty(name, datacenter)).add(instance);
        }
        rows.into_values().collect()
    }

    fn empty(name: &'a str, datacenter: &'a str) -> Self {
        Self {
            name,
            datacenter,
            tags: None,
            nodes: BTreeSet::new(),
            external_sources: None,
            instance_count: 0,
            checks_passing: 0,
            checks_warning: 0,
            checks_critical: 0,
            gateway_config: Nothing {},
            transparent_proxy: false,
            connected_with_proxy: false,
            connected_with_gateway: false,
        }
    }

    fn add(&mut self, instance: &'a Instance) {
        self.instance_count += 1;
        self.nodes.insert(&instance.node.name);
        if !instance.service.tags.is_empty() {
            self.tags.get_or_insert_default().extend(instance.service.tags.iter().map(|tag| tag.as_str()));
        }
        if let Some(source) = instance.service.meta.get(EXTERNAL_SOURCE) {
            self.external_sources.get_or_insert_default().insert(source);
        }
        for check in &*instance.checks {
            match check.status {
                Status::Passing => self.checks_passing += 1,
                Status::Warning => self.checks_warning += 1,
                Status::Critical => self.checks_critical += 1,
            }
        }
    }
}

impl Guarded for NodeDumpRow<'_> {
    fn is_visible(&self, rights: &Rights) -> bool {
        rights.allow(Resource::Node, Level::Read, self.node)
    }
}
