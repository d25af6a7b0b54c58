//! Maintenance mode: a service, or the whole node, taken out of the answers by hand.
//!
//! It is a critical check like any other, which nothing runs and only its end removes; being a row of the registry it
//! outlives a restart of the agent. Its ID, name and type are Consul's, since clients know it by them.

use smol_str::{SmolStr, format_smolstr};
use tokio::time::Instant;

use super::{
    Agent, AgentError,
    local::{LOCAL_ROWS_MAX, Local},
};
use crate::model::{Check, CheckId, Origin, Service, ServiceId, Status};

const NODE_CHECK: &str = "_node_maintenance";
const SERVICE_CHECK_PREFIX: &str = "_service_maintenance:";
const KIND: &str = "maintenance";
const NO_REASON_SERVICE: &str = "This service was put in maintenance mode; no reason was given.";
const NO_REASON_NODE: &str = "This node was put in maintenance mode; no reason was given.";

impl Agent {
    /// Puts a service into maintenance mode for a reason (empty: a sentence that says there is none), or ends it, and
    /// waits (at most a second) until the registry knows. In a mode that it is in already, nothing changes: the first
    /// reason stays.
    ///
    /// # Errors
    /// When no service of that ID is registered here, or the table is full.
    pub async fn set_service_maintenance(&self, id: &ServiceId, reason: Option<&str>) -> Result<(), AgentError> {
        let service = self.service(id).ok_or_else(|| AgentError::NoService(id.clone()))?;
        let row = Check {
            id: CheckId(format_smolstr!("{SERVICE_CHECK_PREFIX}{}", service.id)),
            name: "Service Maintenance Mode".into(),
            notes: notes(reason, NO_REASON_SERVICE),
            service_id: service.id.clone(),
            service_name: service.name.clone(),
            ..Check::default()
        };
        self.set_maintenance(row, Some(&service), reason.is_some()).await
    }

    /// The same for the whole node: none of its services is healthy meanwhile.
    ///
    /// # Errors
    /// When the table is full.
    pub async fn set_node_maintenance(&self, reason: Option<&str>) -> Result<(), AgentError> {
        let row = Check {
            id: NODE_CHECK.into(),
            name: "Node Maintenance Mode".into(),
            notes: notes(reason, NO_REASON_NODE),
            ..Check::default()
        };
        self.set_maintenance(row, None, reason.is_some()).await
    }

    async fn set_maintenance(&self, row: Check, about: Option<&Service>, on: bool) -> Result<(), AgentError> {
        let (id, group) = (row.id.clone(), row.service_id.key());
        if on {
            self.change(|local| local.enter_maintenance(row, about, Instant::now()))?;
            self.settled(&group).await;
        } else {
            self.deregister_check(&id).await?;
        }
        tracing::info!(service = about.map(|service| service.id.as_str()), on, "maintenance mode");
        Ok(())
    }
}

/// Whether a check is one of these: known by its ID, as to Consul's clients.
#[must_use]
pub fn is_maintenance(check: &Check) -> bool {
    &*check.id == NODE_CHECK || check.id.starts_with(SERVICE_CHECK_PREFIX)
}

fn notes(reason: Option<&str>, none: &'static str) -> SmolStr {
    reason.filter(|reason| !reason.is_empty()).unwrap_or(none).into()
}

impl Local {
    fn enter_maintenance(&mut self, row: Check, about: Option<&Service>, now: Instant) -> Result<(), AgentError> {
        if let Some(service) = about.filter(|service| !self.services.contains_key(&service.id.key())) {
            return Err(AgentError::NoService(service.id.clone()));
        }
        if self.checks.contains_key(&row.id.key()) {
            return Ok(());
        }
        if self.checks.len() >= LOCAL_ROWS_MAX {
            return Err(AgentError::TooMany(LOCAL_ROWS_MAX));
        }
        let node = self.node.name.clone();
        let row = Check { node, kind: KIND.into(), status: Status::Critical, origin: Origin::Agent, ..row };
        self.put_told(row, now);
        Ok(())
    }
}
