//! Follows one server at a time, for as long as the process lives.
//!
//! Which server does not matter, so the servers are taken in a random order and the one that failed last comes last.
//! The first try after a stream that worked is made at once; when no server can be followed, the pauses grow,
//! with jitter, until one can, and a change in the list of servers ends a pause early. A stream is resumed from the
//! view's index; only a hole or a fresh view asks for the whole state. A server that is behind this node's view for
//! long is left for another (see the crate's header for a cluster that was wiped and formed anew).

use std::{net::SocketAddr, sync::Arc, time::Duration};

use lictor_proto::{
    client::{Client, PROTOCOL_VERSION},
    internal::{WatchEvent, WatchRequest},
};
use lictor_shared::{forward::AskError, model::Index, view::Writer};
use rand::seq::SliceRandom;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use tracing::{debug, error, info, warn};

use crate::{
    SidecarSettings,
    absorb::{AbsorbError, Absorber, Taken},
    contact::ServerContact,
    keeper::Cluster,
};

/// The first pause when no server can be followed; doubled from then on.
const MIN_BACKOFF: Duration = Duration::from_millis(100);
/// A stream that lived this long has worked: when it ends, the next server is tried without a pause.
const LIVED: Duration = Duration::from_secs(1);
/// After so many streams in a row whose servers were behind this node's view, and again after as many more, it is an
/// error in the log.
const BEHIND_STREAMS: u32 = 8;

/// Why a server is followed no longer.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("it cannot be asked: {0}")]
    Refused(#[from] AskError),
    #[error("it did not answer in time")]
    NoAnswer,
    #[error("it was silent for too long")]
    Silent,
    #[error("it closed the stream")]
    Closed,
    #[error("the stream broke: {0}")]
    Broken(#[from] Status),
    #[error(transparent)]
    Absorb(#[from] AbsorbError),
    #[error("its state, of index {0}, stayed older than this node's")]
    Behind(Index),
}

impl Ended {
    fn is_behind(&self) -> bool {
        matches!(self, Self::Behind(_) | Self::Absorb(AbsorbError::Older { .. }))
    }
}

/// The task that keeps the view up to date.
pub struct Follow {
    settings: SidecarSettings,
    servers: watch::Receiver<Vec<SocketAddr>>,
    absorber: Absorber,
    contact: Arc<ServerContact>,
    client: Client,
    /// Ask for the whole state, not for what comes after the view's index.
    anew: bool,
    /// Servers still to be tried in this round.
    round: Vec<SocketAddr>,
    /// The cluster that the view is from.
    cluster: Arc<Cluster>,
    /// Those of the cluster that is followed, where it is another.
    other_cluster: Option<Vec<u64>>,
    /// How many streams in a row had servers behind the view.
    streams_behind: u32,
}

impl Follow {
    /// Follows the servers whose RPC addresses are in `servers` into the view of `writer`.
    #[must_use]
    pub fn new(
        settings: SidecarSettings,
        servers: watch::Receiver<Vec<SocketAddr>>,
        writer: Writer,
        contact: Arc<ServerContact>,
        cluster: Arc<Cluster>,
        client: Client,
    ) -> Self {
        Self {
            settings,
            servers,
            absorber: Absorber::new(writer),
            contact,
            client,
            anew: false,
            round: Vec::new(),
            cluster,
            other_cluster: None,
            streams_behind: 0,
        }
    }

    /// Runs until `stopping`.
    ///
    /// # Errors
    /// None: what goes wrong is tried again.
    pub async fn run(mut self, stopping: CancellationToken) -> Result<(), std::convert::Infallible> {
        stopping.run_until_cancelled(self.follow_servers()).await;
        Ok(())
    }

    async fn follow_servers(&mut self) {
        let mut backoff = MIN_BACKOFF;
        loop {
            let Some(server) = self.next_server() else {
                self.pause(self.settings.max_backoff).await;
                continue;
            };
            let opened = Instant::now();
            let ended = self.follow(server).await;
            self.contact.lose();
            // A server that lags has not worked: the next one of the round is tried.
            let worked = opened.elapsed() >= LIVED && !ended.is_behind();
            self.log_end(server, &ended, worked);
            self.anew |= matches!(ended, Ended::Absorb(AbsorbError::Hole { .. }));
            if worked {
                backoff = MIN_BACKOFF;
                self.begin_round(Some(server));
            } else if self.round.is_empty() {
                if backoff == MIN_BACKOFF {
                    warn!(%server, %ended, "no server can be followed; lookups go on from the last state");
                }
                self.pause(backoff.mul_f64(rand::random_range(0.5..1.0))).await;
                backoff = (backoff * 2).min(self.settings.max_backoff);
            }
        }
    }

    /// Follows one server until it cannot be any more.
    async fn follow(&mut self, server: SocketAddr) -> Ended {
        let resume = if self.anew { Index(0) } else { self.absorber.index() };
        self.absorber.begin();
        self.other_cluster = None;
        let mut stream = match self.open(server, resume).await {
            Ok(stream) => stream,
            Err(ended) => return ended,
        };
        info!(%server, resume = resume.0, "follows a server");
        let mut behind = None;
        loop {
            let event = match timeout(self.settings.silence_limit, stream.message()).await {
                Err(_) => return Ended::Silent,
                Ok(Err(status)) => return status.into(),
                Ok(Ok(None)) => return Ended::Closed,
                Ok(Ok(Some(event))) => event,
            };
            if let Err(ended) = self.take(event, &mut behind) {
                return ended;
            }
        }
    }

    async fn open(&self, server: SocketAddr, resume: Index) -> Result<Streaming<WatchEvent>, Ended> {
        let request = WatchRequest {
            node: self.settings.node.to_string(),
            datacenter: self.settings.datacenter.clone(),
            resume_index: resume.0,
            protocol_version: PROTOCOL_VERSION,
            server_ids: self.cluster.ids(),
        };
        let server = server.to_string();
        let opened = timeout(self.settings.open_limit, self.client.watch(&server, request)).await;
        Ok(opened.map_err(|_| Ended::NoAnswer)??)
    }

    /// Takes one message; `behind` is since when the server's state has been older than the view.
    fn take(&mut self, event: WatchEvent, behind: &mut Option<Instant>) -> Result<(), Ended> {
        match self.absorber.take(event, self.other_cluster.is_some())? {
            Taken::Part => Ok(()),
            Taken::State => {
                self.anew = false;
                if let Some(cluster) = self.other_cluster.take() {
                    warn!("this node's view is now that of a cluster formed anew");
                    self.cluster.set(cluster);
                }
                Ok(())
            }
            Taken::Heartbeat(heartbeat) => {
                self.note_cluster(&heartbeat.server_ids);
                let (theirs, ours) = (Index(heartbeat.index), self.absorber.index());
                self.contact.hear(heartbeat);
                if theirs >= ours {
                    *behind = None;
                    self.streams_behind = 0;
                    return Ok(());
                }
                let since = *behind.get_or_insert_with(Instant::now);
                if since.elapsed() >= self.settings.behind_limit { Err(Ended::Behind(theirs)) } else { Ok(()) }
            }
        }
    }

    fn note_cluster(&mut self, server_ids: &[u64]) {
        if server_ids.is_empty() {
            return;
        }
        let known = self.cluster.ids();
        if known.is_empty() || server_ids.iter().any(|id| known.contains(id)) {
            self.cluster.set(server_ids.to_vec());
        } else {
            self.other_cluster = Some(server_ids.to_vec());
        }
    }

    fn next_server(&mut self) -> Option<SocketAddr> {
        if self.round.is_empty() {
            self.begin_round(None);
        }
        self.round.pop()
    }

    /// All servers in a random order, `last` as the last.
    fn begin_round(&mut self, last: Option<SocketAddr>) {
        self.round = self.servers.borrow_and_update().clone();
        self.round.shuffle(&mut rand::rng());
        if let Some(position) = self.round.iter().position(|server| Some(*server) == last) {
            self.round.swap(0, position);
        }
    }

    /// Waits, less long when the list of servers changes.
    async fn pause(&mut self, limit: Duration) {
        let changed = async {
            if self.servers.changed().await.is_err() {
                // Nobody will change it any more.
                std::future::pending::<()>().await;
            }
        };
        if timeout(limit, changed).await.is_ok() {
            self.round.clear();
        }
    }

    fn log_end(&mut self, server: SocketAddr, ended: &Ended, worked: bool) {
        match ended {
            Ended::Refused(AskError::Rejected(reason) | AskError::Denied(reason)) => {
                error!(%server, reason, "a server refuses this node")
            }
            Ended::Absorb(AbsorbError::Decode(_) | AbsorbError::OutOfPlace(_) | AbsorbError::TooLarge) => {
                error!(%server, %ended, "a server cannot be followed");
            }
            _ if worked => warn!(%server, %ended, "follows another server"),
            _ => debug!(%server, %ended, "a server cannot be followed"),
        }
        if !ended.is_behind() {
            return;
        }
        self.streams_behind = self.streams_behind.saturating_add(1);
        if self.streams_behind % BEHIND_STREAMS == 1 && self.streams_behind > 1 {
            error!(
                %ended,
                "the servers' registry is older than this node's view: they lag, or have lost what they had; this node \
                 serves what it has. To take theirs all the same, stop this agent, remove last-good.state from its data \
                 directory, and start it again"
            );
        }
    }
}
