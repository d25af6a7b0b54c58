//! Answers of other datacenters, read back into rows of a state of their own: what DNS answers such questions from.
//!
//! Only what DNS tells is read. What an answer lacks is as if it were empty, whatever version has written it.

use std::collections::BTreeMap;

use serde::Deserialize;
use smol_str::SmolStr;

use crate::{
    catalog::State,
    command::{Command, QueryCommand, Registration},
    model::{Check, Index, Meta, Node, PreparedQuery, Service, ServiceAddress, ServiceQuery, Status, Time, Weights},
};

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NodeSeen {
    node: SmolStr,
    address: SmolStr,
    datacenter: SmolStr,
    tagged_addresses: Option<Meta>,
    meta: Option<Meta>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct WeightsSeen {
    passing: u32,
    warning: u32,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct AddressSeen {
    address: SmolStr,
    port: u16,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ServiceSeen {
    #[serde(rename = "ID")]
    id: SmolStr,
    service: SmolStr,
    tags: Option<Vec<SmolStr>>,
    address: SmolStr,
    port: u16,
    tagged_addresses: Option<BTreeMap<SmolStr, AddressSeen>>,
    meta: Option<Meta>,
    weights: Option<WeightsSeen>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct CheckSeen {
    #[serde(rename = "CheckID")]
    id: SmolStr,
    status: SmolStr,
    #[serde(rename = "ServiceID")]
    service_id: SmolStr,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct InstanceSeen {
    node: NodeSeen,
    service: Option<ServiceSeen>,
    checks: Option<Vec<CheckSeen>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct TtlSeen {
    #[serde(rename = "TTL")]
    ttl: SmolStr,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ExecutionSeen {
    service: SmolStr,
    nodes: Option<Vec<InstanceSeen>>,
    #[serde(rename = "DNS")]
    dns: TtlSeen,
    datacenter: SmolStr,
}

/// A state that holds what an answer has told, and the name of the datacenter that the rows are of; empty where there
/// are none.
pub struct Told {
    /// The rows.
    pub state: State,
    /// The datacenter.
    pub datacenter: SmolStr,
}

/// Reads an answer of `/v1/health/service/:name`.
///
/// # Errors
/// It is none.
pub fn instances(body: &[u8]) -> serde_json::Result<Told> {
    let rows: Option<Vec<InstanceSeen>> = serde_json::from_slice(body)?;
    Ok(told(rows.unwrap_or_default()))
}

/// Reads an answer of `/v1/catalog/node/:name`; null where there is no such node.
///
/// # Errors
/// It is none.
pub fn node(body: &[u8]) -> serde_json::Result<Told> {
    let row: Option<InstanceSeen> = serde_json::from_slice(body)?;
    Ok(told(row.into_iter().collect()))
}

/// Reads an answer of `/v1/query/:name/execute`: the state has a query of that name with just that answer.
///
/// # Errors
/// It is none.
pub fn execution(body: &[u8], name: &str) -> serde_json::Result<Told> {
    let seen: ExecutionSeen = serde_json::from_slice(body)?;
    let mut rows = seen.nodes.unwrap_or_default();
    // Who they are has been decided; some checks may not have counted.
    rows.iter_mut().for_each(|row| row.checks = None);
    let mut told = told(rows);
    let service = ServiceQuery { service: seen.service, ..ServiceQuery::default() };
    let query = PreparedQuery {
        id: uuid::Uuid::nil(),
        name: name.into(),
        service,
        dns_ttl: seen.dns.ttl,
        ..Default::default()
    };
    apply(&mut told.state, &Command::Query(QueryCommand::Create(Box::new(query))));
    Ok(Told { datacenter: seen.datacenter, ..told })
}

fn told(rows: Vec<InstanceSeen>) -> Told {
    let datacenter = rows.first().map(|row| row.node.datacenter.clone()).unwrap_or_default();
    let mut state = State::default();
    // So that a state without rows is one that somebody has told of.
    apply(&mut state, &Command::UpdateCoordinates(Vec::new()));
    for row in rows {
        apply(&mut state, &Command::Register(Box::new(row.into())));
    }
    Told { state, datacenter }
}

fn apply(state: &mut State, command: &Command) {
    let index = Index(state.index().0 + 1);
    state.apply(index, Time(0), command);
}

impl From<InstanceSeen> for Registration {
    fn from(seen: InstanceSeen) -> Self {
        let node = Node {
            name: seen.node.node.into(),
            address: seen.node.address,
            tagged_addresses: seen.node.tagged_addresses.unwrap_or_default(),
            meta: seen.node.meta.unwrap_or_default(),
            ..Node::default()
        };
        let checks = seen.checks.unwrap_or_default().into_iter().map(|check| Check {
            id: check.id.into(),
            status: Status::parse(&check.status).unwrap_or_default(),
            service_id: check.service_id.into(),
            ..Check::default()
        });
        Self { node, service: seen.service.map(Service::from), checks: checks.collect(), skip_node_update: false }
    }
}

impl From<ServiceSeen> for Service {
    fn from(seen: ServiceSeen) -> Self {
        let address = |(network, seen): (SmolStr, AddressSeen)| {
            (network, ServiceAddress { address: seen.address, port: seen.port })
        };
        let weights = seen.weights.map(|seen| Weights { passing: seen.passing, warning: seen.warning });
        Self {
            id: seen.id.into(),
            name: seen.service.into(),
            tags: seen.tags.unwrap_or_default(),
            address: seen.address,
            port: seen.port,
            meta: seen.meta.unwrap_or_default(),
            tagged_addresses: seen.tagged_addresses.unwrap_or_default().into_iter().map(address).collect(),
            weights: weights.unwrap_or_default(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalog::Instance, http::json::rows::InstanceRow};

    #[test]
    fn what_was_written_is_read_back() {
        let mut state = State::default();
        let service = Service {
            id: "web-1".into(),
            name: "web".into(),
            tags: vec!["a".into()],
            port: 80,
            weights: Weights { passing: 5, warning: 2 },
            ..Service::default()
        };
        let check = Check { id: "c".into(), service_id: "web-1".into(), status: Status::Warning, ..Check::default() };
        let meta: Meta = [("rack".into(), "r1".into())].into();
        let node = Node { name: "n".into(), address: "10.0.0.1".into(), meta, ..Node::default() };
        let checks = vec![check];
        apply(
            &mut state,
            &Command::Register(Box::new(Registration {
                node,
                service: Some(service),
                checks,
                skip_node_update: false,
            })),
        );
        let rows: Vec<InstanceRow<'_>> = state.instances("web").map(|row| InstanceRow::new(row, "dc2")).collect();
        let told = instances(&serde_json::to_vec(&rows).unwrap()).unwrap();
        let shown = |state: &State| {
            let show = |row: &Instance| {
                (row.node.name.clone(), row.node.meta.clone(), row.service.weights, row.checks[0].status)
            };
            state.instances("web").map(|row| show(row)).collect::<Vec<_>>()
        };
        assert_eq!((shown(&told.state), told.datacenter.as_str()), (shown(&state), "dc2"));
    }

    #[test]
    fn what_says_little_is_empty_and_what_is_no_answer_is_refused() {
        for body in ["[]", "null"] {
            let told = instances(body.as_bytes()).unwrap();
            assert!(told.state.index() > Index(0) && told.state.nodes().next().is_none());
        }
        assert!(node(b"null").unwrap().state.nodes().next().is_none());
        let told = execution(br#"{"Service": "web", "Nodes": null, "Datacenter": "dc3"}"#, "q").unwrap();
        assert!(told.state.find_query("q").unwrap().is_some());
        assert_eq!(told.datacenter, "dc3");
        assert!(instances(b"No path").is_err() && node(b"[").is_err() && execution(b"7", "q").is_err());
    }
}
