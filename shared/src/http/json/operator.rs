//! The set of servers and how it is looked after.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::parse;
use super::time::moment;
use crate::{
    agent::{
        definition::{Fields, Strictness},
        duration,
    },
    backend::{ServerReport, ServersReport},
    catalog::State,
    gossip::{Member, MemberStatus},
    http::Failure,
    model::{Autopilot, Index, Meta},
    node::tags,
};

/// Of Raft, as Consul numbers it.
const PROTOCOL_VERSION: &str = "3";

/// The answer of `/operator/raft/configuration`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RaftConfigurationRow<'a> {
    servers: Vec<RaftServerRow<'a>>,
    index: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RaftServerRow<'a> {
    #[serde(rename = "ID")]
    id: String,
    node: &'a str,
    address: &'a str,
    leader: bool,
    protocol_version: &'static str,
    voter: bool,
}

impl<'a> RaftConfigurationRow<'a> {
    /// The row of a set of servers.
    #[must_use]
    pub fn new(report: &'a ServersReport) -> Self {
        let row = |server: &'a ServerReport| RaftServerRow {
            id: server.node_id.to_string(),
            node: &server.name,
            address: &server.address,
            leader: server.leader,
            protocol_version: PROTOCOL_VERSION,
            voter: server.voter,
        };
        Self { servers: report.servers.iter().map(row).collect(), index: 0 }
    }
}

/// The autopilot configuration.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AutopilotRow<'a> {
    cleanup_dead_servers: bool,
    last_contact_threshold: String,
    max_trailing_logs: u64,
    min_quorum: u32,
    server_stabilization_time: String,
    redundancy_zone_tag: &'a str,
    disable_upgrade_migration: bool,
    upgrade_version_tag: &'a str,
    create_index: u64,
    modify_index: u64,
}

impl<'a> AutopilotRow<'a> {
    /// Its row.
    #[must_use]
    pub fn new(autopilot: &'a Autopilot) -> Self {
        Self {
            cleanup_dead_servers: autopilot.cleanup_dead_servers,
            last_contact_threshold: duration::show(autopilot.last_contact_threshold),
            max_trailing_logs: autopilot.max_trailing_logs,
            min_quorum: autopilot.min_quorum,
            server_stabilization_time: duration::show(autopilot.server_stabilization_time),
            redundancy_zone_tag: &autopilot.redundancy_zone_tag,
            disable_upgrade_migration: autopilot.disable_upgrade_migration,
            upgrade_version_tag: &autopilot.upgrade_version_tag,
            create_index: autopilot.create_index.0,
            modify_index: autopilot.modify_index.0,
        }
    }
}

/// Reads an autopilot configuration; what it leaves out is zero, as in Consul.
///
/// # Errors
/// 400 where it cannot be read.
pub fn autopilot(body: &[u8]) -> Result<Autopilot, Failure> {
    let body = parse(body)?;
    let mut fields = Fields::of(&body, Strictness::Body)?;
    Ok(Autopilot {
        cleanup_dead_servers: fields.flag("cleanupdeadservers")?,
        last_contact_threshold: fields.duration("lastcontactthreshold")?,
        max_trailing_logs: fields.number("maxtrailinglogs")?.unwrap_or(0),
        min_quorum: fields.number("minquorum")?.unwrap_or(0),
        server_stabilization_time: fields.duration("serverstabilizationtime")?,
        redundancy_zone_tag: fields.text("redundancyzonetag")?,
        disable_upgrade_migration: fields.flag("disableupgrademigration")?,
        upgrade_version_tag: fields.text("upgradeversiontag")?,
        create_index: Index(0),
        modify_index: Index(0),
    })
}

/// The answer of `/operator/autopilot/health`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HealthRow<'a> {
    /// Whether every server is healthy.
    pub healthy: bool,
    failure_tolerance: usize,
    servers: Vec<ServerHealthRow<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ServerHealthRow<'a> {
    #[serde(rename = "ID")]
    id: String,
    name: &'a str,
    address: &'a str,
    serf_status: &'static str,
    version: &'a str,
    leader: bool,
    last_contact: String,
    last_term: u64,
    last_index: u64,
    healthy: bool,
    voter: bool,
    stable_since: String,
}

impl<'a> HealthRow<'a> {
    /// The row of a set of servers, of which the pool knows `members`.
    #[must_use]
    pub fn new(report: &'a ServersReport, members: &'a [Member], autopilot: &Autopilot) -> Self {
        let leader_term = report.servers.iter().find(|server| server.leader).map_or(0, |leader| leader.last_term);
        let row = |server: &'a ServerReport| {
            let member = members.iter().find(|member| tags::id(member) == Some(server.node_id));
            let status = member.map(|member| member.status);
            let answers = server.last_contact.is_some_and(|contact| contact <= autopilot.last_contact_threshold);
            let follows = server.last_term == leader_term
                && server.last_index.0.saturating_add(autopilot.max_trailing_logs) >= report.last_index.0;
            ServerHealthRow {
                id: server.node_id.to_string(),
                name: &server.name,
                address: &server.address,
                serf_status: status.map_or("none", MemberStatus::as_str),
                version: member.map_or("", tags::version),
                leader: server.leader,
                last_contact: duration::show(server.last_contact.unwrap_or(Duration::ZERO)),
                last_term: server.last_term,
                last_index: server.last_index.0,
                healthy: status == Some(MemberStatus::Alive) && (server.leader || answers && follows),
                voter: server.voter,
                stable_since: moment(server.stable_since),
            }
        };
        let servers: Vec<_> = report.servers.iter().map(row).collect();
        let voters = servers.iter().filter(|server| server.voter);
        let healthy_voters = voters.clone().filter(|server| server.healthy).count();
        let quorum = voters.count() / 2 + 1;
        Self {
            healthy: servers.iter().all(|server| server.healthy),
            failure_tolerance: healthy_voters.saturating_sub(quorum),
            servers,
        }
    }
}

/// The answer of `/operator/autopilot/state`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct StateRow<'a> {
    healthy: bool,
    failure_tolerance: usize,
    optimistic_failure_tolerance: usize,
    servers: BTreeMap<&'a str, ServerStateRow<'a>>,
    leader: &'a str,
    voters: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ServerStateRow<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    name: &'a str,
    address: &'a str,
    node_status: &'static str,
    version: &'a str,
    last_contact: &'a str,
    last_term: u64,
    last_index: u64,
    healthy: bool,
    stable_since: &'a str,
    read_replica: bool,
    status: &'static str,
    meta: Option<&'a Meta>,
    node_type: &'static str,
}

impl<'a> StateRow<'a> {
    /// The row of servers whose health is known; `state` has their nodes' meta.
    #[must_use]
    pub fn new(health: &'a HealthRow<'a>, report: &ServersReport, state: &'a State) -> Self {
        let row = |server: &'a ServerHealthRow<'a>, node_id| ServerStateRow {
            id: &server.id,
            name: server.name,
            address: server.address,
            node_status: server.serf_status,
            version: server.version,
            last_contact: &server.last_contact,
            last_term: server.last_term,
            last_index: server.last_index,
            healthy: server.healthy,
            stable_since: &server.stable_since,
            read_replica: false,
            status: match (server.leader, server.voter) {
                (true, _) => "leader",
                (false, true) => "voter",
                (false, false) => "non-voter",
            },
            meta: state.node_by_id(node_id).map(|node| &node.meta),
            node_type: "voter",
        };
        let rows = health.servers.iter().zip(&report.servers);
        Self {
            healthy: health.healthy,
            failure_tolerance: health.failure_tolerance,
            optimistic_failure_tolerance: health.failure_tolerance,
            servers: rows.map(|(server, found)| (server.id.as_str(), row(server, found.node_id))).collect(),
            leader: health.servers.iter().find(|server| server.leader).map_or("", |leader| &leader.id),
            voters: health.servers.iter().filter(|server| server.voter).map(|server| server.id.as_str()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_contact_log_and_membership() {
        let server = |id: u128, contact_ms: Option<u64>, last_index: u64| ServerReport {
            node_id: uuid::Uuid::from_u128(id),
            voter: true,
            leader: id == 1,
            last_contact: contact_ms.map(Duration::from_millis),
            last_term: 2,
            last_index: Index(last_index),
            ..ServerReport::default()
        };
        let member = |id: u128| Member {
            name: format!("n{id}"),
            address: ([127, 0, 0, 1], 8301).into(),
            tags: [("id".to_string(), uuid::Uuid::from_u128(id).to_string())].into(),
            status: MemberStatus::Alive,
            incarnation: 1,
        };
        let members = [member(1), member(2), member(3)];
        for (second, third, healthy, tolerance) in [
            (server(2, Some(90), 1000), server(3, Some(90), 800), [true, true], 1),
            (server(2, Some(300), 1000), server(3, Some(90), 1000), [false, true], 0),
            (server(2, Some(90), 700), server(3, None, 1000), [false, false], 0),
            (server(2, Some(90), 1000), server(4, Some(90), 1000), [true, false], 0),
        ] {
            let servers = vec![server(1, Some(0), 1000), second, third];
            let report = ServersReport { servers, last_index: Index(1000) };
            let row = HealthRow::new(&report, &members, &Autopilot::default());
            assert_eq!([row.servers[1].healthy, row.servers[2].healthy], healthy);
            assert_eq!((row.healthy, row.failure_tolerance), (healthy == [true, true], tolerance));
            let state = State::default();
            let whole = serde_json::to_value(StateRow::new(&row, &report, &state)).unwrap();
            let (first, leader) = (uuid::Uuid::from_u128(1).to_string(), &whole["Leader"]);
            assert_eq!((leader.as_str(), whole["Voters"].as_array().unwrap().len()), (Some(first.as_str()), 3));
            assert_eq!(whole["Servers"][&first]["Status"], "leader");
            let second = &whole["Servers"][report.servers[1].node_id.to_string()];
            assert_eq!((&second["Status"], second["Healthy"].as_bool()), (&"voter".into(), Some(healthy[0])));
        }
    }
}
