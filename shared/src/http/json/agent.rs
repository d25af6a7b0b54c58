//! The answers about this agent: its services and checks, itself, and the members of its pool.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use smol_str::SmolStr;

use super::{
    coordinate::CoordinateRow,
    rows::{ServiceAddresses, WeightsRow},
};
use crate::{
    acl::{Level, Resource, Rights},
    agent::is_maintenance,
    gossip::{Member, MemberStatus},
    http::Settings,
    http::read::Guarded,
    model::{Check, Coordinate, Meta, Node, Service, Status},
    node::tags,
};

/// What every member of a pool says of its protocols: those of Consul 1.10.
const PROTOCOL: [u8; 3] = [1, 5, 2];
const DELEGATE: [u8; 3] = [2, 5, 4];

/// A service of this agent.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AgentServiceRow<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    service: &'a str,
    tags: &'a [SmolStr],
    meta: &'a Meta,
    port: u16,
    address: &'a str,
    #[serde(skip_serializing_if = "ServiceAddresses::is_empty")]
    tagged_addresses: ServiceAddresses<'a>,
    weights: WeightsRow,
    enable_tag_override: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_hash: Option<String>,
    datacenter: &'a str,
}

impl<'a> AgentServiceRow<'a> {
    /// The row of a service in this datacenter.
    #[must_use]
    pub fn new(service: &'a Service, datacenter: &'a str) -> Self {
        Self {
            id: &service.id,
            service: &service.name,
            tags: &service.tags,
            meta: &service.meta,
            port: service.port,
            address: &service.address,
            tagged_addresses: ServiceAddresses::of(service),
            weights: service.weights.into(),
            enable_tag_override: service.enable_tag_override,
            content_hash: None,
            datacenter,
        }
    }

    /// The same with the hash of its content, by which its callers wait for a change; and that hash.
    #[must_use]
    pub fn with_hash(self) -> (Self, String) {
        let content = serde_json::to_vec(&self).expect("rows have text keys and are written to memory");
        let hash = format!("{:016x}", fnv1a(&content));
        (Self { content_hash: Some(hash.clone()), ..self }, hash)
    }
}

/// FNV-1a (RFC 9923): short, and the same in every process.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// How a service of this agent is, all its checks and the node's taken together; the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AgentHealth {
    /// As the worst of its checks.
    Checked(Status),
    /// Taken out by hand.
    Maintenance,
}

impl AgentHealth {
    /// What these checks make together.
    #[must_use]
    pub fn of(checks: &[&Check]) -> Self {
        if checks.iter().any(|check| is_maintenance(check)) {
            return Self::Maintenance;
        }
        Self::Checked(checks.iter().map(|check| check.status).max().unwrap_or(Status::Passing))
    }

    /// Consul's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Checked(status) => status.as_str(),
            Self::Maintenance => "maintenance",
        }
    }
}

/// A service of this agent with its health and what makes it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AgentHealthRow<'a> {
    aggregated_status: &'static str,
    service: Option<AgentServiceRow<'a>>,
    checks: Option<Vec<AgentHealthCheckRow<'a>>>,
}

impl<'a> AgentHealthRow<'a> {
    /// What is said of a service that is not there.
    pub const UNKNOWN: Self = Self { aggregated_status: "critical", service: None, checks: None };

    /// The row of a service in this datacenter, with the checks that count for it.
    #[must_use]
    pub fn new(service: &'a Service, checks: &[&'a Check], datacenter: &'a str) -> Self {
        let row = |check: &&'a Check| {
            let tags = if check.service_id.is_empty() { &[][..] } else { &service.tags };
            AgentHealthCheckRow::new(check, tags)
        };
        Self {
            aggregated_status: AgentHealth::of(checks).as_str(),
            service: Some(AgentServiceRow::new(service, datacenter)),
            checks: Some(checks.iter().map(row).collect()),
        }
    }
}

/// A check in [`AgentHealthRow`]: not quite the row that a check has elsewhere.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AgentHealthCheckRow<'a> {
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
    kind: &'static str,
    definition: Value,
    create_index: u64,
    modify_index: u64,
}

impl<'a> AgentHealthCheckRow<'a> {
    fn new(check: &'a Check, tags: &'a [SmolStr]) -> Self {
        Self {
            node: &check.node,
            check_id: &check.id,
            name: &check.name,
            status: check.status.as_str(),
            notes: &check.notes,
            output: &check.output,
            service_id: &check.service_id,
            service_name: &check.service_name,
            service_tags: (!tags.is_empty()).then_some(tags),
            kind: "",
            definition: json!({
                "Body": "", "DeregisterCriticalServiceAfter": "0s", "GRPC": "", "GRPCUseTLS": false, "HTTP": "",
                "Header": null, "Interval": "0s", "Method": "", "TCP": "", "TLSServerName": "",
                "TLSSkipVerify": false, "Timeout": "0s",
            }),
            create_index: 0,
            modify_index: 0,
        }
    }
}

/// A member of a pool.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct MemberRow<'a> {
    name: &'a str,
    addr: String,
    port: u16,
    tags: BTreeMap<&'a str, &'a str>,
    status: u8,
    protocol_min: u8,
    protocol_max: u8,
    protocol_cur: u8,
    delegate_min: u8,
    delegate_max: u8,
    delegate_cur: u8,
}

impl<'a> MemberRow<'a> {
    /// The row of a member.
    #[must_use]
    pub fn new(member: &'a Member) -> Self {
        let shown = member.tags.iter().filter(|(tag, _)| !tags::is_internal(tag));
        let [protocol_min, protocol_max, protocol_cur] = PROTOCOL;
        let [delegate_min, delegate_max, delegate_cur] = DELEGATE;
        Self {
            name: &member.name,
            addr: member.address.ip().to_string(),
            port: member.address.port(),
            tags: shown.map(|(tag, value)| (tag.as_str(), value.as_str())).collect(),
            status: match member.status {
                MemberStatus::Alive => 1,
                MemberStatus::Leaving => 2,
                MemberStatus::Left => 3,
                MemberStatus::Failed => 4,
            },
            protocol_min,
            protocol_max,
            protocol_cur,
            delegate_min,
            delegate_max,
            delegate_cur,
        }
    }
}

/// What `/agent/self` counts.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// Services of this agent.
    pub services: usize,
    /// Its checks.
    pub checks: usize,
    /// Servers in the pool.
    pub servers: usize,
    /// Members of the pool.
    pub members: usize,
}

/// The answer of `/agent/self`.
#[must_use]
pub fn itself(
    settings: &Settings,
    node: &Node,
    own: &Member,
    coordinate: Coordinate,
    leader: Option<&str>,
    counts: Counts,
) -> Value {
    let (identity, versions) = (&settings.identity, &settings.versions);
    let is_server = identity.server_address.is_some();
    let leads = is_server && leader == identity.server_address.as_deref();
    let mut consul = json!({"server": is_server.to_string(), "known_servers": counts.servers.to_string()});
    if is_server {
        consul["leader"] = leads.to_string().into();
        consul["leader_addr"] = leader.unwrap_or_default().into();
        consul["known_datacenters"] = "1".into();
    }
    json!({
        "Config": {
            "Datacenter": identity.datacenter,
            "PrimaryDatacenter": identity.datacenter,
            "NodeName": identity.node_name,
            "NodeID": identity.node_id,
            "Revision": "",
            "Server": is_server,
            "Version": versions.api_level,
            "LictorVersion": versions.own,
        },
        "DebugConfig": {
            "Datacenter": identity.datacenter,
            "PrimaryDatacenter": identity.datacenter,
            "NodeName": identity.node_name,
            "NodeID": identity.node_id,
            "NodeMeta": node.meta,
            "ServerMode": is_server,
            "EnableDebug": settings.debug,
            "Version": versions.api_level,
            "DiscoveryMaxStale": crate::agent::duration::show(settings.discovery_max_stale),
            "HTTPMaxConnsPerClient": settings.limits.connections_per_client,
            "SerfPortLAN": settings.serf_lan_port,
        },
        "Coord": CoordinateRow::from(coordinate),
        "Member": MemberRow::new(own),
        "Meta": node.meta,
        "Stats": {
            "agent": {"services": counts.services.to_string(), "checks": counts.checks.to_string()},
            "build": {"version": versions.api_level, "prerelease": "", "revision": ""},
            "consul": consul,
            "serf_lan": {"members": counts.members.to_string()},
        },
    })
}

impl Guarded for MemberRow<'_> {
    fn is_visible(&self, rights: &Rights) -> bool {
        rights.allow(Resource::Node, Level::Read, self.name)
    }
}

impl Guarded for AgentServiceRow<'_> {
    fn is_visible(&self, rights: &Rights) -> bool {
        rights.allow(Resource::Service, Level::Read, self.service)
    }
}
