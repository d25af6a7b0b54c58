//! The host's end of the registry: a live copy of the catalog over one watch stream, and the way to the leader.
//!
//! [`Sidecar::start`] gives the node's [`Backend`] and keeps its view up to date from then on. `stream` follows one
//! server at a time and goes to another when it falls silent; `absorb` turns its messages into states of the view;
//! `contact` is what its heartbeats said; `backend` asks the leader.
//!
//! Holds no part of Raft, and never clears a view: when all servers are gone, lookups go on from the last state, and
//! [`Backend::contact`] says how old it is. Where there is a data directory, `keeper` keeps that state in a file
//! (`last_good`), and a start without servers answers from it; losing it loses nothing.
//!
//! **A cluster that was wiped and formed anew** counts from 1 again. It is known by its servers' Raft IDs, of which it
//! shares none with the cluster that the view is from: from such a cluster nothing is resumed, and its whole state takes
//! the place of the view's, whatever its index. What readers see goes on to grow (`lictor_shared::view`).

pub mod absorb;
#[cfg(test)]
mod absorb_tests;
mod backend;
mod contact;
mod identity;
mod keeper;
mod last_good;
mod role;
mod stream;

pub use self::{keeper::LastKnown, role::SidecarRole};

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use lictor_proto::client::Client;
use lictor_shared::{backend::Backend, forward::Forward, model::NodeName, tasks::Tasks, view::Writer};
use tokio::sync::watch;

use self::{
    backend::KnownServers,
    contact::ServerContact,
    keeper::{Cluster, Keeper},
    stream::Follow,
};

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
    /// Where the last good state is kept; none: nowhere.
    pub data_dir: Option<PathBuf>,
    /// What an earlier life of this node knew.
    pub last_known: Option<LastKnown>,
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
            max_backoff: Duration::from_secs(2),
            data_dir: None,
            last_known: None,
        }
    }
}

/// Makes a client that asks servers in this node's name.
pub type Connect = dyn Fn() -> Client + Send + Sync;

/// The host's end.
pub struct Sidecar;

impl Sidecar {
    /// Follows the servers, whose RPC addresses `servers` holds at any time, into the view of `writer`, which has what an
    /// earlier life knew on return; gives the way to the leader. Runs until `tasks` stop.
    #[must_use]
    pub fn start(
        mut settings: SidecarSettings,
        servers: watch::Receiver<Vec<SocketAddr>>,
        mut writer: Writer,
        connect: &Connect,
        tasks: &Tasks,
    ) -> Arc<dyn Backend> {
        let mut contact = ServerContact::new(settings.silence_limit);
        let cluster = Arc::new(Cluster::default());
        if let Some(last_known) = settings.last_known.take() {
            contact = contact.of_earlier_life(last_known.age);
            cluster.set(last_known.server_ids);
            writer.replace(last_known.state);
        }
        let contact = Arc::new(contact);
        let known = KnownServers::new(servers.clone(), contact.clone(), connect);
        let reader = writer.reader();
        if let Some(directory) = settings.data_dir.clone() {
            let keeper = Keeper::new(directory, &settings, reader.clone(), contact.clone(), cluster.clone());
            tasks.spawn("last good state", keeper.run(tasks.stopping()));
        }
        let follow = Follow::new(settings, servers, writer, contact, cluster, connect());
        tasks.spawn("watch stream", follow.run(tasks.stopping()));
        Arc::new(Forward::new(known, reader, tasks))
    }
}
