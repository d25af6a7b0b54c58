//! Rows of the catalog as `lictor.v1` tells them. One way only: applications tell nothing of rows.

use std::sync::Arc;

use lictor_shared::{
    backend::Contact,
    catalog::Instance,
    model::{Check, Node, ServiceAddress, Status},
};
use smol_str::SmolStr;

use crate::v1;

impl From<Status> for v1::Status {
    fn from(status: Status) -> Self {
        match status {
            Status::Passing => Self::Passing,
            Status::Warning => Self::Warning,
            Status::Critical => Self::Critical,
        }
    }
}

impl From<&Check> for v1::Check {
    fn from(check: &Check) -> Self {
        Self { id: check.id.to_string(), name: check.name.to_string(), status: v1::Status::from(check.status).into() }
    }
}

impl From<&Instance> for v1::Instance {
    fn from(instance: &Instance) -> Self {
        let service = &*instance.service;
        let network = |(name, on): (&SmolStr, &ServiceAddress)| {
            (name.to_string(), v1::NetworkAddress { address: on.address.to_string(), port: on.port.into() })
        };
        Self {
            id: Some(v1::InstanceId { node: instance.node.name.to_string(), instance: service.id.to_string() }),
            service: service.name.to_string(),
            address: instance.address().to_string(),
            port: service.port.into(),
            tags: service.tags.iter().map(ToString::to_string).collect(),
            meta: service.meta.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
            status: v1::Status::from(instance.status()).into(),
            weight: instance.weight(),
            checks: instance.checks.iter().map(|check| v1::Check::from(&**check)).collect(),
            tagged_addresses: service.tagged_addresses.iter().map(network).collect(),
            modify_index: service.modify_index.0,
        }
    }
}

impl v1::Node {
    /// A node with its own checks.
    #[must_use]
    pub fn new<'a>(node: &Node, checks: impl Iterator<Item = &'a Arc<Check>>) -> Self {
        let checks: Vec<&Arc<Check>> = checks.collect();
        let status = checks.iter().map(|check| check.status).max().unwrap_or(Status::Passing);
        let texts = |(key, value): (&SmolStr, &SmolStr)| (key.to_string(), value.to_string());
        Self {
            name: node.name.to_string(),
            id: node.id.map(|id| id.to_string()).unwrap_or_default(),
            address: node.address.to_string(),
            tagged_addresses: node.tagged_addresses.iter().map(texts).collect(),
            meta: node.meta.iter().map(texts).collect(),
            status: v1::Status::from(status).into(),
            checks: checks.into_iter().map(|check| v1::Check::from(&**check)).collect(),
            modify_index: node.modify_index.0,
        }
    }
}

impl From<Contact> for v1::Freshness {
    fn from(contact: Contact) -> Self {
        let last_contact_ms = u64::try_from(contact.last.as_millis()).unwrap_or(u64::MAX);
        Self { known_leader: contact.known_leader, last_contact_ms }
    }
}
