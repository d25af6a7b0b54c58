//! The life of one watch stream: a heartbeat, the whole state where the watcher's cannot be resumed, then changes.
//!
//! **Two parts.** The connection takes changes out of the fan-out's ring itself ([`WatchStream`]): one wake-up for a
//! change, of the task that sends it. All that needs time or turns, heartbeats and whole states, a task beside it
//! ([`Beside`]) writes into a short queue that the connection empties first. The connection asks the task for a whole
//! state, and takes no changes until that has come.
//!
//! A watcher that does not read stops its own stream and nothing else. While it does, changes wait in the ring, and
//! whoever has fallen off it when he reads again is sent the whole state. A stream that takes nothing for
//! [`STALL_LIMIT`] ends. Heartbeats come every [`HEARTBEAT`], between messages of every kind, so that silence means death.
//!
//! A watcher that is ahead of this server (which was away, or lags) waits for it; nothing older is ever sent to him. One
//! whose state is from another cluster (this one was wiped and formed anew) is sent the whole state: his index means
//! nothing here.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, StreamExt};
use lictor_proto::internal::{Changes, InitBegin, InitDone, Records, WatchEvent, WatchRequest, watch_event::Event};
use lictor_shared::{
    acl::{Credential, Denial},
    metrics::WATCH_STREAMS,
    model::Index,
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};
use tokio_stream::wrappers::WatchStream as News;
use tonic::Status;
use tracing::{Instrument, debug, debug_span};

use super::{Inner, watchers::Held};
use crate::fanout::After;

/// Between two heartbeats.
pub const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long a watcher may take nothing before its stream is ended.
pub const STALL_LIMIT: Duration = Duration::from_secs(20);

/// Messages written and not yet taken by the connection.
const QUEUED_MESSAGES: usize = 2;
/// How long a stream may take for a whole state before others have their turn.
const INIT_LIMIT: Duration = Duration::from_secs(120);

/// What the connection reads.
pub struct WatchStream {
    inner: Arc<Inner>,
    /// What the task beside it has written; its end is that of the stream.
    messages: mpsc::Receiver<Event>,
    /// Has the task send the whole state, at that index or later.
    wants: mpsc::Sender<Index>,
    /// What the index of the newest change was, at each change of it.
    news: News<Index>,
    newest: Index,
    /// The index the watcher has, once it has been sent what it sent up to there; `None`: a whole state is on its way.
    cursor: Option<Index>,
    /// The Raft IDs of the servers that its state is from.
    cluster: Vec<u64>,
    /// Whether the cursor is known to be one of this cluster's indexes.
    resumed: bool,
    /// Whether the watcher was sent a heartbeat, which says what cluster this is.
    has_begun: bool,
}

impl Stream for WatchStream {
    type Item = Result<WatchEvent, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = match self.messages.poll_recv(context) {
            Poll::Ready(event) => event,
            Poll::Pending => match self.poll_changes(context) {
                Poll::Ready(event) => Some(event),
                Poll::Pending => return Poll::Pending,
            },
        };
        self.has_begun = true;
        if let Some(Event::InitDone(done)) = &event {
            self.cursor = Some(Index(done.index));
            self.resumed = true;
        }
        Poll::Ready(event.map(|event| Ok(WatchEvent { event: Some(event) })))
    }
}

impl WatchStream {
    fn poll_changes(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if !self.has_begun {
            return Poll::Pending;
        }
        loop {
            let Some(cursor) = self.cursor else { return Poll::Pending };
            // Before the look, so that what comes after it is news.
            while let Poll::Ready(Some(newest)) = self.news.poll_next_unpin(context) {
                self.newest = newest;
            }
            let after = match self.resume(cursor) {
                Some(true) => self.inner.fanout.after(cursor),
                Some(false) => After::TooOld { floor: Index(0) },
                None => After::Nothing,
            };
            match after {
                After::Changes { encoded, last } => {
                    self.cursor = Some(last);
                    return Poll::Ready(Event::Changes(Changes { changes: encoded }));
                }
                After::TooOld { floor } => {
                    self.cursor = None;
                    // There is room: the last one was answered. The end of a task is seen as that of its messages.
                    let _ = self.wants.try_send(floor);
                }
                After::Nothing => return Poll::Pending,
            }
        }
    }

    /// Whether the watcher's state can be gone on from; `None` while that cannot be known, as this server is behind.
    fn resume(&mut self, cursor: Index) -> Option<bool> {
        if !self.resumed {
            let servers = self.inner.consensus.server_ids();
            let same = servers.iter().any(|id| self.cluster.contains(id));
            if self.newest < cursor && (same || servers.is_empty()) {
                return None;
            }
            self.resumed = same;
        }
        Some(self.resumed)
    }
}

/// Starts the task of a stream.
pub(super) fn start(inner: Arc<Inner>, request: WatchRequest, shown: Option<Credential>, held: Held) -> WatchStream {
    let (sender, messages) = mpsc::channel(QUEUED_MESSAGES);
    let (wants, wanted) = mpsc::channel(1);
    let (stopping, tasks) = (inner.tasks.stopping(), inner.tasks.clone());
    let span = debug_span!("watch", node = request.node, resume = request.resume_index);
    let cursor = Some(Index(request.resume_index)).filter(|index| *index > Index(0));
    if cursor.is_none() {
        // There is room for one.
        let _ = wants.try_send(Index(0));
    }
    let beside =
        Beside { inner: inner.clone(), node: request.node.clone(), shown, sender, wanted, beat: Instant::now() };
    let life = async move {
        let _counted = WATCH_STREAMS.hold();
        if let Some(Err(ended)) = stopping.run_until_cancelled(beside.run()).await {
            debug!(%ended, "a watch stream ended");
        }
        drop(held);
    };
    tasks.spawn_short(life.instrument(span));
    let news = News::new(inner.fanout.newest());
    let cluster = request.server_ids;
    let (newest, resumed, has_begun) = (Index(0), false, false);
    WatchStream { inner, messages, wants, news, newest, cursor, cluster, resumed, has_begun }
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the watcher went away")]
    Gone,
    #[error("the watcher took nothing for too long")]
    Stalled,
    #[error("the state could not be listed")]
    NoRecords,
    #[error("the watcher's token does not count any more: {0}")]
    Revoked(#[from] Denial),
}

/// What is beside the changes of a stream.
struct Beside {
    inner: Arc<Inner>,
    /// Whose it is, and what it has shown, where it is by that that it was let in.
    node: String,
    shown: Option<Credential>,
    sender: mpsc::Sender<Event>,
    /// The whole state is wanted, at that index or later.
    wanted: mpsc::Receiver<Index>,
    /// When the next heartbeat is due.
    beat: Instant,
}

impl Beside {
    async fn run(mut self) -> Result<std::convert::Infallible, Ended> {
        loop {
            self.beat_if_due().await?;
            match timeout_at(self.beat, self.wanted.recv()).await {
                Err(_) => {}
                Ok(Some(floor)) => self.init(floor).await?,
                Ok(None) => return Err(Ended::Gone),
            }
        }
    }

    /// Sends the whole state, at `floor` or later.
    async fn init(&mut self, floor: Index) -> Result<(), Ended> {
        let inner = self.inner.clone();
        let turn = loop {
            // Others may take long: the watcher is told that this server lives.
            match timeout_at(self.beat, inner.inits.acquire()).await {
                Ok(turn) => break turn,
                Err(_) => self.beat_if_due().await?,
            }
        };
        while timeout_at(self.beat, inner.reader.reach(floor)).await.is_err() {
            self.beat_if_due().await?;
        }
        let sent = timeout(INIT_LIMIT, self.send_state(floor)).await;
        drop(turn);
        sent.map_err(|_| Ended::Stalled)?
    }

    async fn send_state(&mut self, floor: Index) -> Result<(), Ended> {
        // Older than the view is good enough, if the ring reaches back to it.
        let least = self.inner.fanout.floor().max(floor);
        let whole = self.inner.whole.get(&self.inner.reader, least).await.ok_or(Ended::NoRecords)?;
        debug!(index = whole.index.0, messages = whole.pieces.len(), "sends the whole state");
        self.send(Event::InitBegin(InitBegin {})).await?;
        for piece in &whole.pieces {
            self.send(Event::Records(Records { records: piece.clone() })).await?;
            self.beat_if_due().await?;
        }
        self.send(Event::InitDone(InitDone { index: whole.index.0 })).await?;
        Ok(())
    }

    async fn beat_if_due(&mut self) -> Result<(), Ended> {
        if Instant::now() < self.beat {
            return Ok(());
        }
        if let Some(shown) = &self.shown {
            self.inner.desk.authority.admit(shown, &self.node)?;
        }
        self.send(Event::Heartbeat(self.inner.heartbeat())).await?;
        self.beat = Instant::now() + HEARTBEAT;
        Ok(())
    }

    async fn send(&self, event: Event) -> Result<(), Ended> {
        let sent = timeout(STALL_LIMIT, self.sender.send(event)).await;
        sent.map_err(|_| Ended::Stalled)?.map_err(|_| Ended::Gone)
    }
}
