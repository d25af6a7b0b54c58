//! A server's backend: proposes here while it leads, else forwards to the server that does.
//!
//! The finding of the leader, holding and trying again are those of `lictor_shared::forward`; here is only whom a
//! server knows and that asking oneself needs no network.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use lictor_proto::client::Client;
use lictor_shared::{
    acl::{Authority, Credential, Denial, Level, Resource},
    backend::{Archive, Consistency, Contact, Fetch, Fetched, Pieces, ServersChange, ServersReport},
    command::{Command, SessionCommand, Written},
    datacenters::{Ask, Datacenters},
    forward::{AskError, Forward, Servers},
    model::Index,
    tasks::Tasks,
    tls::Tls,
    view::Reader,
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{archive::Archives, consensus::Consensus, leader::sessions::SessionTimers};

/// A server's way to the leader.
pub type ServerBackend = Forward<FellowServers>;

/// What a server asks of itself.
pub struct Own {
    /// Its Raft node.
    pub consensus: Arc<dyn Consensus>,
    /// The deadlines of sessions.
    pub sessions: Arc<SessionTimers>,
    /// Saves and restores the registry.
    pub archives: Arc<Archives>,
    /// Its RPC address, `ip:port`, as the others know it.
    pub address: String,
    /// Its way to other datacenters.
    pub datacenters: Datacenters,
    /// Who decides here.
    pub authority: Arc<Authority>,
}

/// The backend of a server whose view `reader` sees, and that asks the others by `client`.
#[must_use]
pub fn server_backend(own: Own, client: Client, reader: Reader, tasks: &Tasks) -> ServerBackend {
    Forward::new(FellowServers { own, client, started: Instant::now() }, reader, tasks)
}

/// Asks servers of other datacenters, over connections of their own.
pub struct FarServers {
    tls: Arc<Tls>,
    /// By the lower-case names of datacenters, of which there are as many as the WAN pool knows.
    clients: Mutex<HashMap<String, Arc<Client>>>,
}

impl FarServers {
    /// Asks by TLS where this node is to.
    #[must_use]
    pub fn new(tls: Arc<Tls>) -> Self {
        Self { tls, clients: Mutex::default() }
    }

    /// Servers of one datacenter have the names of that.
    fn client(&self, datacenter: &str) -> Arc<Client> {
        let name = datacenter.to_lowercase();
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let made = |name: &String| Arc::new(Client::secured(self.tls.clone(), name));
        clients.entry(name).or_insert_with_key(made).clone()
    }
}

#[async_trait]
impl Ask for FarServers {
    async fn fetch(&self, server: &str, fetch: &Fetch) -> Result<Fetched, AskError> {
        self.client(&fetch.datacenter).fetch(server, fetch).await
    }

    async fn is_there(&self, server: &str, datacenter: &str) -> bool {
        // Whether it leads or not is no matter: it has said something.
        match self.client(datacenter).servers(server, false, &Credential::none()).await {
            Ok(_) | Err(AskError::NotLeader { .. } | AskError::Rejected(_) | AskError::Denied(_)) => true,
            Err(AskError::Unsent(_) | AskError::Unknown(_)) => false,
        }
    }
}

/// The servers as one of them knows them.
pub struct FellowServers {
    own: Own,
    client: Client,
    started: Instant,
}

impl FellowServers {
    fn require(&self, by: &Credential, resource: Resource, level: Level) -> Result<(), AskError> {
        self.own.authority.require(by, resource, level, "").map_err(denied)
    }

    fn is_own(&self, server: &str) -> bool {
        server == self.own.address
    }
}

#[allow(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn denied(denial: Denial) -> AskError {
    AskError::Denied(denial.to_string())
}

#[async_trait]
impl Servers for FellowServers {
    fn leader(&self) -> Option<String> {
        self.own.consensus.leader()
    }

    /// Only itself: no other server knows more of the leader than what Raft tells this one.
    fn to_ask(&self) -> Vec<String> {
        vec![self.own.address.clone()]
    }

    fn peers(&self) -> Vec<String> {
        self.own.consensus.servers()
    }

    fn contact(&self) -> Contact {
        let (known_leader, last) = self.own.consensus.contact();
        Contact { known_leader, last: last.unwrap_or_else(|| self.started.elapsed()) }
    }

    async fn write(&self, server: &str, command: &Command, by: &Credential) -> Result<Written, AskError> {
        if self.is_own(server) {
            self.own.authority.authorize(by, command).map_err(denied)?;
            return self.own.consensus.propose(command.clone()).await;
        }
        self.client.write(server, command, by).await
    }

    async fn barrier(&self, server: &str, consistency: Consistency) -> Result<Index, AskError> {
        if self.is_own(server) {
            return self.own.consensus.read_index(consistency).await;
        }
        self.client.barrier(server, consistency).await
    }

    async fn servers(&self, server: &str, any_server: bool, by: &Credential) -> Result<ServersReport, AskError> {
        if self.is_own(server) {
            self.require(by, Resource::Operator, Level::Read)?;
            return self.own.consensus.report(any_server);
        }
        self.client.servers(server, any_server, by).await
    }

    async fn fetch(&self, server: &str, fetch: &Fetch) -> Result<Fetched, AskError> {
        if self.is_own(server) {
            // Its handlers answer from its own view, and never pass on.
            return Err(AskError::Rejected("a server was asked to ask itself".into()));
        }
        self.client.fetch(server, fetch).await
    }

    fn datacenters(&self) -> Option<&Datacenters> {
        Some(&self.own.datacenters)
    }

    async fn renew(&self, server: &str, session: Uuid, by: &Credential) -> Result<bool, AskError> {
        if self.is_own(server) {
            let destroy = Command::Session(SessionCommand::Destroy(session));
            self.own.authority.authorize(by, &destroy).map_err(denied)?;
            let leader = || self.own.consensus.leader().filter(|leader| *leader != self.own.address);
            return self.own.sessions.renew(session).ok_or_else(|| AskError::NotLeader { leader: leader() });
        }
        self.client.renew(server, session, by).await
    }

    async fn save_archive(&self, server: &str, any_server: bool, by: &Credential) -> Result<Archive, AskError> {
        if self.is_own(server) {
            self.require(by, Resource::Acl, Level::Write)?;
            return self.own.archives.save(any_server).await;
        }
        self.client.save_archive(server, any_server, by).await
    }

    async fn restore_archive(&self, server: &str, pieces: Pieces, by: &Credential) -> Result<Index, AskError> {
        if self.is_own(server) {
            self.require(by, Resource::Acl, Level::Write)?;
            return self.own.archives.restore(pieces).await;
        }
        self.client.restore_archive(server, pieces, by).await
    }

    async fn change_servers(&self, server: &str, change: &ServersChange, by: &Credential) -> Result<(), AskError> {
        if self.is_own(server) {
            self.require(by, Resource::Operator, Level::Write)?;
            return self.own.consensus.change_servers(change).await;
        }
        self.client.change_servers(server, change, by).await
    }
}
