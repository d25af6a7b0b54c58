//! The life of one watch: a heartbeat, the whole set unless the watcher has it already, then deltas.
//!
//! A task writes into a short queue that the connection empties. While a watcher does not read, the task waits, and
//! what changes meanwhile is one delta when he reads again: behind him stand [`QUEUED_MESSAGES`] messages and the set
//! as he was told it, nothing that grows. A watcher that takes nothing for [`STALL_LIMIT`] is told so and ended.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, future::OptionFuture};
use lictor_proto::v1;
use lictor_shared::{
    acl::{Authority, Credential, Rights},
    backend::Backend,
    catalog::{State, Topic},
    metrics::APPLICATION_STREAMS,
    model::Index,
    tasks::Tasks,
    view::{Reader, Waiting},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tonic::Status;
use tracing::{Instrument, debug, debug_span};

use crate::{
    feed::{Feed, Seen},
    parts::Parts,
    question::{Event, Question},
    service::StreamPlace,
    subject::{Content, Subject},
    told::Told,
};

/// Between two heartbeats.
pub const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long a watcher may take nothing before its stream is ended.
pub const STALL_LIMIT: Duration = Duration::from_secs(20);
/// Messages written and not yet taken by the connection.
pub const QUEUED_MESSAGES: usize = 2;

/// What the connection reads.
#[derive(Debug)]
pub struct Events<T> {
    messages: mpsc::Receiver<T>,
    ended: Arc<OnceLock<Status>>,
    is_over: bool,
}

impl<T> Events<T> {
    /// How many messages wait to be read.
    #[cfg(test)]
    pub fn queued(&self) -> usize {
        self.messages.len()
    }
}

impl<T> Stream for Events<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        match self.messages.poll_recv(context) {
            Poll::Ready(None) => {
                self.is_over = true;
                Poll::Ready(self.ended.get().cloned().map(Err))
            }
            other => other.map(|message| message.map(Ok)),
        }
    }
}

/// Who watches, from where on, and the places it takes.
pub struct Opening<Q: Question> {
    /// What is asked.
    pub question: Q,
    /// What is watched.
    pub feed: Arc<Feed<Q::Subject>>,
    /// Where the watcher was.
    pub resume: Option<v1::Position>,
    /// The node's view.
    pub reader: Reader,
    /// How fresh that is.
    pub backend: Arc<dyn Backend>,
    /// By whose right.
    pub permit: Permit,
    /// The stream's place among all.
    pub place: StreamPlace,
}

/// By whose right something is watched. The watch ends when that changes: whoever may still see something watches anew.
pub struct Permit {
    /// Who decides.
    pub authority: Arc<Authority>,
    /// What the watcher has shown.
    pub shown: Credential,
    /// What it was allowed then.
    pub rights: Arc<Rights>,
}

impl Permit {
    fn still_holds(&self) -> bool {
        self.authority.still_has(&self.shown, &self.rights)
    }
}

/// Starts the task of a watch, which ends when the watcher goes or `tasks` stop.
pub fn start<Q: Question>(opening: Opening<Q>, tasks: &Tasks) -> Events<Q::Response> {
    let (sender, messages) = mpsc::channel(QUEUED_MESSAGES);
    let ended = Arc::new(OnceLock::new());
    let Opening { question, feed, resume, reader, backend, permit, place } = opening;
    let topic = feed.subject.topic();
    let watch = Watch {
        question,
        feed,
        resume,
        reader,
        backend,
        permit,
        sender,
        told: None,
        index: Index(0),
        beat: Instant::now(),
    };
    let (stopping, reason) = (tasks.stopping(), ended.clone());
    // The connection looks for the reason when the last sender is gone.
    let last_sender = watch.sender.clone();
    let life = async move {
        let _counted = APPLICATION_STREAMS.hold();
        let end = match stopping.run_until_cancelled(watch.run()).await {
            None => Some(Status::unavailable("the agent stops (watch again through another, or when it is back)")),
            Some(Err(Ended::Gone)) => None,
            Some(Err(Ended::Revoked)) => Some(Status::permission_denied(
                "what this token allows has changed (watch again, with a token that counts)",
            )),
            Some(Err(Ended::Stalled)) => Some(Status::resource_exhausted(format!(
                "nothing was read for {STALL_LIMIT:?} (watch again from the last position)"
            ))),
        };
        if let Some(status) = end {
            debug!(%status, "ended");
            // It is set nowhere else.
            let _ = reason.set(status);
        }
        drop((last_sender, place));
    };
    tasks.spawn_short(life.instrument(debug_span!("application watch", ?topic)));
    Events { messages, ended, is_over: false }
}

/// Why a watch ended.
enum Ended {
    Gone,
    Stalled,
    Revoked,
}

struct Watch<Q: Question> {
    question: Q,
    feed: Arc<Feed<Q::Subject>>,
    resume: Option<v1::Position>,
    reader: Reader,
    backend: Arc<dyn Backend>,
    permit: Permit,
    sender: mpsc::Sender<Q::Response>,
    /// None until the watcher has, or is known to have, the set.
    told: Option<Told<RowOf<Q>>>,
    /// Up to which the watcher knows everything.
    index: Index,
    /// When the next heartbeat is due.
    beat: Instant,
}

type RowOf<Q> = <<Q as Question>::Subject as Subject>::Row;

impl<Q: Question> Watch<Q> {
    async fn run(mut self) -> Result<Infallible, Ended> {
        let waiting = self.reader.wait_for(&self.feed.subject.topic());
        let access = self.permit.authority.is_enabled().then(|| self.reader.wait_for(&Topic::Access));
        loop {
            // Made before the look at the state, so that no change falls between the two.
            let next = waiting.next();
            let revoked = access.as_ref().map(Waiting::next);
            if access.is_some() && !self.permit.still_holds() {
                return Err(Ended::Revoked);
            }
            let looked = Instant::now();
            let state = self.reader.load_full();
            if looked >= self.beat && self.told.is_none() {
                self.heartbeat(looked).await?;
            }
            // A view that was never filled knows of nothing, which is not to be told as "there is nothing".
            if state.index() > Index(0) {
                self.tell(&state).await?;
            }
            if Instant::now() >= self.beat {
                self.heartbeat(looked).await?;
            }
            tokio::select! {
                () = self.sender.closed() => return Err(Ended::Gone),
                _ = timeout_at(self.beat, next) => {}
                Some(()) = OptionFuture::from(revoked) => {}
                // What fills the view need not touch the topic.
                () = self.reader.reach(Index(1)), if self.told.is_none() => {}
            }
            if !Q::PACE.is_zero() {
                tokio::select! {
                    () = self.sender.closed() => return Err(Ended::Gone),
                    () = sleep_until(looked + Q::PACE) => {}
                }
            }
        }
    }

    /// Brings the watcher up to date with `state`.
    async fn tell(&mut self, state: &Arc<State>) -> Result<(), Ended> {
        let Seen { index, content } = self.feed.at(state);
        self.index = self.index.max(index);
        let Some(before) = &self.told else { return self.begin(content).await };
        if before.is_of(&content) {
            return Ok(());
        }
        let told = Told::new(&self.question, content, Some(before));
        let difference = told.since(before);
        let is_news = told.end != before.end || !difference.upserted.is_empty() || !difference.removed.is_empty();
        let end = told.end.clone();
        let digest = told.digest;
        self.told = Some(told);
        if is_news {
            for part in Parts::new(&difference.upserted, &difference.removed, end) {
                self.send(if part.is_last() { digest } else { 0 }, Event::Delta(part)).await?;
            }
        }
        Ok(())
    }

    /// Tells the whole set, unless the watcher has it from an earlier stream.
    async fn begin(&mut self, content: Arc<Content<RowOf<Q>>>) -> Result<(), Ended> {
        let told = Told::new(&self.question, content, None);
        let (digest, end) = (told.digest, told.end.clone());
        let has_it = self.resume.take().is_some_and(|at| at.digest == digest && at.index <= self.index.0);
        let rows: Vec<_> = if has_it { Vec::new() } else { told.selected().cloned().collect() };
        self.told = Some(told);
        if has_it {
            return self.send(digest, Event::Resumed).await;
        }
        for part in Parts::new(&rows, &[], end) {
            self.send(if part.is_last() { digest } else { 0 }, Event::Whole(part)).await?;
        }
        Ok(())
    }

    async fn heartbeat(&mut self, now: Instant) -> Result<(), Ended> {
        self.beat = now + HEARTBEAT;
        let digest = self.told.as_ref().map_or(0, |told| told.digest);
        self.send(digest, Event::Heartbeat(self.backend.contact().into())).await
    }

    async fn send(&self, digest: u64, event: Event<RowOf<Q>>) -> Result<(), Ended> {
        let response = Q::response(v1::Position { index: self.index.0, digest }, event);
        let sent = timeout(STALL_LIMIT, self.sender.send(response)).await;
        sent.map_err(|_| Ended::Stalled)?.map_err(|_| Ended::Gone)
    }
}
