//! What the leader knows of the servers.

use std::time::Duration;

use bytes::Bytes;
use lictor_shared::{
    backend::{ServerName, ServerReport, ServersChange, ServersReport},
    model::{Index, Time},
};
use uuid::Uuid;

use super::{DecodeError, required};
use crate::internal::{self, change_servers_request::Change};

impl From<&ServersReport> for internal::ServersReport {
    fn from(report: &ServersReport) -> Self {
        Self { servers: report.servers.iter().map(Into::into).collect(), last_index: report.last_index.0 }
    }
}

impl TryFrom<internal::ServersReport> for ServersReport {
    type Error = DecodeError;

    fn try_from(report: internal::ServersReport) -> Result<Self, DecodeError> {
        let servers = report.servers.into_iter().map(ServerReport::try_from).collect::<Result<_, DecodeError>>()?;
        Ok(Self { servers, last_index: Index(report.last_index) })
    }
}

impl From<&ServerReport> for internal::ServerReport {
    fn from(server: &ServerReport) -> Self {
        let milliseconds = |contact: Duration| u64::try_from(contact.as_millis()).unwrap_or(u64::MAX);
        Self {
            name: server.name.to_string(),
            node_id: Bytes::copy_from_slice(server.node_id.as_bytes()),
            address: server.address.clone(),
            voter: server.voter,
            leader: server.leader,
            last_contact_ms: server.last_contact.map(milliseconds),
            last_term: server.last_term,
            last_index: server.last_index.0,
            stable_since_ms: server.stable_since.0,
        }
    }
}

impl TryFrom<internal::ServerReport> for ServerReport {
    type Error = DecodeError;

    fn try_from(server: internal::ServerReport) -> Result<Self, DecodeError> {
        let node_id = Uuid::from_slice(&server.node_id)
            .map_err(|_| DecodeError::IdLength { field: "ServerReport.node_id", length: server.node_id.len() })?;
        Ok(Self {
            name: server.name.into(),
            node_id,
            address: server.address,
            voter: server.voter,
            leader: server.leader,
            last_contact: server.last_contact_ms.map(Duration::from_millis),
            last_term: server.last_term,
            last_index: Index(server.last_index),
            stable_since: Time(server.stable_since_ms),
        })
    }
}

impl From<&ServersChange> for internal::ChangeServersRequest {
    fn from(change: &ServersChange) -> Self {
        let change = match change {
            ServersChange::TransferLeader(None) => Change::TransferLeader(internal::ServerName::default()),
            ServersChange::TransferLeader(Some(to)) => Change::TransferLeader(to.into()),
            ServersChange::Remove(server) => Change::Remove(server.into()),
        };
        Self { change: Some(change) }
    }
}

impl TryFrom<internal::ChangeServersRequest> for ServersChange {
    type Error = DecodeError;

    fn try_from(request: internal::ChangeServersRequest) -> Result<Self, DecodeError> {
        Ok(match required(request.change, "ChangeServersRequest.change")? {
            Change::TransferLeader(to) => Self::TransferLeader(name(to)),
            Change::Remove(server) => Self::Remove(required(name(server), "ChangeServersRequest.remove")?),
        })
    }
}

impl From<&ServerName> for internal::ServerName {
    fn from(name: &ServerName) -> Self {
        match name {
            ServerName::Id(id) => Self { id: id.clone(), address: String::new() },
            ServerName::Address(address) => Self { id: String::new(), address: address.clone() },
        }
    }
}

fn name(name: internal::ServerName) -> Option<ServerName> {
    match (name.id.is_empty(), name.address.is_empty()) {
        (false, _) => Some(ServerName::Id(name.id)),
        (true, false) => Some(ServerName::Address(name.address)),
        (true, true) => None,
    }
}
