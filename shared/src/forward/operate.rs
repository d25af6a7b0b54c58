//! What operators ask of the servers: who they are, to save the registry, to restore it, to change who they are.
//!
//! A file on its way in cannot be sent twice, and a change of the servers may be done although its answer is lost: so
//! the leader is found first, and then asked once.

use std::time::Duration;

use tokio::time::timeout;

use super::{AskError, Route, Servers};
use crate::{
    acl::Credential,
    backend::{Archive, BackendError, Consistency, Pieces, ServersChange, ServersReport},
    model::Index,
};

/// How long the caller of a restore is kept until the node's own view shows it.
pub(super) const REACH_LIMIT: Duration = Duration::from_secs(30);
/// How long a change of the servers may take: a leader waits for an election, or for a majority to agree.
const CHANGE_LIMIT: Duration = Duration::from_secs(30);

impl<S: Servers> Route<S> {
    pub(super) async fn servers(&self, any_server: bool, by: &Credential) -> Result<ServersReport, BackendError> {
        self.ask_one(any_server, |server| async move { self.servers.servers(&server, any_server, by).await }).await
    }

    pub(super) async fn save_archive(&self, any_server: bool, by: &Credential) -> Result<Archive, BackendError> {
        self.ask_one(any_server, |server| async move { self.servers.save_archive(&server, any_server, by).await }).await
    }

    pub(super) async fn restore_archive(&self, pieces: Pieces, by: &Credential) -> Result<Index, BackendError> {
        let leader = self.find_leader().await?;
        self.servers.restore_archive(&leader, pieces, by).await.map_err(|error| match error {
            AskError::Unknown(reason) => BackendError::Refused(format!("the restore may or may not happen: {reason}")),
            error => refused(error),
        })
    }

    pub(super) async fn change_servers(&self, change: &ServersChange, by: &Credential) -> Result<(), BackendError> {
        let leader = self.find_leader().await?;
        match timeout(CHANGE_LIMIT, self.servers.change_servers(&leader, change, by)).await {
            Ok(changed) => changed.map_err(refused),
            Err(_) => Err(BackendError::TimedOut(CHANGE_LIMIT)),
        }
    }

    async fn find_leader(&self) -> Result<String, BackendError> {
        let leads = |server: String| async move {
            self.servers.barrier(&server, Consistency::Quorum).await?;
            Ok(server)
        };
        self.ask(leads).await
    }
}

fn refused(error: AskError) -> BackendError {
    match error {
        AskError::NotLeader { .. } => BackendError::NoLeader,
        AskError::Rejected(reason) => BackendError::Refused(reason),
        AskError::Denied(reason) => BackendError::Denied(reason),
        AskError::Unsent(reason) | AskError::Unknown(reason) => BackendError::Failed(reason),
    }
}
