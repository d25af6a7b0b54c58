//! The rows of catalog and health answers, borrowed from the snapshot they are read from.
//!
//! Every struct is one of Consul's, with its key names. Mesh fields are there and empty, as clients expect them.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer, ser::SerializeMap};
use smol_str::SmolStr;
use uuid::Uuid;

use super::time::moment;
use crate::{
    acl::{Level, Resource, Rights},
    agent::duration,
    catalog::{Instance, State},
    http::read::Guarded,
    model::{Check, CheckDefinition, Meta, Node, Service, ServiceAddress, Time, Weights},
};

pub(super) type Texts<'a> = Option<&'a BTreeMap<SmolStr, SmolStr>>;

pub(super) fn filled(map: &BTreeMap<SmolStr, SmolStr>) -> Texts<'_> {
    (!map.is_empty()).then_some(map)
}

/// A node's ID; nothing is written as the empty text.
#[derive(Clone, Copy, Debug)]
pub struct NodeId(pub Option<Uuid>);

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(id) => serializer.collect_str(&id),
            None => serializer.serialize_str(""),
        }
    }
}

/// A node.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NodeRow<'a> {
    #[serde(rename = "ID")]
    id: NodeId,
    node: &'a str,
    address: &'a str,
    datacenter: &'a str,
    tagged_addresses: Texts<'a>,
    meta: Texts<'a>,
    create_index: u64,
    modify_index: u64,
}

impl<'a> NodeRow<'a> {
    /// The row of a node in this datacenter.
    #[must_use]
    pub fn new(node: &'a Node, datacenter: &'a str) -> Self {
        Self {
            id: NodeId(node.id),
            node: &node.name,
            address: &node.address,
            datacenter,
            tagged_addresses: filled(&node.tagged_addresses),
            meta: filled(&node.meta),
            create_index: node.create_index.0,
            modify_index: node.modify_index.0,
        }
    }
}

/// Shares of answers.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct WeightsRow {
    passing: u32,
    warning: u32,
}

impl From<Weights> for WeightsRow {
    fn from(weights: Weights) -> Self {
        Self { passing: weights.passing, warning: weights.warning }
    }
}

/// A service's address on one network.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ServiceAddressRow<'a> {
    address: &'a str,
    port: u16,
}

/// A service's addresses by network; left out where there are none.
#[derive(Clone, Copy)]
pub struct ServiceAddresses<'a>(&'a BTreeMap<SmolStr, ServiceAddress>);

impl<'a> ServiceAddresses<'a> {
    /// Those of this service.
    #[must_use]
    pub fn of(service: &'a Service) -> Self {
        Self(&service.tagged_addresses)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for ServiceAddresses<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (network, address) in self.0 {
            map.serialize_entry(network, &ServiceAddressRow { address: &address.address, port: address.port })?;
        }
        map.end()
    }
}

/// An object without fields.
#[derive(Serialize)]
pub(super) struct Nothing {}

/// The settings of a mesh proxy: a service here has none.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProxyRow {
    mode: &'static str,
    mesh_gateway: Nothing,
    expose: Nothing,
}

const NO_PROXY: ProxyRow = ProxyRow { mode: "", mesh_gateway: Nothing {}, expose: Nothing {} };

/// An instance as its node has it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ServiceRow<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    service: &'a str,
    tags: Option<&'a [SmolStr]>,
    address: &'a str,
    #[serde(skip_serializing_if = "ServiceAddresses::is_empty")]
    tagged_addresses: ServiceAddresses<'a>,
    meta: Texts<'a>,
    port: u16,
    weights: WeightsRow,
    enable_tag_override: bool,
    proxy: ProxyRow,
    connect: Nothing,
    create_index: u64,
    modify_index: u64,
}

impl<'a> ServiceRow<'a> {
    /// The row of an instance.
    #[must_use]
    pub fn new(service: &'a Service) -> Self {
        Self {
            id: &service.id,
            service: &service.name,
            tags: Some(&service.tags),
            address: &service.address,
            tagged_addresses: ServiceAddresses::of(service),
            meta: filled(&service.meta),
            port: service.port,
            weights: service.weights.into(),
            enable_tag_override: service.enable_tag_override,
            proxy: NO_PROXY,
            connect: Nothing {},
            create_index: service.create_index.0,
            modify_index: service.modify_index.0,
        }
    }

    /// The same with null where it has no tags.
    #[must_use]
    pub(super) fn with_null(self) -> Self {
        Self { tags: self.tags.filter(|tags| !tags.is_empty()), ..self }
    }
}

/// An instance and its node in one flat row, as `/catalog/service/:name` has it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ServiceOnNodeRow<'a> {
    #[serde(rename = "ID")]
    id: NodeId,
    node: &'a str,
    address: &'a str,
    datacenter: &'a str,
    tagged_addresses: Texts<'a>,
    node_meta: Texts<'a>,
    service_kind: &'static str,
    #[serde(rename = "ServiceID")]
    service_id: &'a str,
    service_name: &'a str,
    service_tags: &'a [SmolStr],
    service_address: &'a str,
    #[serde(skip_serializing_if = "ServiceAddresses::is_empty")]
    service_tagged_addresses: ServiceAddresses<'a>,
    service_weights: WeightsRow,
    service_meta: &'a Meta,
    service_port: u16,
    service_socket_path: &'static str,
    service_enable_tag_override: bool,
    service_proxy: ProxyRow,
    service_connect: Nothing,
    create_index: u64,
    modify_index: u64,
}

impl<'a> ServiceOnNodeRow<'a> {
    /// The row of an instance in this datacenter.
    #[must_use]
    pub fn new(instance: &'a Instance, datacenter: &'a str) -> Self {
        let (node, service) = (&*instance.node, &*instance.service);
        Self {
            id: NodeId(node.id),
            node: &node.name,
            address: &node.address,
            datacenter,
            tagged_addresses: filled(&node.tagged_addresses),
            node_meta: filled(&node.meta),
            service_kind: "",
            service_id: &service.id,
            service_name: &service.name,
            service_tags: &service.tags,
            service_address: &service.address,
            service_tagged_addresses: ServiceAddresses::of(service),
            service_weights: service.weights.into(),
            service_meta: &service.meta,
            service_port: service.port,
            service_socket_path: "",
            service_enable_tag_override: service.enable_tag_override,
            service_proxy: NO_PROXY,
            service_connect: Nothing {},
            create_index: service.create_index.0,
            modify_index: service.modify_index.0,
        }
    }
}

/// A check.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckRow<'a> {
    node: &'a str,
    #[serde(rename = "CheckID")]
    check_id: &'a str,
    name: &'a str,
    status: &'static str,
    notes: &'a str,
    output: &'a str,
    #[serde(rename = "ServiceID")]
    service_id: &'a str,
    service_name: &'a str,
    service_tags: Option<&'a [SmolStr]>,
    #[serde(rename = "Type")]
    kind: &'a str,
    interval: &'a str,
    timeout: &'a str,
    exposed_port: u16,
    definition: DefinitionRow<'a>,
    create_index: u64,
    modify_index: u64,
    /// Only where it was asked for: Consul has no such field.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
}

impl<'a> CheckRow<'a> {
    /// The row of a check about a service with these tags; none where it is about its node.
    #[must_use]
    pub fn new(check: &'a Check, service_tags: &'a [SmolStr]) -> Self {
        Self {
            node: &check.node,
            check_id: &check.id,
            name: &check.name,
            status: check.status.as_str(),
            notes: &check.notes,
            output: &check.output,
            service_id: &check.service_id,
            service_name: &check.service_name,
            service_tags: Some(service_tags),
            kind: &check.kind,
            interval: &check.interval,
            timeout: &check.timeout,
            exposed_port: 0,
            definition: DefinitionRow::new(&check.definition),
            create_index: check.create_index.0,
            modify_index: check.modify_index.0,
            since: None,
        }
    }

    /// The row of a check of the catalog.
    #[must_use]
    pub fn in_state(check: &'a Check, state: &'a State) -> Self {
        let service = (!check.service_id.is_empty()).then(|| state.node_service(&check.node, &check.service_id));
        Self::new(check, service.flatten().map_or(&[], |service| &service.tags))
    }

    /// The row of a check that an agent has, before any index.
    #[must_use]
    pub fn of_agent(check: &'a Check, service_tags: &'a [SmolStr]) -> Self {
        Self { create_index: 0, modify_index: 0, ..Self::new(check, service_tags) }
    }

    /// The same; where that is wanted, with the moment since when it has its status, as far as that is known.
    #[must_use]
    pub fn since_if(self, wanted: bool, check: &Check) -> Self {
        let since = (wanted && check.since > Time(0)).then(|| moment(check.since));
        Self { since, ..self }
    }

    /// The same with null where its service has no tags.
    #[must_use]
    pub(super) fn with_null(self) -> Self {
        Self { service_tags: self.service_tags.filter(|tags| !tags.is_empty()), ..self }
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// How a check is done, as its registrar said; fields that it did not set are left out.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DefinitionRow<'a> {
    #[serde(rename = "HTTP", skip_serializing_if = "str::is_empty")]
    http: &'a str,
    #[serde(rename = "TLSServerName", skip_serializing_if = "str::is_empty")]
    tls_server_name: &'a str,
    #[serde(rename = "TLSSkipVerify", skip_serializing_if = "is_false")]
    tls_skip_verify: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    header: &'a BTreeMap<SmolStr, Vec<SmolStr>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    method: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    body: &'a str,
    #[serde(rename = "TCP", skip_serializing_if = "str::is_empty")]
    tcp: &'a str,
    #[serde(rename = "UDP", skip_serializing_if = "str::is_empty")]
    udp: &'a str,
    #[serde(rename = "H2PING", skip_serializing_if = "str::is_empty")]
    h2ping: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    output_max_size: u32,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    script_args: &'a [SmolStr],
    #[serde(rename = "DockerContainerID", skip_serializing_if = "str::is_empty")]
    docker_container_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    shell: &'a str,
    #[serde(rename = "GRPC", skip_serializing_if = "str::is_empty")]
    grpc: &'a str,
    #[serde(rename = "GRPCUseTLS", skip_serializing_if = "is_false")]
    grpc_use_tls: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    alias_node: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    alias_service: &'a str,
    #[serde(rename = "OSService", skip_serializing_if = "str::is_empty")]
    os_service: &'a str,
    #[serde(rename = "TTL", skip_serializing_if = "Span::is_zero")]
    ttl: Span,
    #[serde(skip_serializing_if = "Span::is_zero")]
    interval: Span,
    #[serde(skip_serializing_if = "Span::is_zero")]
    timeout: Span,
    #[serde(skip_serializing_if = "Span::is_zero")]
    deregister_critical_service_after: Span,
}

impl<'a> DefinitionRow<'a> {
    fn new(definition: &'a CheckDefinition) -> Self {
        Self {
            http: &definition.http,
            tls_server_name: &definition.tls_server_name,
            tls_skip_verify: definition.tls_skip_verify,
            header: &definition.header,
            method: &definition.method,
            body: &definition.body,
            tcp: &definition.tcp,
            udp: &definition.udp,
            h2ping: &definition.h2ping,
            output_max_size: definition.output_max_size,
            script_args: &definition.script_args,
            docker_container_id: &definition.docker_container_id,
            shell: &definition.shell,
            grpc: &definition.grpc,
            grpc_use_tls: definition.grpc_use_tls,
            alias_node: &definition.alias_node,
            alias_service: &definition.alias_service,
            os_service: &definition.os_service,
            ttl: Span(definition.ttl),
            interval: Span(definition.interval),
            timeout: Span(definition.timeout),
            deregister_critical_service_after: Span(definition.deregister_critical_service_after),
        }
    }
}

/// A span of time in Go's notation.
struct Span(std::time::Duration);

impl Span {
    fn is_zero(&self) -> bool {
        self.0.is_zero()
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&duration::show(self.0))
    }
}

/// An instance with its node and checks, as `/health/service/:name` has it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InstanceRow<'a> {
    node: NodeRow<'a>,
    service: ServiceRow<'a>,
    checks: Option<Vec<CheckRow<'a>>>,
}

impl<'a> InstanceRow<'a> {
    /// The row of an instance in this datacenter.
    #[must_use]
    pub fn new(instance: &'a Instance, datacenter: &'a str) -> Self {
        let service = &*instance.service;
        let row = |check: &'a std::sync::Arc<Check>| {
            CheckRow::new(check, if check.service_id.is_empty() { &[] } else { &service.tags })
        };
        Self {
            node: NodeRow::new(&instance.node, datacenter),
            service: ServiceRow::new(service),
            checks: Some(instance.checks.iter().map(row).collect()),
        }
    }

    /// The same; where that is wanted, with the moments since when its checks have their statuses.
    #[must_use]
    pub fn since_if(self, wanted: bool, instance: &Instance) -> Self {
        if !wanted {
            return self;
        }
        let rows = self.checks.into_iter().flatten().zip(instance.checks.iter());
        Self { checks: Some(rows.map(|(row, check)| row.since_if(wanted, check)).collect()), ..self }
    }

    /// The same with null where it has no checks, and where these or it have no tags.
    #[must_use]
    pub(super) fn with_null(self) -> Self {
        let checks = self.checks.filter(|checks| !checks.is_empty());
        let checks = checks.map(|checks| checks.into_iter().map(CheckRow::with_null).collect());
        Self { service: self.service.with_null(), checks, ..self }
    }
}

/// A node and its services by ID, as `/catalog/node/:name` has it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NodeServicesRow<'a> {
    node: NodeRow<'a>,
    services: BTreeMap<&'a str, ServiceRow<'a>>,
}

impl<'a> NodeServicesRow<'a> {
    /// The row of a node with these of its services.
    #[must_use]
    pub fn new(node: &'a Node, services: impl Iterator<Item = &'a Service>, datacenter: &'a str) -> Self {
        let services = services.map(|service| (service.id.as_str(), ServiceRow::new(service))).collect();
        Self { node: NodeRow::new(node, datacenter), services }
    }
}

/// A node and its services as a list, as `/catalog/node-services/:name` has it; both null where there is no node.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NodeServiceListRow<'a> {
    node: Option<NodeRow<'a>>,
    services: Option<Vec<ServiceRow<'a>>>,
}

impl<'a> NodeServiceListRow<'a> {
    /// The row of a node with these of its services.
    #[must_use]
    pub fn new(node: &'a Node, services: impl Iterator<Item = &'a Service>, datacenter: &'a str) -> Self {
        Self { node: Some(NodeRow::new(node, datacenter)), services: Some(services.map(ServiceRow::new).collect()) }
    }
}

impl Guarded for NodeRow<'_> {
    fn is_visible(&self, rights: &Rights) -> bool {
        rights.allow(Resource::Node, Level::Read, self.node)
    }
}

impl Guarded for ServiceOnNodeRow<'_> {
    fn is_visible(&self, rights: &Rights) -> bool {
        rights.sees_instance(self.node, self.service_name)
    }
}

impl Guarded for CheckRow<'_> {
    fn is_visible(&self, rights: &Rights) -> bool {
        rights.sees_check(self.node, self.service_name)
    }
}

impl Guarded for InstanceRow<'_> {
    fn is_visible(&self, rights: &Rights) -> bool {
        rights.sees_instance(self.node.node, self.service.service)
    }
}
