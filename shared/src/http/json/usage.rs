//! How much is registered, in the form of `/operator/usage`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    catalog::State,
    model::{Index, SERVER_SERVICE},
};

/// The kinds of Connect's services, of which there are never any here.
const CONNECT_KINDS: [&str; 5] =
    ["connect-native", "connect-proxy", "ingress-gateway", "mesh-gateway", "terminating-gateway"];

/// The answer of `/operator/usage`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct UsageRow<'a> {
    usage: BTreeMap<&'a str, DatacenterUsage>,
    index: u64,
    /// In nanoseconds.
    last_contact: u64,
    known_leader: bool,
    consistency_level: &'static str,
    not_modified: bool,
    backend: u8,
    #[serde(rename = "ResultsFilteredByACLs")]
    results_filtered_by_acls: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DatacenterUsage {
    services: usize,
    service_instances: usize,
    connect_service_instances: BTreeMap<&'static str, usize>,
    /// Those that are not the servers' own.
    billable_service_instances: usize,
    nodes: usize,
}

impl<'a> UsageRow<'a> {
    /// The row of one datacenter, answered at `index`.
    #[must_use]
    pub fn new(datacenter: &'a str, state: &State, index: Index, known_leader: bool, level: &'static str) -> Self {
        let service_instances = state.services().map(|service| service.instances).sum::<usize>();
        let own = state.service(SERVER_SERVICE).map_or(0, |servers| servers.instances);
        let usage = DatacenterUsage {
            services: state.services().count(),
            service_instances,
            connect_service_instances: CONNECT_KINDS.map(|kind| (kind, 0)).into(),
            billable_service_instances: service_instances - own,
            nodes: state.nodes().count(),
        };
        Self {
            usage: [(datacenter, usage)].into(),
            index: index.0.max(1),
            last_contact: 0,
            known_leader,
            consistency_level: level,
            not_modified: false,
            backend: 0,
            results_filtered_by_acls: false,
        }
    }
}
