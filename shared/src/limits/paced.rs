//! A backend that asks another no oftener than `limits.rpc_rate` allows: so one node whose applications ask without
//! measure does not take the servers from all others.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use uuid::Uuid;

use super::{Pace, Rate};
use crate::{
    acl::Credential,
    backend::{
        Archive, Backend, BackendError, Consistency, Contact, Fetch, Fetched, Pieces, ServersChange, ServersReport,
    },
    command::{Command, Written},
    model::Index,
};

/// Passes on what comes in its time, and refuses the rest at once.
pub struct Paced {
    backend: Arc<dyn Backend>,
    pace: Pace,
}

impl Paced {
    /// Asks `backend`.
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>, rate: Rate) -> Self {
        Self { backend, pace: Pace::new(rate) }
    }

    fn take(&self) -> Result<(), BackendError> {
        self.pace.take(Instant::now()).map_err(|_| BackendError::RateExceeded)
    }
}

#[async_trait]
impl Backend for Paced {
    async fn write(&self, command: Command, by: &Credential) -> Result<Written, BackendError> {
        self.take()?;
        self.backend.write(command, by).await
    }

    async fn barrier(&self, consistency: Consistency) -> Result<Index, BackendError> {
        self.take()?;
        self.backend.barrier(consistency).await
    }

    async fn servers(&self, any_server: bool, by: &Credential) -> Result<ServersReport, BackendError> {
        self.take()?;
        self.backend.servers(any_server, by).await
    }

    async fn fetch(&self, fetch: Fetch) -> Result<Fetched, BackendError> {
        self.take()?;
        self.backend.fetch(fetch).await
    }

    async fn renew(&self, session: Uuid, by: &Credential) -> Result<bool, BackendError> {
        self.take()?;
        self.backend.renew(session, by).await
    }

    async fn save_archive(&self, any_server: bool, by: &Credential) -> Result<Archive, BackendError> {
        self.take()?;
        self.backend.save_archive(any_server, by).await
    }

    async fn restore_archive(&self, pieces: Pieces, by: &Credential) -> Result<Index, BackendError> {
        self.take()?;
        self.backend.restore_archive(pieces, by).await
    }

    async fn change_servers(&self, change: ServersChange, by: &Credential) -> Result<(), BackendError> {
        self.take()?;
        self.backend.change_servers(change, by).await
    }

    fn contact(&self) -> Contact {
        self.backend.contact()
    }

    fn leader(&self) -> Option<String> {
        self.backend.leader()
    }

    fn peers(&self) -> Vec<String> {
        self.backend.peers()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::fake::Fake;

    #[tokio::test]
    async fn what_is_too_often_is_refused_at_once() {
        let paced = Paced::new(Fake::new(), Rate::per_second(0.001, 2).unwrap());
        assert!(
            paced.barrier(Consistency::Leader).await.is_ok() && paced.servers(false, &Credential::none()).await.is_ok()
        );
        assert_eq!(paced.barrier(Consistency::Leader).await, Err(BackendError::RateExceeded));
        assert!(paced.contact().known_leader, "what asks nobody goes on");
    }
}
