//! Anti-entropy: keeps this node's rows in the registry as the local table wants them.
//!
//! First adoption: when a leader has answered and the view has what it had, what an earlier life of this agent
//! registered is taken up. Then one loop, woken by local changes at once, by changes of this node in the view (damage
//! done by others) after a moment that lets many become one pass, and now and then without reason. Groups are written
//! concurrently, one write per group at a time. While the servers cannot be reached nothing is sent but now and then; a
//! group that is refused waits longer and longer; one that others changed right after it was written waits a little.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::{
    task::{JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::Agent;
use crate::{
    backend::{BackendError, Consistency},
    catalog::Topic,
    command::{Command, Outcome, Refusal, Written},
    model::{Index, Key},
};

/// Groups written at the same time.
const WRITES_IN_FLIGHT: usize = 64;
/// How long a pass waits after the view changed, so that many changes make one pass.
const PASS_DELAY: Duration = Duration::from_millis(100);
/// The shortest time between two writes of a group that nothing called for here: when two agents fight over a name,
/// the registry is not to suffer.
const REPAIR_SPACING: Duration = Duration::from_millis(500);
/// The wait after the first failure; it doubles with each.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// The longest wait while the servers cannot be reached: no longer than an election takes.
const OUTAGE_WAIT_MAX: Duration = Duration::from_secs(2);
/// The longest wait of a group that the registry refuses.
const REFUSED_WAIT_MAX: Duration = Duration::from_secs(30);

/// Runs until the agent stops.
pub(super) async fn run(agent: Agent, stopping: CancellationToken) -> Result<(), String> {
    let mut sync = Sync::new(agent);
    tokio::select! {
        () = stopping.cancelled() => {}
        () = sync.adopt_and_keep() => {}
    }
    Ok(())
}

struct Sync {
    agent: Agent,
    pending: BTreeSet<Key>,
    /// The groups being written, and whether they were changed here meanwhile.
    flying: BTreeMap<Key, bool>,
    writes: JoinSet<(Key, Result<Index, WriteError>)>,
    /// Groups that must not be written yet: refused, or written a moment ago.
    held: BTreeMap<Key, Hold>,
    /// Set while the servers cannot be reached: nothing is written until then.
    outage: Option<Hold>,
    /// The index of the last own write: an older view says nothing about it.
    floor: Index,
    next_pass: Instant,
}

/// A wait, and how often in a row it came to that; 0: nothing failed.
#[derive(Clone, Copy)]
struct Hold {
    failures: u32,
    until: Instant,
}

impl Hold {
    fn after_failure(before: Option<Self>, longest: Duration) -> Self {
        let failures = before.map_or(0, |hold| hold.failures) + 1;
        Self { failures, until: Instant::now() + wait_after(failures, longest) }
    }
}

/// Why a group is not written yet.
enum WriteError {
    Unreachable(BackendError),
    Refused(Refusal),
}

impl Sync {
    fn new(agent: Agent) -> Self {
        Self {
            agent,
            pending: BTreeSet::new(),
            flying: BTreeMap::new(),
            writes: JoinSet::new(),
            held: BTreeMap::new(),
            outage: None,
            floor: Index(0),
            next_pass: Instant::now(),
        }
    }

    async fn adopt_and_keep(&mut self) {
        self.adopt().await;
        let reader = self.agent.inner.reader.clone();
        let own_node = reader.wait_for(&Topic::Node(self.agent.inner.node.name.key()));
        loop {
            let view_changed = own_node.next();
            self.pass();
            let behind = reader.load().index() < self.floor;
            tokio::select! {
                () = self.agent.inner.changed.notified() => {}
                () = view_changed => self.next_pass = self.next_pass.min(Instant::now() + PASS_DELAY),
                () = reader.reach(self.floor), if behind => {}
                () = tokio::time::sleep_until(self.wake_at()), if !behind => {}
                Some(done) = self.writes.join_next() => self.finish(done),
            }
        }
    }

    /// Waits for a leader and for the view to have what it has, however long that takes.
    async fn adopt(&mut self) {
        let inner = &self.agent.inner;
        let mut tries = 0;
        loop {
            match inner.backend.barrier(Consistency::Leader).await {
                Ok(index) => {
                    inner.reader.reach(index).await;
                    break;
                }
                Err(error) => tracing::debug!(%error, "the node's registrations cannot be read yet"),
            }
            tries += 1;
            tokio::time::sleep(wait_after(tries, OUTAGE_WAIT_MAX)).await;
        }
        self.agent.change(|local| local.adopt(&inner.reader.load(), Instant::now()));
        inner.adopted.send_replace(true);
        self.next_pass = Instant::now();
    }

    /// Starts writing what differs and may be written now.
    fn pass(&mut self) {
        let inner = self.agent.inner.clone();
        let state = inner.reader.load_full();
        let now = Instant::now();
        let mut local = inner.local();
        for group in local.take_dirty() {
            // A change made here need not wait because its group was just written.
            if self.held.get(&group).is_some_and(|hold| hold.failures == 0) {
                self.held.remove(&group);
            }
            if let Some(changed) = self.flying.get_mut(&group) {
                *changed = true;
            }
            self.pending.insert(group);
        }
        if state.index() < self.floor || self.outage.is_some_and(|outage| outage.until > now) {
            return;
        }
        if self.next_pass <= now {
            let output_due = local.next_output_due(now);
            let next = now + inner.sync_interval;
            self.next_pass = output_due.map_or(next, |due| due.min(next));
            self.held.retain(|_, hold| hold.failures > 0 || hold.until > now);
            self.pending.append(&mut local.groups_that_differ(&state, now));
        }
        loop {
            let room = WRITES_IN_FLIGHT.saturating_sub(self.flying.len());
            let ready: Vec<Key> =
                self.pending.iter().filter(|group| self.may_write(group, now)).take(room).cloned().collect();
            if ready.is_empty() {
                return;
            }
            for group in ready {
                self.pending.remove(&group);
                let commands = local.commands(&group, &state, now);
                if commands.is_empty() {
                    self.held.remove(&group);
                } else {
                    self.flying.insert(group.clone(), false);
                    self.writes.spawn(write(self.agent.clone(), group, commands));
                }
            }
        }
    }

    fn may_write(&self, group: &Key, now: Instant) -> bool {
        !self.flying.contains_key(group) && self.held.get(group).is_none_or(|hold| hold.until <= now)
    }

    fn finish(&mut self, done: Result<(Key, Result<Index, WriteError>), JoinError>) {
        // A write never panics and is never aborted while this loop runs.
        let Ok((group, result)) = done else { return };
        let changed_here = self.flying.remove(&group).unwrap_or_default();
        match result {
            Ok(index) => {
                self.floor = self.floor.max(index);
                if self.outage.take().is_some() {
                    tracing::info!("the registry takes this node's registrations again");
                }
                if changed_here {
                    self.held.remove(&group);
                } else {
                    self.held.insert(group, Hold { failures: 0, until: Instant::now() + REPAIR_SPACING });
                }
            }
            Err(WriteError::Refused(refusal)) => {
                let hold = Hold::after_failure(self.held.get(&group).copied(), REFUSED_WAIT_MAX);
                if hold.failures == 1 {
                    tracing::warn!(about = about(&group), %refusal, "the registry refuses a registration; trying again");
                }
                self.held.insert(group.clone(), hold);
                self.pending.insert(group);
            }
            Err(WriteError::Unreachable(error)) => {
                self.pending.insert(group);
                self.meet_outage(&error);
            }
        }
    }

    /// Writes that were sent together and failed together count once.
    fn meet_outage(&mut self, error: &BackendError) {
        if self.outage.is_some_and(|outage| outage.until > Instant::now()) {
            return;
        }
        if self.outage.is_none() {
            tracing::warn!(%error, "the registry cannot be written; trying again");
        }
        self.outage = Some(Hold::after_failure(self.outage, OUTAGE_WAIT_MAX));
    }

    fn wake_at(&self) -> Instant {
        if let Some(outage) = self.outage.filter(|outage| outage.until > Instant::now()) {
            return outage.until;
        }
        if !self.flying.is_empty() {
            // A write that ends wakes the loop; what is held meanwhile is not worth a look through all that is pending.
            return self.next_pass.min(Instant::now() + REPAIR_SPACING);
        }
        let held = self.pending.iter().filter_map(|group| self.held.get(group));
        held.map(|hold| hold.until).fold(self.next_pass, Instant::min)
    }
}

fn about(group: &Key) -> &str {
    if group.as_str().is_empty() { "the node" } else { group.as_str() }
}

/// Doubles with each failure, and differs a little from agent to agent: many that lost one leader do not come in step.
fn wait_after(failures: u32, longest: Duration) -> Duration {
    let doubled = RETRY_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest);
    doubled.mul_f64(rand::random_range(0.75..1.0))
}

async fn write(agent: Agent, group: Key, commands: Vec<Command>) -> (Key, Result<Index, WriteError>) {
    let mut last = Index(0);
    for command in commands {
        match agent.inner.backend.write(command).await {
            Ok(Written { index, outcome: Outcome::Done | Outcome::Mismatch }) => last = last.max(index),
            Ok(Written { outcome: Outcome::Refused(refusal), .. }) => {
                return (group, Err(WriteError::Refused(refusal)));
            }
            Err(error) => return (group, Err(WriteError::Unreachable(error))),
        }
    }
    (group, Ok(last))
}
