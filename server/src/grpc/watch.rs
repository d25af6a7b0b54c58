//! The life of one watch stream: a heartbeat, the whole state where the watcher's cannot be resumed, then changes.
//!
//! A task writes into a short queue that the connection empties; a watcher that does not read stops its own task and
//! nothing else. While it does, changes wait in the fan-out's ring, and whoever has fallen off it when he reads again
//! is sent the whole state. A stream that takes nothing for [`STALL_LIMIT`] ends. Heartbeats come every [`HEARTBEAT`],
//! between messages of every kind, so that silence means death.
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

use futures_util::Stream;
use lictor_proto::internal::{Changes, InitBegin, InitDone, Records, WatchEvent, WatchRequest, watch_event::Event};
use lictor_shared::{metrics::WATCH_STREAMS, model::Index};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};
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
    messages: mpsc::Receiver<WatchEvent>,
}

impl Stream for WatchStream {
    type Item = Result<WatchEvent, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.messages.poll_recv(context).map(|message| message.map(Ok))
    }
}

/// Starts the task of a stream.
pub(super) fn start(inner: Arc<Inner>, request: WatchRequest, held: Held) -> WatchStream {
    let (sender, messages) = mpsc::channel(QUEUED_MESSAGES);
    let (stopping, tasks) = (inner.tasks.stopping(), inner.tasks.clone());
    let span = debug_span!("watch", node = request.node, resume = request.resume_index);
    let resume = Some(Index(request.resume_index)).filter(|index| *index > Index(0));
    let task =
        Watch { inner, sender, cursor: resume, cluster: request.server_ids, resumed: false, beat: Instant::now() };
    let life = async move {
        let _counted = WATCH_STREAMS.hold();
        if let Some(Err(ended)) = stopping.run_until_cancelled(task.run()).await {
            debug!(%ended, "a watch stream ended");
        }
        drop(held);
    };
    tasks.spawn_short(life.instrument(span));
    WatchStream { messages }
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
}

struct Watch {
    inner: Arc<Inner>,
    sender: mpsc::Sender<WatchEvent>,
    /// The index the watcher has, once it has been sent what it sent up to there; `None`: it has nothing.
    cursor: Option<Index>,
    /// The Raft IDs of the servers that its state is from.
    cluster: Vec<u64>,
    /// Whether the cursor is known to be one of this cluster's indexes.
    resumed: bool,
    /// When the next heartbeat is due.
    beat: Instant,
}

impl Watch {
    async fn run(mut self) -> Result<std::convert::Infallible, Ended> {
        let mut news = self.inner.fanout.newest();
        loop {
            self.beat_if_due().await?;
            let Some(cursor) = self.cursor else {
                self.init(Index(0)).await?;
                continue;
            };
            // Seen before the look, so that what comes after the look is news.
            let newest = *news.borrow_and_update();
            let after = match self.resume(cursor, newest) {
                Some(true) => self.inner.fanout.after(cursor),
                Some(false) => After::TooOld { floor: Index(0) },
                None => After::Nothing,
            };
            match after {
                After::Changes { encoded, last } => {
                    self.send(Event::Changes(Changes { changes: encoded })).await?;
                    self.cursor = Some(last);
                }
                After::TooOld { floor } => self.init(floor).await?,
                After::Nothing => {
                    let wait = timeout_at(self.beat, news.changed());
                    tokio::select! {
                        () = self.sender.closed() => return Err(Ended::Gone),
                        _ = wait => {}
                    }
                }
            }
        }
    }

    /// Whether the watcher's state can be gone on from; `None` while that cannot be known, as this server is behind.
    fn resume(&mut self, cursor: Index, newest: Index) -> Option<bool> {
        if !self.resumed {
            let servers = self.inner.consensus.server_ids();
            let same = servers.iter().any(|id| self.cluster.contains(id));
            if newest < cursor && (same || servers.is_empty()) {
                return None;
            }
            self.resumed = same;
        }
        Some(self.resumed)
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
        self.cursor = Some(whole.index);
        self.resumed = true;
        Ok(())
    }

    async fn beat_if_due(&mut self) -> Result<(), Ended> {
        if Instant::now() < self.beat {
            return Ok(());
        }
        self.send(Event::Heartbeat(self.inner.heartbeat())).await?;
        self.beat = Instant::now() + HEARTBEAT;
        Ok(())
    }

    async fn send(&self, event: Event) -> Result<(), Ended> {
        let sent = timeout(STALL_LIMIT, self.sender.send(WatchEvent { event: Some(event) })).await;
        sent.map_err(|_| Ended::Stalled)?.map_err(|_| Ended::Gone)
    }
}
