//! A pool of [`Protocol`]s in virtual time on a network that delays, loses and cuts. One seed decides everything.
//!
//! `simulation` has tests of behaviour, `scale` figures. Nothing here sleeps or opens a socket, and no node is made of it.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    net::SocketAddr,
    time::Duration,
};

use foca_rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::{
    config::{PoolConfig, Timing},
    identity::Identity,
    member::{MemberStatus, Record},
    protocol::Protocol,
    wire::{Knowledge, Reply, Request},
};

pub(super) const SECOND: Duration = Duration::from_secs(1);
/// Packets that wait for a node that does not read: what the system's buffer holds of packets this size.
const BUFFERED_PACKETS: usize = 128;

#[derive(Debug)]
enum Event {
    Packet(Vec<u8>),
    Request(usize, Request),
    Answer(SocketAddr, Option<Knowledge>),
}

pub(super) struct Node {
    pub protocol: Protocol,
    started: Duration,
    pub running: bool,
    /// Nodes on different sides do not reach each other.
    pub side: usize,
    /// It gets no processor until then.
    pub stalled_until: Duration,
    /// So much later it hears everything.
    pub lag: Duration,
    /// The names of the events it was told of, in their order.
    pub events: Vec<String>,
    /// Packets that wait for it to read.
    waiting: usize,
    due: Duration,
    pub sent_packets: u64,
    pub sent_bytes: u64,
    pub exchanges: u64,
}

pub(super) struct Network {
    pub now: Duration,
    pub nodes: Vec<Node>,
    by_address: HashMap<SocketAddr, usize>,
    events: BinaryHeap<Reverse<(Duration, u64)>>,
    timers: BinaryHeap<Reverse<(Duration, usize)>>,
    /// The receiver of each event (an address may have changed hands) and the event.
    payloads: HashMap<u64, (usize, Event)>,
    pub sent: u64,
    random: SmallRng,
    pub loss: f64,
    /// The share of packets that arrive with a few bytes changed.
    pub damage: f64,
    /// No packets arrive, only streams: a firewall that knows TCP alone.
    pub streams_only: bool,
    timing: Timing,
}

impl Network {
    pub fn new(seed: u64, timing: Timing) -> Self {
        Self {
            now: Duration::ZERO,
            nodes: Vec::new(),
            by_address: HashMap::new(),
            events: BinaryHeap::new(),
            timers: BinaryHeap::new(),
            payloads: HashMap::new(),
            sent: 0,
            random: SmallRng::seed_from_u64(seed),
            loss: 0.0,
            damage: 0.0,
            streams_only: false,
            timing,
        }
    }

    /// A pool of so many nodes that have known each other for long: none has news to tell.
    pub fn formed(seed: u64, size: u16) -> Self {
        let mut network = Self::new(seed, Timing::lan());
        for index in 0..size {
            network.start(&format!("node-{index:03}"), 1000 + index);
        }
        let records: Vec<Record> = network.nodes.iter().map(|node| node.protocol.own().clone()).collect();
        for node in 0..network.nodes.len() {
            network.call(node, |protocol, now| protocol.know(now, &records));
        }
        network
    }

    /// Starts a node; its generation is its start, as with the wall clock.
    pub fn start(&mut self, name: &str, port: u16) -> usize {
        self.start_at(name, port, u64::try_from(self.now.as_millis()).unwrap_or(u64::MAX / 2) + 1_000_000)
    }

    pub fn start_at(&mut self, name: &str, port: u16, generation: u64) -> usize {
        let address = SocketAddr::from(([10, 0, 0, 1], port));
        let tags = [("role".to_owned(), name.to_owned())].into();
        let config = PoolConfig { timing: self.timing, tags, ..PoolConfig::new(name, address) };
        self.start_with(&config, generation)
    }

    /// Starts a node whose address is that which it listens on.
    pub fn start_with(&mut self, config: &PoolConfig, generation: u64) -> usize {
        let address = config.bind;
        let identity = Identity { address, generation, renewal: 0 };
        let protocol = Protocol::new(config, identity, self.random.random());
        self.nodes.push(Node {
            protocol,
            started: self.now,
            running: true,
            side: 0,
            stalled_until: Duration::ZERO,
            lag: Duration::ZERO,
            events: Vec::new(),
            waiting: 0,
            due: Duration::MAX,
            sent_packets: 0,
            sent_bytes: 0,
            exchanges: 0,
        });
        let node = self.nodes.len() - 1;
        self.by_address.insert(address, node);
        self.keep_time(node);
        node
    }

    pub fn call<R>(&mut self, node: usize, call: impl FnOnce(&mut Protocol, Duration) -> R) -> R {
        let now = self.now - self.nodes[node].started;
        let result = call(&mut self.nodes[node].protocol, now);
        let output = self.nodes[node].protocol.take_output();
        self.nodes[node].events.extend(output.events.iter().map(|event| event.name.clone()));
        for (address, mut packet) in output.packets {
            assert!(packet.len() <= super::limits::MAX_PACKET_BYTES, "a packet of {} bytes", packet.len());
            self.nodes[node].sent_packets += 1;
            self.nodes[node].sent_bytes += packet.len() as u64;
            if self.random.random_bool(self.damage) {
                for _ in 0..self.random.random_range(1..4) {
                    let at = self.random.random_range(0..packet.len());
                    packet[at] = self.random.random();
                }
            }
            let lost = self.streams_only || self.random.random_bool(self.loss);
            if let Some(to) = self.holder(address).filter(|to| !lost && self.reaches(node, *to)) {
                self.send(to, Event::Packet(packet));
            }
        }
        for (address, request) in output.exchanges {
            self.nodes[node].exchanges += 1;
            match self.holder(address).filter(|to| self.reaches(node, *to)) {
                Some(to) => self.send(to, Event::Request(node, request)),
                None => self.send(node, Event::Answer(address, None)),
            }
        }
        self.keep_time(node);
        result
    }

    fn keep_time(&mut self, node: usize) {
        let held = &mut self.nodes[node];
        let due = held.started.saturating_add(held.protocol.next_deadline());
        if due != held.due {
            held.due = due;
            self.timers.push(Reverse((due, node)));
        }
    }

    fn send(&mut self, to: usize, event: Event) {
        let delay = Duration::from_micros(self.random.random_range(100..3000));
        self.deliver_at(self.now + delay + self.nodes[to].lag, to, event);
    }

    fn deliver_at(&mut self, at: Duration, to: usize, event: Event) {
        self.sent += 1;
        self.events.push(Reverse((at, self.sent)));
        self.payloads.insert(self.sent, (to, event));
    }

    fn holder(&self, address: SocketAddr) -> Option<usize> {
        self.by_address.get(&address).copied().filter(|node| self.nodes[*node].running)
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        self.nodes[to].running && self.nodes[from].side == self.nodes[to].side
    }

    fn deliver(&mut self, number: u64) {
        let Some((to, event)) = self.payloads.remove(&number) else { return };
        let node = &mut self.nodes[to];
        if !node.running {
            return;
        }
        if self.now < node.stalled_until {
            let packet = matches!(event, Event::Packet(_));
            if !packet || node.waiting < BUFFERED_PACKETS {
                node.waiting += usize::from(packet);
                let at = node.stalled_until;
                self.deliver_at(at, to, event);
            }
            return;
        }
        node.waiting = 0;
        match event {
            Event::Packet(packet) => self.call(to, |protocol, now| protocol.packet(now, &packet)),
            Event::Answer(address, answer) => {
                self.call(to, |protocol, now| protocol.finish_exchange(now, address, answer));
            }
            Event::Request(from, request) => {
                let address = self.nodes[to].protocol.own().identity.address;
                let answer = match self.call(to, |protocol, now| protocol.answer(now, request)) {
                    Reply::Known(knowledge) => Some(knowledge),
                    Reply::Refused(_) => None,
                };
                self.send(from, Event::Answer(address, answer));
            }
        }
    }

    pub fn join(&mut self, node: usize, other: usize) {
        let request = self.call(node, |protocol, now| protocol.push_pull_request(now));
        if let Reply::Known(theirs) = self.call(other, |protocol, now| protocol.answer(now, request)) {
            self.call(node, |protocol, now| protocol.finish_join(now, theirs));
        }
    }

    /// The next timer that counts.
    fn timer(&mut self) -> Option<(Duration, usize)> {
        while let Some(Reverse((at, node))) = self.timers.peek().copied() {
            let held = &mut self.nodes[node];
            if !held.running || held.due != at {
                self.timers.pop();
            } else if at < held.stalled_until && self.now < held.stalled_until {
                self.timers.pop();
                held.due = held.stalled_until;
                self.timers.push(Reverse((held.due, node)));
            } else {
                return Some((at, node));
            }
        }
        None
    }

    /// Lets the time pass to the next thing that happens, at most to `limit`.
    pub fn step(&mut self, limit: Duration) {
        let event = self.events.peek().map(|Reverse((at, _))| *at);
        let (timer, node) = self.timer().unwrap_or((Duration::MAX, 0));
        let next = event.unwrap_or(Duration::MAX).min(timer).max(self.now);
        if next > limit {
            self.now = limit;
        } else if event.is_some_and(|at| at <= timer) {
            // Packets first, as in `runtime`.
            self.now = next;
            if let Some(Reverse((_, number))) = self.events.pop() {
                self.deliver(number);
            }
        } else {
            self.now = next;
            self.timers.pop();
            self.nodes[node].due = Duration::MAX;
            self.call(node, |protocol, now| protocol.advance(now));
        }
    }

    pub fn pass(&mut self, time: Duration) {
        let limit = self.now + time;
        while self.now < limit {
            self.step(limit);
        }
    }

    /// True when all running nodes show all running nodes, and nobody else, as alive.
    pub fn is_whole(&self) -> bool {
        let running: Vec<_> = self.nodes.iter().filter(|node| node.running).collect();
        running.iter().all(|node| node.protocol.table.addresses(MemberStatus::Alive).count() == running.len())
    }
}

impl Protocol {
    /// Takes records as if they had been known for long.
    fn know(&mut self, now: Duration, records: &[Record]) {
        let others = || records.iter().filter(|record| record.name != self.name).cloned();
        let updates: Vec<_> = others().map(|record| foca::Member::alive(record.identity)).collect();
        let records: Vec<_> = others().collect();
        for record in records {
            self.table.merge(record, now);
        }
        if let Err(error) = self.foca.apply_many(updates.into_iter(), false, &mut self.events) {
            tracing::debug!(%error, "member updates were not applied");
        }
        self.settle(now);
    }
}
