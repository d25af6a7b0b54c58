//! Nodes, services, checks.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use lictor_shared::model::{
    Autopilot, COORDINATE_DIMENSIONS, Check, CheckDefinition, Coordinate, Index, Node, NodeCoordinate, Origin, Service,
    ServiceAddress, Status, Time, Weights,
};
use smol_str::SmolStr;
use uuid::Uuid;

use super::{DecodeError, required};
use crate::internal;

pub(super) fn texts(pairs: &BTreeMap<SmolStr, SmolStr>) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

pub(super) fn pairs(texts: BTreeMap<String, String>) -> BTreeMap<SmolStr, SmolStr> {
    texts.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}

pub(super) fn strings(texts: &[SmolStr]) -> Vec<String> {
    texts.iter().map(SmolStr::to_string).collect()
}

fn port(port: u32, field: &'static str) -> Result<u16, DecodeError> {
    u16::try_from(port).map_err(|_| DecodeError::OutOfRange { field, value: port.into() })
}

impl From<&Node> for internal::Node {
    fn from(node: &Node) -> Self {
        Self {
            name: node.name.to_string(),
            id: node.id.map(|id| Bytes::copy_from_slice(id.as_bytes())).unwrap_or_default(),
            address: node.address.to_string(),
            tagged_addresses: texts(&node.tagged_addresses),
            meta: texts(&node.meta),
            create_index: node.create_index.0,
            modify_index: node.modify_index.0,
        }
    }
}

impl TryFrom<internal::Node> for Node {
    type Error = DecodeError;

    fn try_from(node: internal::Node) -> Result<Self, DecodeError> {
        let length = node.id.len();
        let id = Uuid::from_slice(&node.id).map_err(|_| DecodeError::IdLength { field: "Node.id", length });
        Ok(Self {
            name: node.name.into(),
            id: if length == 0 { None } else { Some(id?) },
            address: node.address.into(),
            tagged_addresses: pairs(node.tagged_addresses),
            meta: pairs(node.meta),
            create_index: Index(node.create_index),
            modify_index: Index(node.modify_index),
        })
    }
}

impl From<Origin> for internal::Origin {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Catalog => Self::Catalog,
            Origin::Agent => Self::Agent,
            Origin::File => Self::File,
        }
    }
}

fn origin(value: i32, field: &'static str) -> Result<Origin, DecodeError> {
    match internal::Origin::try_from(value) {
        Ok(internal::Origin::Catalog) => Ok(Origin::Catalog),
        Ok(internal::Origin::Agent) => Ok(Origin::Agent),
        Ok(internal::Origin::File) => Ok(Origin::File),
        Ok(internal::Origin::Unspecified) => Err(DecodeError::Missing { field }),
        Err(_) => Err(DecodeError::OutOfRange { field, value: value.into() }),
    }
}

impl From<Status> for internal::Status {
    fn from(status: Status) -> Self {
        match status {
            Status::Passing => Self::Passing,
            Status::Warning => Self::Warning,
            Status::Critical => Self::Critical,
        }
    }
}

fn status(value: i32, field: &'static str) -> Result<Status, DecodeError> {
    match internal::Status::try_from(value) {
        Ok(internal::Status::Passing) => Ok(Status::Passing),
        Ok(internal::Status::Warning) => Ok(Status::Warning),
        Ok(internal::Status::Critical) => Ok(Status::Critical),
        Ok(internal::Status::Unspecified) => Err(DecodeError::Missing { field }),
        Err(_) => Err(DecodeError::OutOfRange { field, value: value.into() }),
    }
}

impl From<&ServiceAddress> for internal::ServiceAddress {
    fn from(address: &ServiceAddress) -> Self {
        Self { address: address.address.to_string(), port: address.port.into() }
    }
}

impl TryFrom<internal::ServiceAddress> for ServiceAddress {
    type Error = DecodeError;

    fn try_from(address: internal::ServiceAddress) -> Result<Self, DecodeError> {
        Ok(Self { address: address.address.into(), port: port(address.port, "ServiceAddress.port")? })
    }
}

impl From<&Service> for internal::Service {
    fn from(service: &Service) -> Self {
        let address = |(tag, address): (&SmolStr, &ServiceAddress)| (tag.to_string(), address.into());
        let Weights { passing, warning } = service.weights;
        Self {
            node: service.node.to_string(),
            id: service.id.to_string(),
            name: service.name.to_string(),
            tags: strings(&service.tags),
            address: service.address.to_string(),
            port: service.port.into(),
            meta: texts(&service.meta),
            tagged_addresses: service.tagged_addresses.iter().map(address).collect(),
            weights: Some(internal::Weights { passing, warning }),
            enable_tag_override: service.enable_tag_override,
            origin: internal::Origin::from(service.origin).into(),
            create_index: service.create_index.0,
            modify_index: service.modify_index.0,
        }
    }
}

impl TryFrom<internal::Service> for Service {
    type Error = DecodeError;

    fn try_from(service: internal::Service) -> Result<Self, DecodeError> {
        let address = |(tag, address): (String, internal::ServiceAddress)| Ok((tag.into(), address.try_into()?));
        let weights = required(service.weights, "Service.weights")?;
        Ok(Self {
            node: service.node.into(),
            id: service.id.into(),
            name: service.name.into(),
            tags: service.tags.into_iter().map(SmolStr::from).collect(),
            address: service.address.into(),
            port: port(service.port, "Service.port")?,
            meta: pairs(service.meta),
            tagged_addresses: service.tagged_addresses.into_iter().map(address).collect::<Result<_, DecodeError>>()?,
            weights: Weights { passing: weights.passing, warning: weights.warning },
            enable_tag_override: service.enable_tag_override,
            origin: origin(service.origin, "Service.origin")?,
            create_index: Index(service.create_index),
            modify_index: Index(service.modify_index),
        })
    }
}

/// Saturates after 584 years.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl From<&CheckDefinition> for internal::CheckDefinition {
    fn from(definition: &CheckDefinition) -> Self {
        let values = |values: &Vec<SmolStr>| internal::HeaderValues { values: strings(values) };
        Self {
            http: definition.http.to_string(),
            header: definition.header.iter().map(|(name, texts)| (name.to_string(), values(texts))).collect(),
            method: definition.method.to_string(),
            body: definition.body.to_string(),
            disable_redirects: definition.disable_redirects,
            tls_server_name: definition.tls_server_name.to_string(),
            tls_skip_verify: definition.tls_skip_verify,
            tcp: definition.tcp.to_string(),
            udp: definition.udp.to_string(),
            grpc: definition.grpc.to_string(),
            grpc_use_tls: definition.grpc_use_tls,
            h2ping: definition.h2ping.to_string(),
            h2ping_use_tls: definition.h2ping_use_tls,
            script_args: strings(&definition.script_args),
            docker_container_id: definition.docker_container_id.to_string(),
            shell: definition.shell.to_string(),
            alias_node: definition.alias_node.to_string(),
            alias_service: definition.alias_service.to_string(),
            os_service: definition.os_service.to_string(),
            ttl_ns: nanoseconds(definition.ttl),
            interval_ns: nanoseconds(definition.interval),
            timeout_ns: nanoseconds(definition.timeout),
            deregister_critical_service_after_ns: nanoseconds(definition.deregister_critical_service_after),
            output_max_size: definition.output_max_size,
            success_before_passing: definition.success_before_passing,
            failures_before_warning: definition.failures_before_warning,
            failures_before_critical: definition.failures_before_critical,
        }
    }
}

impl From<internal::CheckDefinition> for CheckDefinition {
    fn from(definition: internal::CheckDefinition) -> Self {
        let values = |values: internal::HeaderValues| values.values.into_iter().map(SmolStr::from).collect();
        Self {
            http: definition.http.into(),
            header: definition.header.into_iter().map(|(name, texts)| (name.into(), values(texts))).collect(),
            method: definition.method.into(),
            body: definition.body.into(),
            disable_redirects: definition.disable_redirects,
            tls_server_name: definition.tls_server_name.into(),
            tls_skip_verify: definition.tls_skip_verify,
            tcp: definition.tcp.into(),
            udp: definition.udp.into(),
            grpc: definition.grpc.into(),
            grpc_use_tls: definition.grpc_use_tls,
            h2ping: definition.h2ping.into(),
            h2ping_use_tls: definition.h2ping_use_tls,
            script_args: definition.script_args.into_iter().map(SmolStr::from).collect(),
            docker_container_id: definition.docker_container_id.into(),
            shell: definition.shell.into(),
            alias_node: definition.alias_node.into(),
            alias_service: definition.alias_service.into(),
            os_service: definition.os_service.into(),
            ttl: Duration::from_nanos(definition.ttl_ns),
            interval: Duration::from_nanos(definition.interval_ns),
            timeout: Duration::from_nanos(definition.timeout_ns),
            deregister_critical_service_after: Duration::from_nanos(definition.deregister_critical_service_after_ns),
            output_max_size: definition.output_max_size,
            success_before_passing: definition.success_before_passing,
            failures_before_warning: definition.failures_before_warning,
            failures_before_critical: definition.failures_before_critical,
        }
    }
}

impl From<&Check> for internal::Check {
    fn from(check: &Check) -> Self {
        Self {
            node: check.node.to_string(),
            id: check.id.to_string(),
            name: check.name.to_string(),
            status: internal::Status::from(check.status).into(),
            notes: check.notes.to_string(),
            output: check.output.to_string(),
            service_id: check.service_id.to_string(),
            service_name: check.service_name.to_string(),
            kind: check.kind.to_string(),
            interval: check.interval.to_string(),
            timeout: check.timeout.to_string(),
            definition: check.definition.get().map(Into::into),
            runs: check.runs.as_deref().map(Into::into),
            origin: internal::Origin::from(check.origin).into(),
            since_ms: check.since.0,
            create_index: check.create_index.0,
            modify_index: check.modify_index.0,
        }
    }
}

impl TryFrom<internal::Check> for Check {
    type Error = DecodeError;

    fn try_from(check: internal::Check) -> Result<Self, DecodeError> {
        Ok(Self {
            node: check.node.into(),
            id: check.id.into(),
            name: check.name.into(),
            status: status(check.status, "Check.status")?,
            notes: check.notes.into(),
            output: check.output.into(),
            service_id: check.service_id.into(),
            service_name: check.service_name.into(),
            kind: check.kind.into(),
            interval: check.interval.into(),
            timeout: check.timeout.into(),
            definition: check.definition.map(|shown| CheckDefinition::from(shown).into()).unwrap_or_default(),
            runs: check.runs.map(|definition| Box::new(definition.into())),
            origin: origin(check.origin, "Check.origin")?,
            since: Time(check.since_ms),
            create_index: Index(check.create_index),
            modify_index: Index(check.modify_index),
        })
    }
}

impl From<&NodeCoordinate> for internal::NodeCoordinate {
    fn from(of_node: &NodeCoordinate) -> Self {
        let Coordinate { position, error, adjustment, height } = of_node.coordinate;
        let coordinate = internal::Coordinate { position: position.into(), error, adjustment, height };
        Self { node: of_node.node.to_string(), coordinate: Some(coordinate) }
    }
}

impl TryFrom<internal::NodeCoordinate> for NodeCoordinate {
    type Error = DecodeError;

    fn try_from(of_node: internal::NodeCoordinate) -> Result<Self, DecodeError> {
        let internal::Coordinate { position, error, adjustment, height } =
            required(of_node.coordinate, "NodeCoordinate.coordinate")?;
        let dimensions = i64::try_from(position.len()).unwrap_or(i64::MAX);
        let position: [f64; COORDINATE_DIMENSIONS] = position
            .try_into()
            .map_err(|_| DecodeError::OutOfRange { field: "Coordinate.position: length", value: dimensions })?;
        Ok(Self { node: of_node.node.into(), coordinate: Coordinate { position, error, adjustment, height } })
    }
}

impl From<&Autopilot> for internal::Autopilot {
    fn from(autopilot: &Autopilot) -> Self {
        Self {
            cleanup_dead_servers: autopilot.cleanup_dead_servers,
            last_contact_threshold_ns: nanoseconds(autopilot.last_contact_threshold),
            max_trailing_logs: autopilot.max_trailing_logs,
            min_quorum: autopilot.min_quorum,
            server_stabilization_time_ns: nanoseconds(autopilot.server_stabilization_time),
            redundancy_zone_tag: autopilot.redundancy_zone_tag.to_string(),
            disable_upgrade_migration: autopilot.disable_upgrade_migration,
            upgrade_version_tag: autopilot.upgrade_version_tag.to_string(),
            create_index: autopilot.create_index.0,
            modify_index: autopilot.modify_index.0,
        }
    }
}

impl From<internal::Autopilot> for Autopilot {
    fn from(autopilot: internal::Autopilot) -> Self {
        Self {
            cleanup_dead_servers: autopilot.cleanup_dead_servers,
            last_contact_threshold: Duration::from_nanos(autopilot.last_contact_threshold_ns),
            max_trailing_logs: autopilot.max_trailing_logs,
            min_quorum: autopilot.min_quorum,
            server_stabilization_time: Duration::from_nanos(autopilot.server_stabilization_time_ns),
            redundancy_zone_tag: autopilot.redundancy_zone_tag.into(),
            disable_upgrade_migration: autopilot.disable_upgrade_migration,
            upgrade_version_tag: autopilot.upgrade_version_tag.into(),
            create_index: Index(autopilot.create_index),
            modify_index: Index(autopilot.modify_index),
        }
    }
}
