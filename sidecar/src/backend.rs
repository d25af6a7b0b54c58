//! A sidecar's backend: everything goes to the leader, by way of any server that knows who it is.
//!
//! The finding of the leader, holding and trying again are those of `lictor_shared::forward`; here is only whom a
//! sidecar knows. Lookups never come here.

use std::{net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use lictor_proto::client::Client;
use lictor_shared::{
    acl::Credential,
    backend::{Archive, Consistency, Contact, Fetch, Fetched, Pieces, ServersChange, ServersReport},
    command::{Command, Written},
    forward::{AskError, Servers},
    model::Index,
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{Connect, contact::ServerContact};

/// The servers as a sidecar knows them: alive by gossip, and as the followed one says.
pub struct KnownServers {
    alive: watch::Receiver<Vec<SocketAddr>>,
    contact: Arc<ServerContact>,
    client: Client,
    /// Connections of their own: requests that wait long must not take the places of writes.
    fetches: Client,
}

impl KnownServers {
    /// Servers whose RPC addresses are in `alive`, asked by what `client` makes.
    #[must_use]
    pub fn new(alive: watch::Receiver<Vec<SocketAddr>>, contact: Arc<ServerContact>, connect: &Connect) -> Self {
        Self { alive, contact, client: connect(), fetches: connect() }
    }
}

#[async_trait]
impl Servers for KnownServers {
    fn leader(&self) -> Option<String> {
        self.contact.leader()
    }

    fn to_ask(&self) -> Vec<String> {
        self.alive.borrow().iter().map(ToString::to_string).collect()
    }

    fn peers(&self) -> Vec<String> {
        let heard = self.contact.peers();
        if heard.is_empty() { self.to_ask() } else { heard }
    }

    fn contact(&self) -> Contact {
        self.contact.contact()
    }

    async fn write(&self, server: &str, command: &Command, by: &Credential) -> Result<Written, AskError> {
        self.client.write(server, command, by).await
    }

    async fn barrier(&self, server: &str, consistency: Consistency) -> Result<Index, AskError> {
        self.client.barrier(server, consistency).await
    }

    async fn servers(&self, server: &str, any_server: bool, by: &Credential) -> Result<ServersReport, AskError> {
        self.client.servers(server, any_server, by).await
    }

    async fn fetch(&self, server: &str, fetch: &Fetch) -> Result<Fetched, AskError> {
        self.fetches.fetch(server, fetch).await
    }

    async fn renew(&self, server: &str, session: Uuid, by: &Credential) -> Result<bool, AskError> {
        self.client.renew(server, session, by).await
    }

    async fn save_archive(&self, server: &str, any_server: bool, by: &Credential) -> Result<Archive, AskError> {
        self.fetches.save_archive(server, any_server, by).await
    }

    async fn restore_archive(&self, server: &str, pieces: Pieces, by: &Credential) -> Result<Index, AskError> {
        self.fetches.restore_archive(server, pieces, by).await
    }

    async fn change_servers(&self, server: &str, change: &ServersChange, by: &Credential) -> Result<(), AskError> {
        self.client.change_servers(server, change, by).await
    }
}
