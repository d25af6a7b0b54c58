//! The host's end of the registry: a live copy of the catalog over one watch stream, and the way to the leader.
//!
//! [`Sidecar::start`] gives the node's [`Backend`] and keeps its view up to date from then on. `stream` follows one
//! server at a time and goes to another when it falls silent; `absorb` turns its messages into states of the view;
//! `contact` is what its heartbeats said; `backend` asks the leader.
//!
//! Keeps nothing on disk, holds no part of Raft, and never clears a view: when all servers are gone, lookups go on
//! from the last state, and [`Backend::contact`] says how old it is.
//!
//! **A cluster that was wiped and formed anew** counts from 1 again, and a view never goes back. It is known by its
//! servers' Raft IDs, of which it shares none with the cluster that the view is from; from such a cluster nothing is
//! resumed. Its whole state is taken once its index has passed the view's; until then this node serves what it had, and
//! an error is logged, again and again, that says so and that a restart of the agent takes the new registry at once.

mod absorb;
mod backend;
mod contact;
mod identity;
mod role;
mod stream;

pub use self::role::SidecarRole;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use lictor_shared::{backend::Backend, forward::Forward, model::NodeName, tasks::Tasks, view::Writer};
use tokio::sync::watch;

use self::{backend::KnownServers, contact::ServerContact, stream::Follow};

/// How a sidecar follows the servers.
#[derive(Clone, Debug)]
pub struct SidecarSettings {
    /// This node.
    pub node: NodeName,
    /// Its datacenter; servers of another refuse it.
    pub datacenter: String,
    /// How long a server may take to open the stream.
    pub open_limit: Duration,
    /// How long a server may be silent before another is followed. Heartbeats come every second.
    pub silence_limit: Duration,
    /// How long a server's state may be older than this node's before another is followed.
    pub behind_limit: Duration,
    /// The longest pause between two tries when no server can be followed.
    pub max_backoff: Duration,
}

impl SidecarSettings {
    /// The usual limits for a node of a datacenter.
    #[must_use]
    pub fn new(node: &str, datacenter: &str) -> Self {
        Self {
            node: node.into(),
            datacenter: datacenter.to_owned(),
            open_limit: Duration::from_secs(3),
            silence_limit: Duration::from_secs(4),
            behind_limit: Duration::from_secs(4),
            max_backoff: Duration::from_secs(5),
        }
    }
}

/// The host's end.
pub struct Sidecar;

impl Sidecar {
    /// Follows the servers, whose RPC addresses `servers` holds at any time, into the view of `writer`; gives the way to
    /// the leader. Runs until `tasks` stop.
    #[must_use]
    pub fn start(
        settings: SidecarSettings,
        servers: watch::Receiver<Vec<SocketAddr>>,
        writer: Writer,
        tasks: &Tasks,
    ) -> Arc<dyn Backend> {
        let contact = Arc::new(ServerContact::new(settings.silence_limit));
        let known = KnownServers::new(servers.clone(), contact.clone());
        let reader = writer.reader();
        let follow = Follow::new(settings, servers, writer, contact);
        tasks.spawn("watch stream", follow.run(tasks.stopping()));
        Arc::new(Forward::new(known, reader, tasks))
    }
}
