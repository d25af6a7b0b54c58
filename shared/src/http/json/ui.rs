//! The answers that a web page is made of: nodes with all that is on them, and one line for each service.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::rows::{CheckRow, NodeId, Nothing, ServiceRow, Texts, filled};
use crate::{
    acl::{Level, Resource, Rights},
    catalog::{Instance, State},
    http::read::Guarded,
    model::{Node, Status},
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
    /// The row of a node in this state, as somebody with these rights may see it.
    #[must_use]
    pub fn new(node: &'a Node, state: &'a State, rights: &Rights) -> Self {
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
            checks: checks.map(|check| CheckRow::in_state(check, state).with_null()).collect(),
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
