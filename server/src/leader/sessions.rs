//! Sessions that nobody renews: the leader keeps the time, and destroys those whose time to live is over.
//!
//! A renewal is no write: it moves a deadline in the leader's memory ([`SessionTimers`]). The deadline lies half a time
//! to live behind the end of it, for a renewal that was under way; and a new leader, who was told of none, begins with
//! all deadlines anew. So a session outlives its last renewal by at least its time to live, and by less than twice that
//! while the leader stays. Ending one is a command like any other: its locks are free at the same index everywhere.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use lictor_shared::{
    backend::Consistency,
    catalog::State,
    command::{Command, SessionCommand},
    model::{Index, Session},
    tasks::Tasks,
    view::Reader,
};
use uuid::Uuid;

use super::PROPOSALS_AT_ONCE;
use crate::raft::RaftNode;

/// Between two looks at the deadlines: small against the shortest time to live, 10 s.
const LOOK: Duration = Duration::from_secs(1);

/// The deadlines of all sessions with a time to live, on the leader; nothing elsewhere.
pub struct SessionTimers {
    reader: Reader,
    /// `None` while this server does not lead, or has not begun to.
    deadlines: Mutex<Option<Deadlines>>,
}

#[derive(Default)]
struct Deadlines {
    of: HashMap<Uuid, Instant>,
    /// When the registry they are of was last restored: all begin anew with the next time.
    restored: Index,
}

impl SessionTimers {
    /// Timers of the server whose view `reader` sees.
    #[must_use]
    pub fn new(reader: Reader) -> Arc<Self> {
        Arc::new(Self { reader, deadlines: Mutex::default() })
    }

    fn deadlines(&self) -> MutexGuard<'_, Option<Deadlines>> {
        // No code that holds the lock can leave the map half changed.
        self.deadlines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves a session's deadline. Whether there is such a session; `None` where this server does not keep the time.
    #[must_use]
    pub fn renew(&self, id: Uuid) -> Option<bool> {
        let mut deadlines = self.deadlines();
        let deadlines = deadlines.as_mut()?;
        let state = self.reader.load_full();
        let session = state.session(id);
        if let Some(session) = session.filter(|session| !session.ttl.is_zero()) {
            deadlines.of.insert(id, deadline(session, Instant::now()));
        }
        Some(session.is_some())
    }

    /// Begins, where that was not yet done, and gives the sessions whose deadline has passed.
    fn look(&self, state: &State, now: Instant) -> Vec<Uuid> {
        let mut deadlines = self.deadlines();
        let Deadlines { of: deadlines, restored } = deadlines.get_or_insert_default();
        if std::mem::replace(restored, state.restored()) != state.restored() {
            deadlines.clear();
        }
        deadlines.retain(|id, _| state.session(*id).is_some());
        let mut over = Vec::new();
        for session in state.sessions().filter(|session| !session.ttl.is_zero()) {
            if *deadlines.entry(session.id).or_insert_with(|| deadline(session, now)) <= now {
                over.push(session.id);
            }
        }
        over
    }

    /// Keeps the time no longer.
    fn rest(&self) {
        *self.deadlines() = None;
    }
}

fn deadline(session: &Session, now: Instant) -> Instant {
    now + session.ttl + session.ttl / 2
}

/// Starts the task that ends sessions while this server leads.
pub fn start(timers: Arc<SessionTimers>, raft: RaftNode, reader: Reader, tasks: &Tasks) {
    let stopping = tasks.stopping();
    tasks.spawn("session timers", async move {
        stopping.run_until_cancelled(keep_time(&timers, &raft, &reader)).await;
        Ok::<(), std::convert::Infallible>(())
    });
}

async fn keep_time(timers: &SessionTimers, raft: &RaftNode, reader: &Reader) {
    let mut leads = false;
    loop {
        if !raft.is_leader() {
            timers.rest();
            leads = false;
        } else if leads || has_caught_up(raft, reader).await {
            leads = true;
            end_overdue(timers, raft, &reader.load_full()).await;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A new leader's view must have what an earlier one has committed: a session that is not in it could not be renewed.
async fn has_caught_up(raft: &RaftNode, reader: &Reader) -> bool {
    let Ok(index) = raft.read_index(Consistency::Quorum).await else { return false };
    reader.reach(index).await;
    true
}

async fn end_overdue(timers: &SessionTimers, raft: &RaftNode, state: &State) {
    let over = timers.look(state, Instant::now());
    let Some(first) = over.first() else { return };
    tracing::info!(sessions = over.len(), %first, "ending sessions that were not renewed in time");
    let ended = stream::iter(over).for_each_concurrent(PROPOSALS_AT_ONCE, |id| async move {
        if let Err(error) = raft.propose(Command::Session(SessionCommand::Destroy(id))).await {
            tracing::debug!(%error, session = %id, "a session could not be ended; it is tried again");
        }
    });
    ended.await;
}

#[cfg(test)]
mod tests {
    use lictor_shared::{
        command::Registration,
        model::{Index, Node, Time},
        view,
    };

    use super::*;

    fn with_session(id: u128, ttl: Duration) -> State {
        let mut state = State::default();
        let node = Node { name: "n".into(), ..Node::default() };
        let register = Command::Register(Box::new(Registration { node, ..Registration::default() }));
        state.apply(Index(1), Time(0), &register);
        let session = Session { id: Uuid::from_u128(id), node: "n".into(), ttl, ..Session::default() };
        let create = Command::Session(SessionCommand::Create(Box::new(session)));
        assert!(state.apply(Index(2), Time(0), &create).outcome.is_done());
        state
    }

    #[test]
    fn a_session_ends_between_its_time_to_live_and_twice_that() {
        let ttl = Duration::from_secs(10);
        let state = with_session(1, ttl);
        let (mut writer, reader) = view::new();
        writer.replace(state.clone());
        let timers = SessionTimers::new(reader);
        let begun = Instant::now();
        assert_eq!(timers.renew(Uuid::from_u128(1)), None, "it does not lead");
        assert!(timers.look(&state, begun).is_empty());
        assert!(timers.look(&state, begun + ttl).is_empty());
        assert_eq!(timers.look(&state, begun + 2 * ttl), [Uuid::from_u128(1)]);
        assert_eq!(timers.renew(Uuid::from_u128(2)), Some(false));
        assert_eq!(timers.renew(Uuid::from_u128(1)), Some(true));
        assert!(timers.look(&state, begun + ttl).is_empty());
        timers.rest();
        assert!(timers.look(&state, begun + 9 * ttl).is_empty(), "a new leader begins anew");
        assert!(timers.look(&State::default(), begun + 99 * ttl).is_empty());
    }

    #[test]
    fn without_a_time_to_live_a_session_stays() {
        let state = with_session(1, Duration::ZERO);
        let timers = SessionTimers::new(view::new().1);
        let begun = Instant::now();
        timers.look(&state, begun);
        assert!(timers.look(&state, begun + Duration::from_secs(1_000_000)).is_empty());
    }
}
