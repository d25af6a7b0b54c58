//! The protocol without sockets or clocks: foca, the member table and the timers of one node.
//!
//! Whoever drives it passes the time since the start with each call, gives it what arrives, and afterwards carries out
//! [`Protocol::take_output`]. [`super::runtime`] does that with sockets, the simulation in the tests with queues.
//! Foca is the judge of who answers; the table adds names, tags and intents, and [`super::sweep`] brings it in line with
//! what foca reports. All of foca's timers are kept here, and so how long it waits is decided here too:
//! [`super::awareness`] stretches its probes, [`super::suspicion`] sets its time-outs. What peers tell in bulk is merged in
//! [`super::push_pull`], what they broadcast in [`super::dissemination`].

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, mpsc},
    time::Duration,
};

use foca::{AccumulatingRuntime, Codec, Foca, OwnedNotification, State, Timer};
use foca_rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::{
    awareness::Health,
    broadcast::{Broadcast, Relay},
    config::{PoolConfig, Timing},
    envelope::{Envelope, Kind, OpenError},
    fallback::Fallback,
    identity::{CheckedCodec, Identity},
    limits::{MAX_EXCHANGES, MAX_MEMBERS, MAX_PACKET_BYTES},
    member::{Facts, Member, MemberStatus, Record},
    replay::ReplayGuard,
    round_trip::RoundTrips,
    suspicion::Suspicions,
    sweep::Unswept,
    table::Table,
    user_event::{EventBuffer, UserEvent},
    wire::{Knowledge, Request},
};
use crate::{
    metrics::{GOSSIP_DROPPED, GOSSIP_HEALTH, GossipDrop},
    model::Coordinate,
};

/// A description that foca's news came without is fetched after this many gossip turns.
pub(super) const FETCH_TURNS: u32 = 5;
/// With more missing than this, one whole table is fetched instead.
const MAX_FETCHES: usize = 4;
/// How often the table is searched for members to forget, as a part of the time to reap.
const REAPS_PER_PERIOD: u32 = 100;

/// Whether this node takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Present,
    Leaving,
    Left,
}

/// What is to be done after a call.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Sealed UDP packets.
    pub packets: Vec<(SocketAddr, Vec<u8>)>,
    /// Exchanges to start; each must end in [`Protocol::finish_exchange`].
    pub exchanges: Vec<(SocketAddr, Request)>,
    /// User events that were news.
    pub events: Vec<Arc<UserEvent>>,
}

/// See the module's header.
pub(super) struct Protocol {
    pub(super) name: String,
    pub(super) timing: Timing,
    pub(super) foca: Foca<Identity, CheckedCodec, SmallRng, Relay>,
    pub(super) events: AccumulatingRuntime<Identity>,
    pub(super) table: Table,
    pub(super) presence: Presence,
    pub(super) envelope: Envelope,
    replay: ReplayGuard,
    pub(super) fallback: Fallback,
    pub(super) health: Health,
    pub(super) suspicions: Suspicions,
    received: mpsc::Receiver<Broadcast>,
    timers: BinaryHeap<Reverse<Due>>,
    timer_count: u64,
    pub(super) unswept: Unswept,
    /// Alive addresses whose description is missing or old, and when to ask them.
    pub(super) undescribed: BTreeMap<SocketAddr, Duration>,
    /// Down identities without a record, seen at the last reaping.
    forgettable: HashSet<Identity>,
    in_flight: HashSet<SocketAddr>,
    rejoin: Vec<SocketAddr>,
    rejoin_turn: usize,
    push_pull_at: Duration,
    reconnect_at: Duration,
    reap_at: Duration,
    pub(super) conflict_logged_at: Option<Duration>,
    pub(super) sized_for: usize,
    logged: HashMap<String, (SocketAddr, MemberStatus)>,
    /// What was logged, for the simulation.
    #[cfg(any(test, feature = "simulation"))]
    pub(super) history: Vec<(String, MemberStatus)>,
    pub(super) user_events: EventBuffer,
    pub(super) round_trips: RoundTrips,
    pub(super) random: SmallRng,
    pub(super) output: Output,
}

/// A timer of foca's. Ordered by time, then by when it was set.
#[derive(Debug, PartialEq, Eq)]
struct Due {
    at: Duration,
    number: u64,
    timer: Timer<Identity>,
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Protocol {
    /// A node that knows nobody, at time zero. `seed` is the source of all its randomness.
    pub fn new(config: &PoolConfig, identity: Identity, seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let foca_random = SmallRng::seed_from_u64(random.random());
        let (relay, received) = Relay::new();
        let timing = config.timing.clamped();
        let foca = Foca::with_custom_broadcast(identity, timing.foca(1), foca_random, CheckedCodec, relay);
        let mut protocol = Self {
            name: config.name.clone(),
            timing,
            foca,
            events: AccumulatingRuntime::new(),
            table: Table::new(timing.reap, timing.reap_left),
            presence: Presence::Present,
            envelope: Envelope::new(&config.label, config.keyring.clone()),
            replay: ReplayGuard::default(),
            fallback: Fallback::default(),
            health: Health::shown_in(config.shows_health.then_some(&GOSSIP_HEALTH)),
            suspicions: Suspicions::default(),
            received,
            timers: BinaryHeap::new(),
            timer_count: 0,
            unswept: Unswept::default(),
            undescribed: BTreeMap::new(),
            forgettable: HashSet::new(),
            in_flight: HashSet::new(),
            rejoin: config.rejoin.clone(),
            rejoin_turn: 0,
            push_pull_at: Duration::ZERO,
            reconnect_at: if config.rejoin.is_empty() { timing.reconnect } else { Duration::ZERO },
            reap_at: timing.reap.min(timing.reap_left) / REAPS_PER_PERIOD,
            conflict_logged_at: None,
            sized_for: 1,
            logged: HashMap::new(),
            #[cfg(any(test, feature = "simulation"))]
            history: Vec::new(),
            user_events: EventBuffer::default(),
            round_trips: RoundTrips::default(),
            random,
            output: Output::default(),
        };
        protocol.push_pull_at = protocol.jittered(timing.push_pull);
        let (name, tags) = (config.name.clone(), config.tags.clone());
        let own = Record { name, identity, tags, revision: 1, facts: Facts::default(), age_s: 0 };
        protocol.broadcast(&Broadcast::describing(&own));
        protocol.table.set_own(own, Duration::ZERO);
        protocol
    }

    /// Our own record.
    pub fn own(&self) -> &Record {
        self.table.record(&self.name).expect("our own record is set at the start and never reaped")
    }

    /// Every member that is shown, by name.
    pub fn members(&self) -> Vec<Member> {
        self.table.members().collect()
    }

    /// The coordinate of each member that has told one, and our own, by name.
    pub fn coordinates(&self) -> Vec<(String, Coordinate)> {
        let of = |(name, address, _): (&str, SocketAddr, MemberStatus)| {
            let own = (name == self.name).then(|| self.round_trips.own());
            Some((name.to_owned(), own.or_else(|| self.round_trips.of(address))?))
        };
        self.table.statuses().filter_map(of).collect()
    }

    /// The packets and exchanges since the last call.
    pub fn take_output(&mut self) -> Output {
        std::mem::take(&mut self.output)
    }

    /// Takes a UDP packet. Whatever is in it, it changes nothing unless it is a good one.
    pub fn packet(&mut self, now: Duration, sealed: &[u8]) {
        // Foca would answer news of its own end by coming back; a node that has left must not.
        if self.presence == Presence::Left {
            return;
        }
        if let Err(reason) = self.take_packet(now, sealed) {
            GOSSIP_DROPPED.count(reason as usize);
        }
    }

    fn take_packet(&mut self, now: Duration, sealed: &[u8]) -> Result<(), GossipDrop> {
        if sealed.len() > MAX_PACKET_BYTES {
            return Err(GossipDrop::TooLarge);
        }
        let kind =
            Kind::of(sealed).filter(|kind| matches!(kind, Kind::Swim | Kind::Trip)).ok_or(GossipDrop::Foreign)?;
        let opened = self.envelope.open(kind, sealed).map_err(OpenError::reason)?;
        if opened.nonce.is_some_and(|nonce| !self.replay.is_new(nonce)) {
            return Err(GossipDrop::Replayed);
        }
        if kind == Kind::Trip {
            self.take_trip(now, &opened.payload);
            return Ok(());
        }
        if !self.has_room_for(&opened.payload) {
            return Err(GossipDrop::NoRoom);
        }
        self.fallback.heard(&opened.payload);
        self.acknowledge_request(&opened.payload);
        let taken = self.foca.handle_data(&opened.payload, &mut self.events);
        self.settle(now);
        taken.map_err(|error| {
            tracing::debug!(%error, "a gossip packet was dropped");
            GossipDrop::Malformed
        })
    }

    /// Does what is due at `now`.
    pub fn advance(&mut self, now: Duration) {
        while self.timers.peek().is_some_and(|Reverse(due)| due.at <= now) {
            let Some(Reverse(due)) = self.timers.pop() else { break };
            self.take_timer(now, due);
        }
        if self.reap_at <= now {
            self.reap_at = now + self.timing.reap.min(self.timing.reap_left) / REAPS_PER_PERIOD;
            self.reap(now);
        }
        if self.presence == Presence::Present {
            self.start_due_exchanges(now);
            self.start_due_round_trip(now);
        }
        self.settle(now);
    }

    /// One of foca's timers is due, or was while nobody called.
    fn take_timer(&mut self, now: Duration, Due { at, timer, .. }: Due) {
        let late = self.health.take_lateness(now.saturating_sub(at), self.timing.probe_rtt);
        match timer {
            // What would have spoken for the member may be here, and not read yet.
            Timer::ChangeSuspectToDown { .. } if late => {
                return self.set_timer(now + self.health.stretched(self.timing.probe_period), timer);
            }
            Timer::ChangeSuspectToDown { member_id, incarnation, .. } if !self.condemns(member_id, incarnation) => {
                return;
            }
            Timer::SendIndirectProbe { probed_id, .. } => {
                if self.fallback.waits_for(probed_id) {
                    self.probe_by_stream(probed_id);
                }
                if late {
                    self.postpone_probe(now);
                }
            }
            Timer::ProbeRandomMember(_) => {
                if let Some(answered) = self.fallback.end() {
                    self.health.end_probe(answered);
                }
                self.suspicions.forget(now);
            }
            _ => {}
        }
        if let Err(error) = self.foca.handle_timer(timer, &mut self.events) {
            tracing::debug!(%error, "a gossip timer came late");
        }
        self.settle(now);
    }

    /// The help of others with the present probe was asked for late: its end comes as much later.
    fn postpone_probe(&mut self, now: Duration) {
        let end = now + self.health.stretched(self.timing.probe_period - self.timing.probe_rtt);
        let timers = std::mem::take(&mut self.timers).into_iter().map(|Reverse(mut due)| {
            if matches!(due.timer, Timer::ProbeRandomMember(_)) {
                due.at = due.at.max(end);
            }
            Reverse(due)
        });
        self.timers = timers.collect();
    }

    pub(super) fn set_timer(&mut self, at: Duration, timer: Timer<Identity>) {
        self.timer_count += 1;
        self.timers.push(Reverse(Due { at, number: self.timer_count, timer }));
    }

    /// For how long foca's timer runs: what it wants, but for what is decided here.
    fn time_of(&mut self, now: Duration, wanted: Duration, timer: &Timer<Identity>) -> Duration {
        match timer {
            Timer::SendIndirectProbe { .. } | Timer::ProbeRandomMember(_) => self.health.stretched(wanted),
            Timer::ChangeSuspectToDown { .. } => self.begin_suspicion(now, timer).unwrap_or(wanted),
            _ => wanted,
        }
    }

    /// Hands on a packet of foca's.
    fn send(&mut self, to: Identity, data: &[u8]) {
        if let Ok(header) = CheckedCodec.decode_header(&mut &*data) {
            self.health.sent(to.address, &header);
            if self.fallback.sent(to, &header) {
                self.notify_probed(to);
            }
        }
        self.output.packets.push((to.address, self.envelope.seal(Kind::Swim, data)));
    }

    /// When [`Protocol::advance`] has something to do.
    pub fn next_deadline(&self) -> Duration {
        let timer = self.timers.peek().map(|Reverse(due)| due.at);
        let own = [self.push_pull_at, self.reconnect_at, self.round_trips.next_at]
            .into_iter()
            .chain(self.undescribed.values().copied());
        let own = own.filter(|_| self.presence == Presence::Present);
        own.chain(timer).fold(self.reap_at, Duration::min)
    }

    /// Forgets members long gone, and foca's down identities that nobody has described since the last time.
    fn reap(&mut self, now: Duration) {
        let Self { table, round_trips, .. } = self;
        table.reap(&self.name, now);
        round_trips.retain(|address| table.has_address(address));
        let down = self.foca.iter_membership_state().filter(|member| member.state() == State::Down);
        let unknown = down.map(|member| *member.id()).filter(|identity| !self.table.has_address(identity.address));
        let (gone, recent): (HashSet<_>, HashSet<_>) =
            unknown.partition(|identity| self.forgettable.contains(identity));
        self.forgettable = recent;
        for identity in gone {
            if let Err(error) = self.foca.handle_timer(Timer::RemoveDown(identity), &mut self.events) {
                tracing::debug!(%error, "an identity was not forgotten");
            }
        }
    }

    fn start_due_exchanges(&mut self, now: Duration) {
        if self.push_pull_at <= now {
            self.push_pull_at = now + self.jittered(self.timing.push_pull * push_pull_scale(self.foca.num_members()));
            let own = self.foca.identity().address;
            let alive: Vec<_> = self.table.addresses(MemberStatus::Alive).filter(|address| *address != own).collect();
            if let Some(address) = self.pick(&alive) {
                self.start_exchange(address, self.push_pull_request(now));
            }
        }
        if self.reconnect_at <= now {
            let failed: Vec<_> = self.table.addresses(MemberStatus::Failed).collect();
            let known = self.pick(&failed);
            let former = if self.foca.num_members() == 0 { self.next_rejoin() } else { None };
            // Alone with somewhere to go, there is no reason to be patient.
            let pause = if former.is_some() { self.timing.probe_period } else { self.timing.reconnect };
            self.reconnect_at = now + self.jittered(pause);
            for address in known.into_iter().chain(former) {
                self.start_exchange(address, self.push_pull_request(now));
            }
        }
        self.fetch_descriptions(now);
    }

    /// Asks members for their descriptions: each itself, or when many are missing one of them for all it knows.
    fn fetch_descriptions(&mut self, now: Duration) {
        if self.undescribed.values().all(|at| *at > now) {
            return;
        }
        let active: HashMap<_, _> =
            self.foca.iter_members().map(|member| (member.id().address, *member.id())).collect();
        let Self { undescribed, table, .. } = self;
        undescribed.retain(|address, _| active.get(address).is_some_and(|identity| !table.describes(*identity)));
        let due: Vec<_> = undescribed.iter().filter(|(_, at)| **at <= now).map(|(address, _)| *address).collect();
        let again = self.timing.gossip * if due.len() > MAX_FETCHES { FETCH_TURNS } else { FETCH_TURNS * FETCH_TURNS };
        for address in &due {
            self.undescribed.insert(*address, now + again);
        }
        if due.len() > MAX_FETCHES {
            if let Some(address) = self.pick(&due) {
                self.start_exchange(address, self.push_pull_request(now));
            }
        } else {
            for address in due {
                self.start_exchange(address, Request::Describe);
            }
        }
    }

    pub(super) fn start_exchange(&mut self, address: SocketAddr, request: Request) {
        if self.in_flight.len() < MAX_EXCHANGES && self.in_flight.insert(address) {
            self.output.exchanges.push((address, request));
        }
    }

    /// An exchange of [`Output`] has ended; its answer, if there was one.
    pub fn finish_exchange(&mut self, now: Duration, address: SocketAddr, answer: Option<Knowledge>) {
        self.in_flight.remove(&address);
        if let Some(theirs) = answer {
            self.take_stream_answer(address, &theirs);
            self.merge_remote(now, theirs);
        }
    }

    /// A join was answered with this. Tells the pool about us once more: the first time may have been for nobody.
    /// Events from before are not for us.
    pub fn finish_join(&mut self, now: Duration, theirs: Knowledge) {
        self.user_events.ignore_until(theirs.event_time);
        self.merge_remote(now, theirs);
        if self.presence == Presence::Present {
            self.broadcast(&Broadcast::describing(&self.own().clone()));
        }
    }

    fn next_rejoin(&mut self) -> Option<SocketAddr> {
        let own = self.foca.identity().address;
        let addresses: Vec<_> = self.rejoin.iter().copied().filter(|address| *address != own).collect();
        self.rejoin_turn = self.rejoin_turn.wrapping_add(1);
        addresses.get(self.rejoin_turn % addresses.len().max(1)).copied()
    }

    pub(super) fn pick(&mut self, addresses: &[SocketAddr]) -> Option<SocketAddr> {
        if addresses.is_empty() { None } else { Some(addresses[self.random.random_range(0..addresses.len())]) }
    }

    pub(super) fn jittered(&mut self, interval: Duration) -> Duration {
        interval.mul_f64(self.random.random_range(0.8..1.2))
    }

    /// Queues an item for dissemination.
    pub(super) fn broadcast(&mut self, item: &Broadcast) {
        if let Err(error) = self.foca.add_broadcast(&item.encode()) {
            tracing::debug!(%error, "a broadcast was not queued");
        }
    }

    /// Tells foca about identities and their states.
    pub(super) fn tell_foca(&mut self, updates: Vec<foca::Member<Identity>>) {
        if let Err(error) = self.foca.apply_many(updates.into_iter(), true, &mut self.events) {
            tracing::debug!(%error, "member updates were not applied");
        }
    }

    /// Carries out what foca wants done and follows what it reports, until nothing is left.
    pub(super) fn settle(&mut self, now: Duration) {
        loop {
            while let Some((to, data)) = self.events.to_send() {
                self.send(to, &data);
            }
            while let Some((wanted, timer)) = self.events.to_schedule() {
                let after = self.time_of(now, wanted, &timer);
                self.set_timer(now + after, timer);
            }
            if let Some(notification) = self.events.to_notify() {
                self.follow(notification, now);
            } else if let Ok(item) = self.received.try_recv() {
                self.take_item(item, now);
            } else if !self.sweep(now) {
                break;
            }
        }
        self.log_changes(now);
    }

    fn follow(&mut self, notification: OwnedNotification<Identity>, now: Duration) {
        match notification {
            OwnedNotification::Rejoin(_) => {
                self.health.was_declared_down();
                self.identity_changed(now);
            }
            // From here on packets reach somebody: those sent before may have been for nobody.
            OwnedNotification::Active => self.broadcast(&Broadcast::describing(&self.own().clone())),
            OwnedNotification::MemberUp(identity)
            | OwnedNotification::MemberDown(identity)
            | OwnedNotification::Rename(_, identity) => self.unswept.note(identity.address),
            OwnedNotification::Idle | OwnedNotification::Defunct => {}
        }
    }

    /// Foca goes by a new identity: our record follows, and so must everybody's.
    pub(super) fn identity_changed(&mut self, now: Duration) {
        let identity = *self.foca.identity();
        let leaves = self.presence != Presence::Present;
        let facts = Facts { leaves, ..Facts::default() };
        tracing::info!(address = %identity.address, generation = identity.generation, renewal = identity.renewal,
            "others held this node down or in a former life: it takes a new incarnation");
        self.describe_ourselves(now, Record { identity, facts, ..self.own().clone() });
        if leaves {
            self.broadcast(&Broadcast::Departure { identity, facts });
        }
        // A changed identity starts disconnected; this makes foca probe again at once.
        self.tell_foca(Vec::new());
    }

    /// False when foca's member list is full and the packet names an address that is not in it.
    fn has_room_for(&self, payload: &[u8]) -> bool {
        // An update has at least 12 bytes, so one packet cannot name more addresses than this.
        if self.foca.iter_membership_state().len() + MAX_PACKET_BYTES / 12 < MAX_MEMBERS {
            return true;
        }
        let known: HashSet<_> = self.foca.iter_membership_state().map(|member| member.id().address).collect();
        super::identity::addresses_of(payload).is_some_and(|named| named.iter().all(|address| known.contains(address)))
    }

    fn log_changes(&mut self, now: Duration) {
        for name in self.table.take_touched() {
            let Some(record) = self.table.record(&name).filter(|record| !record.facts.pruned) else {
                self.logged.remove(&name);
                continue;
            };
            let (identity, status) = (record.identity, record.facts.status());
            let address = identity.address;
            if self.logged.insert(name.clone(), (address, status)) != Some((address, status)) {
                tracing::info!(member = name, %address, %status, "a gossip member changed");
                if let Some(ahead) = self.foca.identity().clock_behind(now, identity) {
                    tracing::warn!(member = name, %address, ?ahead, "its clock is ahead of this host's: set both (NTP)");
                }
                #[cfg(any(test, feature = "simulation"))]
                self.history.push((name, status));
            }
        }
    }
}

/// Large pools exchange tables less often (as memberlist does): the work of all members together grows with the square.
fn push_pull_scale(members: usize) -> u32 {
    match members {
        0..=32 => 1,
        _ => members.ilog2().saturating_sub(3),
    }
}
