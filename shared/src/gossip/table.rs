//! The member table: every record by name, and the rules when names and addresses meet. Pure: time is an argument.
//!
//! | incoming against held | result |
//! |---|---|
//! | same name, address and generation | joined ([`Record::absorb`]) |
//! | same name and address, later generation | the process was restarted: replaced whole |
//! | same name, other address, held one not alive | the node moved: replaced (an alive claim, or the later of two dead) |
//! | same name, other address, both alive | a conflict: refused, the caller names both addresses |
//! | other name, same address | the later generation has the address, the other life is over (down) |
//! | other name, same address and generation | damaged: one process life has one name, the first one known |
//!
//! A record whose facts have stood longer than the time to reap is not taken, so that no peer brings it back.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap, btree_map::Entry},
    net::SocketAddr,
    time::Duration,
};

use super::{
    identity::Identity,
    limits::MAX_MEMBERS,
    member::{Facts, Member, MemberStatus, Record},
};

/// What became of an incoming record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Merge {
    Unchanged,
    Changed,
    /// An alive member has the name, at this address.
    Conflict(SocketAddr),
    /// No room for another name.
    Full,
}

#[derive(Clone, Debug)]
struct Held {
    record: Record,
    /// When the facts became what they are, in seconds; below zero when that was before this node's start.
    since_s: i64,
    /// The newest tag revision its owner has given notice of.
    noticed: u64,
}

/// See the module's header.
#[derive(Debug)]
pub(super) struct Table {
    by_name: BTreeMap<String, Held>,
    by_address: HashMap<SocketAddr, String>,
    reap_failed_after: Duration,
    reap_left_after: Duration,
    version: u64,
    /// The names of the members that have changed since this was last taken; some may be gone.
    touched: Vec<String>,
}

impl Table {
    /// Failed and left members are remembered for so long.
    pub fn new(reap_failed_after: Duration, reap_left_after: Duration) -> Self {
        Self {
            by_name: BTreeMap::new(),
            by_address: HashMap::new(),
            reap_failed_after,
            reap_left_after,
            version: 0,
            touched: Vec::new(),
        }
    }

    /// Grows with every change that [`Table::members`] may show.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The names of the members that have changed since the last call; some may be gone.
    pub fn take_touched(&mut self) -> Vec<String> {
        std::mem::take(&mut self.touched)
    }

    fn touch(&mut self, name: String) {
        self.version += 1;
        self.touched.push(name);
    }

    /// Takes a record. The caller has checked it ([`Record::check`]).
    pub fn merge(&mut self, incoming: Record, now: Duration) -> Merge {
        if self.is_outdated(&incoming) || self.has_another_name(&incoming) {
            return Merge::Unchanged;
        }
        let full = self.by_name.len() >= MAX_MEMBERS;
        let address = incoming.identity.address;
        let since_s = seconds(now) - i64::from(incoming.age_s);
        let fresh = Held { noticed: incoming.revision, record: incoming.clone(), since_s };
        match self.by_name.entry(incoming.name.clone()) {
            Entry::Vacant(_) if full => return Merge::Full,
            Entry::Vacant(vacant) => {
                vacant.insert(fresh);
            }
            Entry::Occupied(mut occupied) => {
                let held = occupied.get_mut();
                let (was, comes) = (&held.record, &incoming);
                if was.identity.address == address {
                    match comes.identity.generation.cmp(&was.identity.generation) {
                        Ordering::Less => return Merge::Unchanged,
                        Ordering::Equal => {
                            let facts = held.record.facts;
                            let changed = held.record.absorb(&incoming);
                            if facts != held.record.facts {
                                held.since_s = since_s;
                            } else if facts == incoming.facts {
                                // Who knew it first decides when it is forgotten.
                                held.since_s = held.since_s.min(since_s);
                            }
                            if !changed {
                                return Merge::Unchanged;
                            }
                        }
                        Ordering::Greater => *held = fresh,
                    }
                } else if let Some(verdict) = meet_at_other_address(was, comes) {
                    return verdict;
                } else {
                    release(&mut self.by_address, was);
                    *held = fresh;
                }
            }
        }
        self.take_address(&incoming.name, incoming.identity, now);
        self.touch(incoming.name);
        Merge::Changed
    }

    fn is_outdated(&self, incoming: &Record) -> bool {
        incoming.facts.down && Duration::from_secs(incoming.age_s.into()) >= self.reap_after(incoming.facts)
    }

    fn reap_after(&self, facts: Facts) -> Duration {
        if facts.leaves { self.reap_left_after } else { self.reap_failed_after }
    }

    /// True when we know the same process life by another name; it cannot change its name.
    fn has_another_name(&self, incoming: &Record) -> bool {
        self.at(incoming.identity.address).is_some_and(|held| {
            held.record.identity.generation == incoming.identity.generation && held.record.name != incoming.name
        })
    }

    /// Gives `address` to the later of two names that claim it; the life of the other is over.
    fn take_address(&mut self, name: &str, identity: Identity, now: Duration) {
        let Some(other) = self.by_address.insert(identity.address, name.to_owned()) else { return };
        if other == name {
            return;
        }
        let other_is_later =
            self.by_name.get(&other).is_some_and(|held| held.record.identity.order() > identity.order());
        let (over, holder) = if other_is_later { (name.to_owned(), other) } else { (other, name.to_owned()) };
        self.by_address.insert(identity.address, holder);
        if let Some(held) = self.by_name.get_mut(&over) {
            held.record.facts.down = true;
            held.since_s = seconds(now);
        }
        self.touched.push(over);
    }

    /// Takes what the failure detector says of an identity. True when it is the described life and something changed.
    pub fn observe(&mut self, identity: Identity, facts: Facts, now: Duration) -> bool {
        let Some(held) = self.at_mut(identity.address) else { return false };
        let before = held.record.facts;
        match held.record.identity.generation.cmp(&identity.generation) {
            Ordering::Greater => return false,
            Ordering::Equal if !held.record.observe(identity, facts) => return false,
            Ordering::Equal => {}
            // A later life that nobody has described: the one we know is over when that one is. We take its identity,
            // so that a process that has never heard of it (the packet was damaged) learns what it must exceed.
            Ordering::Less if !facts.down => return false,
            Ordering::Less => {
                held.record.identity = identity;
                held.record.facts.down = true;
            }
        }
        if before != held.record.facts {
            held.since_s = seconds(now);
        }
        let name = held.record.name.clone();
        self.touch(name);
        true
    }

    /// Takes the news that the owner of `identity` has tags of `revision`. True when that was not known.
    pub fn notice(&mut self, identity: Identity, revision: u64) -> bool {
        let Some(held) = self.at_mut(identity.address) else { return false };
        let news = held.record.identity.generation == identity.generation && revision > held.noticed;
        if news {
            held.noticed = revision;
        }
        news
    }

    /// True when the process life at this address is described as its owner last announced.
    pub fn describes(&self, identity: Identity) -> bool {
        self.at(identity.address).is_some_and(|held| {
            held.record.identity.generation >= identity.generation && held.record.revision >= held.noticed
        })
    }

    /// Replaces our own record: it always wins here.
    pub fn set_own(&mut self, record: Record, now: Duration) {
        if let Some(held) = self.by_name.get(&record.name) {
            release(&mut self.by_address, &held.record);
        }
        let (name, identity) = (record.name.clone(), record.identity);
        self.by_name.insert(name.clone(), Held { noticed: record.revision, record, since_s: seconds(now) });
        self.take_address(&name, identity, now);
        self.touch(name);
    }

    /// Forgets members other than `own` that have been down for longer than the time to reap.
    pub fn reap(&mut self, own: &str, now: Duration) {
        let before = self.by_name.len();
        let (failed, left) = (seconds(self.reap_failed_after), seconds(self.reap_left_after));
        let Self { by_name, touched, .. } = self;
        by_name.retain(|name, held| {
            let facts = held.record.facts;
            let reap_after = if facts.leaves { left } else { failed };
            let stays = name == own || !facts.down || seconds(now) - held.since_s < reap_after;
            if !stays {
                touched.push(name.clone());
            }
            stays
        });
        if self.by_name.len() != before {
            self.by_address.retain(|_, name| self.by_name.contains_key(name));
            self.version += 1;
        }
    }

    pub fn record(&self, name: &str) -> Option<&Record> {
        self.by_name.get(name).map(|held| &held.record)
    }

    /// The records with this value of a tag.
    pub fn tagged<'table>(&'table self, tag: &'table str, value: &'table str) -> impl Iterator<Item = &'table Record> {
        let records = self.by_name.values().map(|held| &held.record);
        records.filter(move |record| record.tags.get(tag).is_some_and(|held| held == value))
    }

    /// What is known against this very identity.
    pub fn facts(&self, identity: Identity) -> Option<Facts> {
        self.at(identity.address).filter(|held| held.record.identity == identity).map(|held| held.record.facts)
    }

    /// Every record as it is to be sent, with its age.
    pub fn records(&self, now: Duration) -> impl Iterator<Item = Record> + '_ {
        self.by_name.values().map(move |held| {
            let age_s = (seconds(now) - held.since_s).clamp(0, u32::MAX.into());
            let age_s = u32::try_from(age_s).unwrap_or(u32::MAX);
            Record { age_s, ..held.record.clone() }
        })
    }

    /// True when somebody holds the address.
    pub fn has_address(&self, address: SocketAddr) -> bool {
        self.by_address.contains_key(&address)
    }

    /// True when this very identity is held at its address and is not known to be down.
    pub fn is_at(&self, identity: Identity) -> bool {
        self.facts(identity).is_some_and(|facts| !facts.down)
    }

    /// Name, address and status of every member that is shown, by name.
    pub fn statuses(&self) -> impl Iterator<Item = (&str, SocketAddr, MemberStatus)> {
        let shown = self.by_name.values().map(|held| &held.record).filter(|record| !record.facts.pruned);
        shown.map(|record| (record.name.as_str(), record.identity.address, record.facts.status()))
    }

    /// Every member that is shown, by name.
    pub fn members(&self) -> impl Iterator<Item = Member> + '_ {
        self.by_name.values().filter(|held| !held.record.facts.pruned).map(|held| held.record.member())
    }

    /// The addresses of members of one status.
    pub fn addresses(&self, status: MemberStatus) -> impl Iterator<Item = SocketAddr> + '_ {
        self.by_name
            .values()
            .filter(move |held| held.record.facts.status() == status && !held.record.facts.pruned)
            .map(|held| held.record.identity.address)
    }

    fn at(&self, address: SocketAddr) -> Option<&Held> {
        self.by_name.get(self.by_address.get(&address)?)
    }

    fn at_mut(&mut self, address: SocketAddr) -> Option<&mut Held> {
        self.by_name.get_mut(self.by_address.get(&address)?)
    }
}

/// Gives up the address of `record`, unless another name has it by now.
fn release(by_address: &mut HashMap<SocketAddr, String>, record: &Record) {
    if by_address.get(&record.identity.address) == Some(&record.name) {
        by_address.remove(&record.identity.address);
    }
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// The same name at two addresses: a verdict, or none when the incoming record replaces the held one.
fn meet_at_other_address(held: &Record, incoming: &Record) -> Option<Merge> {
    match (held.facts.status(), incoming.facts.down) {
        (MemberStatus::Alive, true) => Some(Merge::Unchanged),
        (MemberStatus::Alive, false) => Some(Merge::Conflict(held.identity.address)),
        (_, false) => None,
        (_, true) => (incoming.identity.generation <= held.identity.generation).then_some(Merge::Unchanged),
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
