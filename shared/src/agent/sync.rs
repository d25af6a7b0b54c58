//! Anti-entropy: keeps this node's rows in the registry as the local table wants them.
//!
//! First adoption: when a leader has answered and the view has what it had, what an earlier life of this agent
//! registered is taken up. Then one loop, woken by local changes at once, by changes of this node in the view (damage
//! done by others) after a moment that lets many become one pass, and now and then without reason. Groups are written
//! concurrently, one write per group at a time; what differs is found in what the servers have told, never in what only
//! this node shows. A group that is refused waits longer and longer; one that others changed right after it was written
//! waits a little.
//!
//! **While the servers cannot be reached** one group at a time is tried, now and then, and what all the others would
//! write is shown by this node as if it were written ([`Reader::show`](crate::view::Reader::show)): lookups here follow
//! the checks here. Each stops being shown so when the servers have told it. A node that starts without servers, and
//! knows what they had, takes up its registrations from that until a leader has answered.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    sync::atomic::Ordering,
    time::Duration,
};

use tokio::{
    task::{JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{Agent, local::Local};
use crate::{
    acl::Credential,
    backend::{BackendError, Consistency},
    catalog::{State, Topic},
    command::{Command, Outcome, Refusal, Written},
    metrics::UNSENT_GROUPS,
    model::{Index, Key, Time},
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
/// How often it is looked whether a leader is known, while something waits for one.
const LEADER_LOOK: Duration = Duration::from_millis(250);
/// The shortest time between two changes of what only this node shows: many become one.
const SHOW_SPACING: Duration = Duration::from_millis(50);
/// The longest wait of a group that the registry refuses.
const REFUSED_WAIT_MAX: Duration = Duration::from_secs(30);

/// Runs until the agent stops.
pub(super) async fn run(agent: Agent, stopping: CancellationToken) -> Result<(), String> {
    let mut sync = Sync::new(agent);
    tokio::select! {
        () = stopping.cancelled() => {}
        () = sync.keep() => {}
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
    /// The index of the view when last looked.
    seen: Index,
    next_pass: Instant,
    adopted: bool,
    /// Whether a leader was known when last looked.
    led: bool,
    /// What only this node shows.
    shown: BTreeMap<Key, Vec<Command>>,
    next_show: Instant,
    /// Whether that may have to change.
    show_due: bool,
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
    Denied(String),
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
            seen: Index(0),
            next_pass: Instant::now(),
            adopted: false,
            led: true,
            shown: BTreeMap::new(),
            next_show: Instant::now(),
            show_due: true,
        }
    }

    async fn keep(&mut self) {
        let inner = self.agent.inner.clone();
        let own_node = inner.reader.wait_for(&Topic::Node(inner.node.name.key()));
        let registry = heard_of(&self.agent);
        tokio::pin!(registry);
        self.adopt_last_known();
        loop {
            let view_changed = own_node.next();
            self.pass();
            let behind = self.seen < self.floor;
            tokio::select! {
                () = inner.changed.notified() => {}
                () = view_changed => self.next_pass = self.next_pass.min(Instant::now() + PASS_DELAY),
                () = inner.reader.reach(self.floor), if behind => {}
                () = tokio::time::sleep_until(self.wake_at(behind)) => {}
                () = &mut registry, if !self.adopted => self.adopt(),
                Some(done) = self.writes.join_next() => self.finish(done),
            }
        }
    }

    /// Without a leader, what this node knew last is better than nothing.
    fn adopt_last_known(&mut self) {
        let inner = &self.agent.inner;
        let last_known = inner.reader.base();
        if last_known.index() > Index(0) && !inner.backend.contact().known_leader {
            self.agent.change(|local| local.adopt_last_known(&last_known, Instant::now()));
        }
    }

    fn adopt(&mut self) {
        let inner = &self.agent.inner;
        self.agent.change(|local| local.adopt(&inner.reader.base(), Instant::now()));
        self.adopted = true;
        inner.adopted.send_replace(true);
        self.next_pass = Instant::now();
    }

    /// Starts writing what differs and may be written now; shows what cannot be.
    fn pass(&mut self) {
        let inner = self.agent.inner.clone();
        let base = inner.reader.base();
        let now = Instant::now();
        if base.index() < self.seen {
            // Of another registry: indexes of the former one mean nothing.
            self.floor = Index(0);
        }
        self.show_due |= base.index() != self.seen;
        self.seen = base.index();
        self.look_for_leader(now);
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
            self.show_due = true;
        }
        if self.adopted && self.seen >= self.floor && self.outage.is_none_or(|outage| outage.until <= now) {
            self.write_what_differs(&mut local, &base, now);
        }
        self.show_unsent(&local, &base, now);
    }

    /// When there is a leader again, nothing waits any longer.
    fn look_for_leader(&mut self, now: Instant) {
        let leads = self.agent.inner.backend.contact().known_leader;
        if leads
            && !self.led
            && let Some(outage) = &mut self.outage
        {
            outage.until = now;
        }
        self.show_due |= leads != self.led;
        self.led = leads;
    }

    fn write_what_differs(&mut self, local: &mut Local, base: &State, now: Instant) {
        if self.next_pass <= now {
            let output_due = local.next_output_due(now);
            let next = now + self.agent.inner.sync_interval;
            self.next_pass = output_due.map_or(next, |due| due.min(next));
            self.held.retain(|_, hold| hold.failures > 0 || hold.until > now);
            self.pending.append(&mut local.groups_that_differ(base, now));
        }
        let most = if self.outage.is_some() { 1 } else { WRITES_IN_FLIGHT };
        loop {
            let room = most.saturating_sub(self.flying.len());
            let ready: Vec<Key> =
                self.pending.iter().filter(|group| self.may_write(group, now)).take(room).cloned().collect();
            if ready.is_empty() {
                return;
            }
            for group in ready {
                self.pending.remove(&group);
                let commands = local.commands(&group, base, now);
                if commands.is_empty() {
                    local.told(&group);
                    self.held.remove(&group);
                } else {
                    self.flying.insert(group.clone(), false);
                    let by = self.credentials(&group, local, &commands);
                    self.writes.spawn(write(self.agent.clone(), group, commands, by));
                }
            }
        }
    }

    /// By whose right a group may be written: whoever registered it; where nobody is known to have, or to take away what is
    /// there, also those who show nothing here and the agent itself, who must not lend others its right.
    fn credentials(&self, group: &Key, local: &Local, commands: &[Command]) -> Vec<Credential> {
        let own = self.agent.inner.authority.own();
        let registrant = local.token(group);
        let takes_away = commands.iter().all(|command| matches!(command, Command::Deregister(_)));
        if !group.as_str().is_empty() && !registrant.is_none() && !takes_away {
            return vec![registrant];
        }
        let mut all = match group.as_str().is_empty() {
            true => vec![own.agent.clone(), registrant, own.default.clone()],
            false => vec![registrant, own.default.clone(), own.agent.clone()],
        };
        all.retain(|credential| !credential.is_none());
        all.dedup();
        if all.is_empty() {
            all.push(Credential::none());
        }
        all
    }

    /// Whether what is to be written cannot be.
    fn is_cut_off(&self) -> bool {
        self.outage.is_some() || !self.led
    }

    /// Shows what the servers could not be given yet; what they have told meanwhile not any more.
    fn show_unsent(&mut self, local: &Local, base: &State, now: Instant) {
        let cut_off = self.is_cut_off();
        if !cut_off && self.shown.is_empty() {
            self.agent.inner.unsent.store(0, Ordering::Relaxed);
            UNSENT_GROUPS.set(0);
            return;
        }
        // A node that knows nothing of the registry does not begin one of its own.
        if !self.show_due || now < self.next_show || base.index() == Index(0) {
            return;
        }
        self.show_due = false;
        self.next_show = now + SHOW_SPACING;
        let unsent = self.pending.iter().chain(self.flying.keys()).filter(|_| cut_off).chain(self.shown.keys());
        let refused = |group: &Key| self.held.get(group).is_some_and(|hold| hold.failures > 0);
        let unsent = unsent.filter(|group| !refused(group)).collect::<BTreeSet<_>>().into_iter();
        let unsent = unsent.map(|group| (group.clone(), local.commands(group, base, now)));
        let unsent: BTreeMap<Key, Vec<Command>> = unsent.filter(|(_, commands)| !commands.is_empty()).collect();
        self.agent.inner.unsent.store(unsent.len(), Ordering::Relaxed);
        UNSENT_GROUPS.set(unsent.len());
        if unsent != self.shown {
            self.agent.inner.reader.show(unsent.values().flatten().cloned().collect(), Time::now());
            self.shown = unsent;
        }
    }

    fn may_write(&self, group: &Key, now: Instant) -> bool {
        !self.flying.contains_key(group) && self.held.get(group).is_none_or(|hold| hold.until <= now)
    }

    fn finish(&mut self, done: Result<(Key, Result<Index, WriteError>), JoinError>) {
        // A write never panics and is never aborted while this loop runs.
        let Ok((group, result)) = done else { return };
        let changed_here = self.flying.remove(&group).unwrap_or_default();
        self.show_due = true;
        match result {
            Ok(index) => {
                self.floor = self.floor.max(index);
                if self.outage.take().is_some() {
                    tracing::info!("the registry takes this node's registrations again");
                }
                if changed_here {
                    self.held.remove(&group);
                } else {
                    self.agent.inner.local().told(&group);
                    self.held.insert(group, Hold { failures: 0, until: Instant::now() + REPAIR_SPACING });
                }
            }
            Err(WriteError::Refused(refusal)) => self.hold_refused(group, &refusal),
            Err(WriteError::Denied(denial)) => {
                let remedy = "register it with a token that allows it, or give this agent one (acl.tokens)";
                self.hold_refused(group, &format_args!("{denial}: {remedy}"));
            }
            Err(WriteError::Unreachable(error)) => {
                self.pending.insert(group);
                self.meet_outage(&error);
            }
        }
    }

    fn hold_refused(&mut self, group: Key, reason: &dyn Display) {
        let hold = Hold::after_failure(self.held.get(&group).copied(), REFUSED_WAIT_MAX);
        if hold.failures == 1 {
            tracing::warn!(about = about(&group), %reason, "the registry refuses a registration; trying again");
        }
        self.held.insert(group.clone(), hold);
        self.pending.insert(group);
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

    fn wake_at(&self, behind: bool) -> Instant {
        let now = Instant::now();
        if self.is_cut_off() || !self.shown.is_empty() {
            let soon = Some(self.next_show).filter(|next| self.show_due && *next > now);
            let look = soon.unwrap_or(now + LEADER_LOOK);
            return self.outage.map(|outage| outage.until).filter(|until| *until > now).map_or(look, |u| u.min(look));
        }
        if behind || !self.adopted {
            return now + LEADER_LOOK;
        }
        if !self.flying.is_empty() {
            // A write that ends wakes the loop; what is held meanwhile is not worth a look through all that is pending.
            return self.next_pass.min(now + LEADER_LOOK);
        }
        let held = self.pending.iter().filter_map(|group| self.held.get(group));
        held.map(|hold| hold.until).fold(self.next_pass, Instant::min)
    }
}

/// Returns when a leader has answered and the view has what it has, however long that takes.
fn heard_of(agent: &Agent) -> impl Future<Output = ()> + use<> {
    let inner = agent.inner.clone();
    async move {
        for tries in 1_u32.. {
            match inner.backend.barrier(Consistency::Leader).await {
                Ok(index) => return inner.reader.reach(index).await,
                Err(error) => tracing::debug!(%error, "the node's registrations cannot be read yet"),
            }
            tokio::time::sleep(wait_after(tries, OUTAGE_WAIT_MAX)).await;
        }
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

async fn write(
    agent: Agent,
    group: Key,
    commands: Vec<Command>,
    by: Vec<Credential>,
) -> (Key, Result<Index, WriteError>) {
    let mut last = Index(0);
    for command in commands {
        let mut written = Err(BackendError::NoServers);
        for credential in &by {
            written = agent.inner.backend.write(command.clone(), credential).await;
            if !matches!(written, Err(BackendError::Denied(_))) {
                break;
            }
        }
        match written {
            Err(BackendError::Denied(denial)) => return (group, Err(WriteError::Denied(denial))),
            Ok(Written { outcome: Outcome::Refused(refusal), .. }) => {
                return (group, Err(WriteError::Refused(refusal)));
            }
            Ok(Written { index, .. }) => last = last.max(index),
            Err(error) => return (group, Err(WriteError::Unreachable(error))),
        }
    }
    (group, Ok(last))
}
