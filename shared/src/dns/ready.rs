//! Answers by UDP that are ready to be sent: what was asked before costs a look and a copy.
//!
//! The key is the whole question packet but for its number, with its name in lower case; the value are messages that the
//! ordinary path (`handler::consider`) made for it. So nothing here has to know what in a packet an answer depends on,
//! and both paths agree by construction. A kept message gets the number and the letters of the question that it is
//! given for: owners point there, for a compressed message writes a name once. (So do names that end as it does; to DNS
//! letter case makes no difference there, RFC 4343.) Without compression the letters are part of the key.
//!
//! **Truth.** An answer to a question about a service was made of the rows `State::instances` gave, which never change:
//! it holds while the present snapshot gives the same rows, by identity. That is looked at when the snapshot is another
//! than at the last look, and asks nothing of indexes, which a view may get from another history. An answer about a node
//! rests on its row in the same way; one that rests on more (negative ones, aliases, PTR, SOA, NS) holds for one
//! snapshot. What needs recursors, is refused, or says that nothing is known yet, is not kept.
//!
//! **Order.** The instances of a service come in an order that is drawn anew for every answer. Here a question has
//! several messages, each with another instance first (so that at any time all come first equally often) and the others
//! behind it as they were drawn. Which is given is drawn each time, and one by one they are replaced by newly drawn ones.
//! Of a service with more instances than a question has messages, the others come first when their turn is.
//!
//! **Bounds.** Entries and bytes are limited. A question gets in when it is asked twice within a short time, and pushes
//! out one that was not asked for since it was looked at last (second chance): a flood of questions that are all
//! different gets nowhere, and one of questions asked twice wears out itself.
//!
//! One is used by one loop (`datagrams`): no locks. `server` and the recursors never come here.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    mem,
    sync::{Arc, Weak},
};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use smol_str::SmolStr;

use super::{
    Settings,
    answer::{Basis, Order},
    handler::{Reply, Step, Transport, consider},
};
use crate::{
    acl::Rights,
    catalog::{Instance, State},
    model::Node,
};

/// Questions kept, at most.
pub(super) const MAX_QUESTIONS: usize = 4096;
/// What they and their messages may take, in bytes.
pub(super) const MAX_BYTES: usize = 4 << 20;
/// The longest question that is kept, in bytes: the longest name and an EDNS record.
const MAX_QUESTION_BYTES: usize = 288;
/// The longest message that is kept, in bytes.
pub(super) const MAX_MESSAGE_BYTES: usize = 4096;
/// Messages of a question whose instances come in an order, at least, and at most.
const MESSAGES: std::ops::RangeInclusive<usize> = 32..=128;
/// After how many answers one message is replaced, for each instance: drawing one then costs an answer a tenth of what
/// its system calls cost, at most.
const ANSWERS_PER_DRAW: usize = 8;
/// The same for services with more instances than messages, for so many instances: some wait to come first.
const INSTANCES_PER_ANSWER: usize = 2;
/// Questions that were asked once lately, at most.
const ASKED_ONCE: usize = 1024;
/// What an entry takes beside its key and messages, in bytes, about.
const ENTRY_BYTES: usize = 256;
/// What a message takes beside its own bytes, about.
const MESSAGE_BYTES: usize = 32;
/// Where the question is in a message, in bytes (RFC 1035, section 4.1.1).
const HEADER_BYTES: usize = 12;

/// The answers of one loop. See the module.
#[derive(Debug)]
pub struct Ready {
    entries: HashMap<Arc<[u8]>, Entry>,
    /// The keys of `entries`, the one to be looked at next first.
    queue: VecDeque<Arc<[u8]>>,
    bytes: usize,
    asked_once: Box<[u64]>,
    hasher: RandomState,
    random: SmallRng,
    /// The snapshot last seen: an address that no other state can have while this is kept.
    seen: Weak<State>,
    /// What those may see who are answered; none: everything.
    rights: Option<Arc<Rights>>,
    /// How many snapshots were seen.
    looks: u64,
    key: Vec<u8>,
}

/// What [`Ready`] did about a packet.
#[derive(Debug)]
pub(super) enum Taken {
    /// The answer is written.
    Answered,
    /// What the ordinary path said.
    Left(Option<Step>),
}

#[derive(Debug)]
struct Entry {
    rests_on: Rows,
    /// When that was found to be so.
    look: u64,
    messages: Vec<Box<[u8]>>,
    /// How many messages there shall be.
    wanted: usize,
    /// How many things they have an order of.
    ordered: usize,
    /// The thing that comes first in the next message that is drawn.
    first: usize,
    /// Which message that replaces.
    oldest: usize,
    /// Answers until then.
    until_draw: usize,
    /// Asked for since it was looked at last.
    is_used: bool,
    bytes: usize,
}

/// The rows an answer was made of.
#[derive(Debug)]
enum Rows {
    Service { name: SmolStr, instances: Box<[Weak<Instance>]> },
    Node { name: SmolStr, node: Weak<Node> },
    State,
}

impl Rows {
    fn new(basis: Basis, state: &State) -> Self {
        match basis {
            Basis::Service(name) => {
                Self::Service { instances: state.instances(&name).map(Arc::downgrade).collect(), name }
            }
            Basis::Node(name) => {
                let node = state.node(&name).map(Arc::downgrade).unwrap_or_default();
                Self::Node { name, node }
            }
            Basis::State => Self::State,
        }
    }

    /// Whether another snapshot has the same. A row's address is its own while there is a `Weak` to it.
    fn are_in(&self, state: &State) -> bool {
        match self {
            Self::Service { name, instances } => {
                state.instances(name).map(Arc::as_ptr).eq(instances.iter().map(Weak::as_ptr))
            }
            Self::Node { name, node } => state.node(name).is_some_and(|now| Arc::as_ptr(now) == node.as_ptr()),
            Self::State => false,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Service { instances, .. } => mem::size_of_val(&**instances),
            Self::Node { .. } | Self::State => 0,
        }
    }
}

impl Default for Ready {
    fn default() -> Self {
        Self::seeded(rand::random())
    }
}

impl Ready {
    /// One that draws the same orders for the same seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self {
            entries: HashMap::new(),
            queue: VecDeque::new(),
            bytes: 0,
            asked_once: vec![0; ASKED_ONCE].into_boxed_slice(),
            hasher: RandomState::new(),
            random: SmallRng::seed_from_u64(seed),
            seen: Weak::new(),
            rights: None,
            looks: 0,
            key: Vec::with_capacity(MAX_QUESTION_BYTES),
        }
    }

    /// Writes the answer to a packet that came by UDP to the end of `into`, as [`respond`](super::respond()) gives it;
    /// false where there is none. It is for the same settings each time.
    pub fn respond(&mut self, packet: &[u8], state: &Arc<State>, settings: &Settings, into: &mut Vec<u8>) -> bool {
        self.see(state, None);
        let message = match self.consider(packet, state, settings, into) {
            Taken::Answered => return true,
            Taken::Left(None) => None,
            Taken::Left(Some(Step::Reply(reply))) => Some(reply.message),
            Taken::Left(Some(Step::Wait(wait))) => wait.give_up(),
        };
        message.inspect(|message| into.extend_from_slice(message)).is_some()
    }

    /// To be told the present snapshot, and what may be seen of it, before packets are answered from it.
    pub(super) fn see(&mut self, state: &Arc<State>, rights: Option<Arc<Rights>>) {
        if rights.as_deref().map(Rights::fingerprint) != self.rights.as_deref().map(Rights::fingerprint) {
            self.entries.clear();
            self.queue.clear();
            self.bytes = 0;
        }
        self.rights = rights;
        if Arc::as_ptr(state) != self.seen.as_ptr() {
            self.seen = Arc::downgrade(state);
            self.looks += 1;
        }
    }

    /// Answers a packet from what is kept, or else as the ordinary path does. `state` was [seen](Self::see) last.
    pub(super) fn consider(&mut self, packet: &[u8], state: &State, settings: &Settings, into: &mut Vec<u8>) -> Taken {
        let Some(name_end) = write_key(packet, !settings.disable_compression, &mut self.key) else {
            return Taken::Left(self.draw(packet, state, settings, None));
        };
        let Some(entry) = self.entries.get_mut(&*self.key) else {
            return self.first(packet, state, settings);
        };
        entry.is_used = true;
        if entry.look != self.looks {
            if entry.rests_on.are_in(state) {
                entry.look = self.looks;
            } else {
                return self.renew(packet, state, settings);
            }
        }
        let wants_more = entry.messages.len() < entry.wanted;
        if wants_more || (entry.wanted > 1 && entry.until_draw == 0) {
            return self.another(packet, state, settings);
        }
        entry.until_draw = entry.until_draw.saturating_sub(1);
        let place = if entry.wanted > 1 { self.random.random_range(0..entry.messages.len()) } else { 0 };
        give(&entry.messages[place], packet, name_end, into);
        Taken::Answered
    }

    /// A question that is not kept.
    fn first(&mut self, packet: &[u8], state: &State, settings: &Settings) -> Taken {
        let step = self.draw(packet, state, settings, None);
        if let Some(Step::Reply(reply)) = &step
            && reply.basis.is_some()
            && self.admits()
        {
            let key: Arc<[u8]> = self.key.as_slice().into();
            self.queue.push_back(key.clone());
            self.bytes += ENTRY_BYTES + key.len();
            self.entries.insert(key, Entry::new(self.looks));
            return self.renew(packet, state, settings);
        }
        Taken::Left(step)
    }

    /// Whether the question was asked lately, too; it was from now on.
    fn admits(&mut self) -> bool {
        let hash = self.hasher.hash_one(&self.key).max(1);
        let place = usize::try_from(hash % ASKED_ONCE as u64).unwrap_or_default();
        mem::replace(&mut self.asked_once[place], hash) == hash
    }

    /// Begins anew with a question whose messages are not true any more.
    fn renew(&mut self, packet: &[u8], state: &State, settings: &Settings) -> Taken {
        let first = self.random.random_range(0..usize::MAX / 2);
        let step = self.draw(packet, state, settings, Some(first));
        let Some(entry) = self.entries.get_mut(&*self.key) else { return Taken::Left(step) };
        self.bytes -= mem::take(&mut entry.bytes);
        *entry = Entry { first: first + 1, ..Entry::new(self.looks) };
        if let Some(Step::Reply(Reply { message, basis: Some(basis), ordered })) = &step
            && message.len() <= MAX_MESSAGE_BYTES
        {
            entry.rests_on = Rows::new(basis.clone(), state);
            entry.ordered = *ordered;
            entry.wanted = wanted(*ordered);
            entry.until_draw = until_draw(*ordered);
            entry.messages.push(message.as_slice().into());
            entry.bytes = entry.rests_on.bytes() + MESSAGE_BYTES + message.len();
            self.bytes += entry.bytes;
            self.make_room();
        } else {
            self.forget();
        }
        Taken::Left(step)
    }

    /// One more message for a question, or one in place of another.
    fn another(&mut self, packet: &[u8], state: &State, settings: &Settings) -> Taken {
        let first = self.entries.get_mut(&*self.key).map(|entry| {
            entry.first = entry.first.wrapping_add(1);
            entry.first.wrapping_sub(1)
        });
        let step = self.draw(packet, state, settings, first);
        let entry = self.entries.get_mut(&*self.key);
        let (Some(entry), Some(Step::Reply(reply))) = (entry, &step) else { return Taken::Left(step) };
        if reply.message.len() <= MAX_MESSAGE_BYTES {
            let message: Box<[u8]> = reply.message.as_slice().into();
            let (mut more, mut less) = (message.len(), 0);
            if entry.messages.len() < entry.wanted {
                more += MESSAGE_BYTES;
                entry.messages.push(message);
            } else if let Some(old) = entry.messages.get_mut(entry.oldest) {
                less = mem::replace(old, message).len();
                entry.oldest = (entry.oldest + 1) % entry.wanted;
            }
            (entry.bytes, self.bytes) = (entry.bytes + more - less, self.bytes + more - less);
            entry.until_draw = until_draw(entry.ordered);
            self.make_room();
        }
        Taken::Left(step)
    }

    fn draw(&mut self, packet: &[u8], state: &State, settings: &Settings, first: Option<usize>) -> Option<Step> {
        let mut order = Order::new(&mut self.random, first);
        order.rights.clone_from(&self.rights);
        consider(packet, Transport::Udp, state, settings, &mut order)
    }

    /// Takes out the question that `key` holds.
    fn forget(&mut self) {
        if let Some((key, entry)) = self.entries.remove_entry(&*self.key) {
            self.bytes -= ENTRY_BYTES + key.len() + entry.bytes;
            self.queue.retain(|queued| *queued != key);
        }
    }

    fn make_room(&mut self) {
        while self.entries.len() > MAX_QUESTIONS || self.bytes > MAX_BYTES {
            let Some(key) = self.queue.pop_front() else { return };
            if self.entries.get_mut(&key).is_some_and(|entry| mem::take(&mut entry.is_used)) {
                self.queue.push_back(key);
            } else {
                let bytes = self.entries.remove(&key).map_or(0, |entry| entry.bytes);
                self.bytes -= ENTRY_BYTES + key.len() + bytes;
            }
        }
    }

    #[cfg(test)]
    pub(super) fn holds(&mut self, packet: &[u8]) -> bool {
        write_key(packet, true, &mut self.key).is_some() && self.entries.contains_key(&*self.key)
    }

    /// Entries and bytes.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        let kept = |(key, entry): (&Arc<[u8]>, &Entry)| {
            let messages: usize = entry.messages.iter().map(|message| MESSAGE_BYTES + message.len()).sum();
            ENTRY_BYTES + key.len() + entry.rests_on.bytes() + messages
        };
        assert_eq!(self.entries.iter().map(kept).sum::<usize>(), self.bytes, "the books are wrong");
        assert_eq!(self.entries.len(), self.queue.len());
        (self.entries.len(), self.bytes)
    }
}

impl Entry {
    fn new(look: u64) -> Self {
        Self {
            rests_on: Rows::State,
            look,
            messages: Vec::new(),
            wanted: 1,
            ordered: 0,
            first: 0,
            oldest: 0,
            until_draw: 0,
            is_used: true,
            bytes: 0,
        }
    }
}

/// How many messages a question has: each thing comes first in the same number of them, where there are not too many.
fn wanted(ordered: usize) -> usize {
    let (least, most) = MESSAGES.into_inner();
    if ordered < 2 { 1 } else { least.next_multiple_of(ordered).min(most) }
}

/// How many answers are given before a message is replaced.
fn until_draw(ordered: usize) -> usize {
    if ordered <= *MESSAGES.end() { ordered * ANSWERS_PER_DRAW } else { ordered / INSTANCES_PER_ANSWER }
}

/// Writes the message with the number and the letters of the question.
fn give(message: &[u8], packet: &[u8], name_end: usize, into: &mut Vec<u8>) {
    let begin = into.len();
    into.extend_from_slice(message);
    for range in [0..2, HEADER_BYTES..name_end] {
        if let (Some(to), Some(from)) = (into[begin..].get_mut(range.clone()), packet.get(range)) {
            to.copy_from_slice(from);
        }
    }
}

/// Writes what a packet asks, without its number, in lower case where letters make no difference. Gives the end of the
/// name in the packet; none: it is no plain question, and is not kept.
fn write_key(packet: &[u8], fold: bool, key: &mut Vec<u8>) -> Option<usize> {
    if packet.len() > MAX_QUESTION_BYTES || packet.get(4..6)? != [0, 1] {
        return None;
    }
    let mut end = HEADER_BYTES;
    // A label has up to 63 bytes; more would be a pointer (RFC 1035, section 4.1.4).
    while let length @ 1..64 = *packet.get(end)? {
        end += 1 + usize::from(length);
    }
    if *packet.get(end)? != 0 {
        return None;
    }
    key.clear();
    key.extend_from_slice(&packet[2..]);
    if fold {
        // The lengths of labels are none of the letters.
        key[HEADER_BYTES - 2..end - 2].make_ascii_lowercase();
    }
    Some(end + 1)
}
