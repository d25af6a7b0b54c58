//! A backend that counts and times what is asked of another, and makes it part of its request's trace.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::table::{BARRIER_SECONDS, BARRIERS, WRITE_SECONDS, WRITES};
use crate::{
    acl::Credential,
    backend::{
        Archive, Backend, BackendError, Consistency, Contact, Fetch, Fetched, Pieces, ServersChange, ServersReport,
    },
    command::{Command, Written},
    model::Index,
    traces::{Kind, Span},
};

/// Passes everything on, and counts it.
pub struct Measured(pub Arc<dyn Backend>);

#[async_trait]
impl Backend for Measured {
    async fn write(&self, command: Command, by: &Credential) -> Result<Written, BackendError> {
        let timer = WRITE_SECONDS.time();
        let mut span = Span::inside(Kind::Internal, "write");
        let written = span.around(self.0.write(command, by)).await;
        span.note(&written);
        drop(timer);
        WRITES.count(usize::from(written.is_err()));
        written
    }

    async fn barrier(&self, consistency: Consistency) -> Result<Index, BackendError> {
        let timer = BARRIER_SECONDS.time();
        let mut span = Span::inside(Kind::Internal, "barrier");
        let index = span.around(self.0.barrier(consistency)).await;
        span.note(&index);
        drop(timer);
        BARRIERS.count(usize::from(index.is_err()));
        index
    }

    async fn servers(&self, any_server: bool, by: &Credential) -> Result<ServersReport, BackendError> {
        self.0.servers(any_server, by).await
    }

    async fn fetch(&self, fetch: Fetch) -> Result<Fetched, BackendError> {
        self.0.fetch(fetch).await
    }

    async fn renew(&self, session: Uuid, by: &Credential) -> Result<bool, BackendError> {
        self.0.renew(session, by).await
    }

    async fn save_archive(&self, any_server: bool, by: &Credential) -> Result<Archive, BackendError> {
        self.0.save_archive(any_server, by).await
    }

    async fn restore_archive(&self, pieces: Pieces, by: &Credential) -> Result<Index, BackendError> {
        self.0.restore_archive(pieces, by).await
    }

    async fn change_servers(&self, change: ServersChange, by: &Credential) -> Result<(), BackendError> {
        self.0.change_servers(change, by).await
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
