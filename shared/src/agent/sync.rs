//! Anti-entropy: keeps this node's rows in the registry as the local table wants them.
//!
//! First adoption: when a leader has answered and the view has what it had, what an earlier life of this agent
//! registered is taken up. Then one loop, woken by local changes at once, by changes of this node in the view (damage
//! done by others) after a moment that lets many become one pass, and now and then without reason. Groups are written
//! concurrently, one write per group at a time; a group that failed waits longer and longer, one that differs again
//! right after it was written a little.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::Agent;
use crate::{
    backend::Consistency,
    catalog::Topic,
    command::{Command, Outcome},
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
/// The longest wait between two tries.
const RETRY_MAX: Duration = Duration::from_secs(5);

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
    writes: JoinSet<(Key, Result<Index, String>)>,
    retries: BTreeMap<Key, Retry>,
    /// The index of the last own write: an older view says nothing about it.
    floor: Index,
    next_pass: Instant,
}

/// When a group that was written lately may be written again.
struct Retry {
    tries: u32,
    not_before: Instant,
    failed: bool,
}

impl Sync {
    fn new(agent: Agent) -> Self {
        Self {
            agent,
            pending: BTreeSet::new(),
            flying: BTreeMap::new(),
            writes: JoinSet::new(),
            retries: BTreeMap::new(),
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
                () = tokio::time::sleep_until(self.wake_at()) => {}
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
            tokio::time::sleep(wait_after(tries)).await;
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
            // A change made here need not wait, unless the servers do not answer.
            if self.retries.get(&group).is_some_and(|retry| !retry.failed) {
                self.retries.remove(&group);
            }
            if let Some(changed) = self.flying.get_mut(&group) {
                *changed = true;
            }
            self.pending.insert(group);
        }
        if state.index() < self.floor {
            return;
        }
        if self.next_pass <= now {
            let output_due = local.next_output_due(now);
            let next = now + inner.sync_interval;
            self.next_pass = output_due.map_or(next, |due| due.min(next));
            self.pending.append(&mut local.groups_that_differ(&state, now));
        }
        for group in std::mem::take(&mut self.pending) {
            let waits = self.retries.get(&group).is_some_and(|retry| retry.not_before > now);
            if waits || self.flying.contains_key(&group) || self.flying.len() >= WRITES_IN_FLIGHT {
                self.pending.insert(group);
                continue;
            }
            let commands = local.commands(&group, &state, now);
            if commands.is_empty() {
                self.retries.remove(&group);
            } else {
                self.flying.insert(group.clone(), false);
                self.writes.spawn(write(self.agent.clone(), group, commands));
            }
        }
    }

    fn finish(&mut self, done: Result<(Key, Result<Index, String>), tokio::task::JoinError>) {
        // A write never panics and is never aborted while this loop runs; if one did, the next pass finds its group.
        let Ok((group, result)) = done else { return };
        let changed_here = self.flying.remove(&group).unwrap_or_default();
        let retry =
            self.retries.entry(group.clone()).or_insert(Retry { tries: 0, not_before: Instant::now(), failed: false });
        match result {
            Ok(index) => {
                self.floor = self.floor.max(index);
                let spacing = if changed_here { Duration::ZERO } else { REPAIR_SPACING };
                *retry = Retry { tries: 0, not_before: Instant::now() + spacing, failed: false };
            }
            Err(error) => {
                let tries = retry.tries + 1;
                *retry = Retry { tries, not_before: Instant::now() + wait_after(tries), failed: true };
                let about = if group.as_str().is_empty() { "the node" } else { group.as_str() };
                if retry.tries == 1 {
                    tracing::warn!(about, error, "could not write to the registry; trying again");
                }
            }
        }
        // Looked at once more: it may have changed meanwhile.
        self.pending.insert(group);
    }

    fn wake_at(&self) -> Instant {
        let waiting = self.pending.iter().filter(|group| !self.flying.contains_key(*group));
        waiting
            .filter_map(|group| self.retries.get(group))
            .map(|retry| retry.not_before)
            .fold(self.next_pass, Instant::min)
    }
}

fn wait_after(tries: u32) -> Duration {
    let doubled = RETRY_FIRST.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(RETRY_MAX);
    // Many agents that lost the same leader do not come back in step.
    doubled.mul_f64(rand::random_range(0.75..1.0))
}

async fn write(agent: Agent, group: Key, commands: Vec<Command>) -> (Key, Result<Index, String>) {
    let mut last = Index(0);
    for command in commands {
        match agent.inner.backend.write(command).await {
            Ok(written) => {
                if let Outcome::Refused(refusal) = written.outcome {
                    return (group, Err(refusal.to_string()));
                }
                last = last.max(written.index);
            }
            Err(error) => return (group, Err(error.to_string())),
        }
    }
    (group, Ok(last))
}
