//! A server's backend: proposes here while it leads, else forwards to the server that does.
//!
//! The finding of the leader, holding and trying again are those of `lictor_shared::forward`; here is only whom a
//! server knows and that asking oneself needs no network.

use std::sync::Arc;

use async_trait::async_trait;
use lictor_proto::client::Client;
use lictor_shared::{
    backend::{Consistency, Contact, Fetch, Fetched, ServersReport},
    command::{Command, Written},
    forward::{AskError, Forward, Servers},
    model::Index,
    tasks::Tasks,
    view::Reader,
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{consensus::Consensus, leader::sessions::SessionTimers};

/// A server's way to the leader.
pub type ServerBackend = Forward<FellowServers>;

/// The backend of the server with RPC address `own` (`ip:port`, as the others know it), whose view `reader` sees.
#[must_use]
pub fn server_backend(
    consensus: Arc<dyn Consensus>,
    sessions: Arc<SessionTimers>,
    own: String,
    reader: Reader,
    tasks: &Tasks,
) -> ServerBackend {
    let servers = FellowServers { consensus, sessions, own, client: Client::new(), started: Instant::now() };
    Forward::new(servers, reader, tasks)
}

/// The servers as one of them knows them.
pub struct FellowServers {
    consensus: Arc<dyn Consensus>,
    sessions: Arc<SessionTimers>,
    own: String,
    client: Client,
    started: Instant,
}

#[async_trait]
impl Servers for FellowServers {
    fn leader(&self) -> Option<String> {
        self.consensus.leader()
    }

    /// Only itself: no other server knows more of the leader than what Raft tells this one.
    fn to_ask(&self) -> Vec<String> {
        vec![self.own.clone()]
    }

    fn peers(&self) -> Vec<String> {
        self.consensus.servers()
    }

    fn contact(&self) -> Contact {
        let (known_leader, last) = self.consensus.contact();
        Contact { known_leader, last: last.unwrap_or_else(|| self.started.elapsed()) }
    }

    async fn write(&self, server: &str, command: &Command) -> Result<Written, AskError> {
        if server == self.own {
            return self.consensus.propose(command.clone()).await;
        }
        self.client.write(server, command).await
    }

    async fn barrier(&self, server: &str, consistency: Consistency) -> Result<Index, AskError> {
        if server == self.own {
            return self.consensus.read_index(consistency).await;
        }
        self.client.barrier(server, consistency).await
    }

    async fn servers(&self, server: &str) -> Result<ServersReport, AskError> {
        if server == self.own {
            return self.consensus.report();
        }
        self.client.servers(server).await
    }

    async fn fetch(&self, server: &str, fetch: &Fetch) -> Result<Fetched, AskError> {
        if server == self.own {
            // Its handlers answer from its own view, and never pass on.
            return Err(AskError::Rejected("a server was asked to ask itself".into()));
        }
        self.client.fetch(server, fetch).await
    }

    async fn renew(&self, server: &str, session: Uuid) -> Result<bool, AskError> {
        if server == self.own {
            let leader = || self.consensus.leader().filter(|leader| *leader != self.own);
            return self.sessions.renew(session).ok_or_else(|| AskError::NotLeader { leader: leader() });
        }
        self.client.renew(server, session).await
    }
}
