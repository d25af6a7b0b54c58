//! A backend that counts and times what is asked of another.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::table::{BARRIER_SECONDS, BARRIERS, WRITE_SECONDS, WRITES};
use crate::{
    backend::{
        Archive, Backend, BackendError, Consistency, Contact, Fetch, Fetched, Pieces, ServersChange, ServersReport,
    },
    command::{Command, Written},
    model::Index,
};

/// Passes everything on, and counts it.
pub struct Measured(pub Arc<dyn Backend>);

#[async_trait]
impl Backend for Measured {
    async fn write(&self, command: Command) -> Result<Written, BackendError> {
        let timer = WRITE_SECONDS.time();
        let written = self.0.write(command).await;
        drop(timer);
        WRITES.count(usize::from(written.is_err()));
        written
    }

    async fn barrier(&self, consistency: Consistency) -> Result<Index, BackendError> {
        let timer = BARRIER_SECONDS.time();
        let index = self.0.barrier(consistency).await;
        drop(timer);
        BARRIERS.count(usize::from(index.is_err()));
        index
    }

    async fn servers(&self) -> Result<ServersReport, BackendError> {
        self.0.servers().await
    }

    async fn fetch(&self, fetch: Fetch) -> Result<Fetched, BackendError> {
        self.0.fetch(fetch).await
    }

    async fn renew(&self, session: Uuid) -> Result<bool, BackendError> {
        self.0.renew(session).await
    }

    async fn save_archive(&self, any_server: bool) -> Result<Archive, BackendError> {
        self.0.save_archive(any_server).await
    }

    async fn restore_archive(&self, pieces: Pieces) -> Result<Index, BackendError> {
        self.0.restore_archive(pieces).await
    }

    async fn change_servers(&self, change: ServersChange) -> Result<(), BackendError> {
        self.0.change_servers(change).await
    }

    fn contact(&self) -> Contact {
        self.0.contact()
    }

    fn leader(&self) -> Option<String> {
        self.0.leader()
    }

    fn peers(&self) -> Vec<String> {
        self.0.peers()
    }
}
