//! How long a suspected member has to speak up: less, the more members found by themselves that it does not answer
//! (Lifeguard, section IV B), and it is told at once (section IV C).
//!
//! Foca starts a time-out when a probe of its own has failed, and hears of the suspicions of others without learning who
//! they are of. So each prober that fails says so in a broadcast of its own, until [`ENOUGH`] are known. Where this node
//! alone finds a member silent, the fault may be its own, and it waits [`ALONE`] times as long.
//!
//! *Buddy notice*: who is probed while it is suspected gets the suspicion in a packet before the probe, and does not
//! have to wait for gossip to refute it.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::SocketAddr,
    time::Duration,
};

use bytes::BufMut;
use foca::{Codec, Header, Incarnation, Message, State, Timer};

use super::{
    broadcast::Broadcast,
    envelope::Kind,
    identity::{CheckedCodec, Identity},
    limits::MAX_MEMBERS,
    protocol::Protocol,
};

/// The paper's `K`: with so many others the time-out is the shortest. (It takes 3; with its defaults memberlist takes 2.)
const ENOUGH: usize = 2;
/// The paper's `beta`: how many times the shortest time-out a lone prober waits. (It takes 6. Here a probe fails only when
/// a stream is not answered either (`fallback`), so a suspicion is wrong far less often, and a crash in a small pool
/// shall be known soon also where the others happen to probe late.)
const ALONE: f64 = 1.5;

/// What is known of one suspicion.
#[derive(Debug)]
struct Suspicion {
    identity: Identity,
    incarnation: Incarnation,
    /// Who else has found it silent, at most [`ENOUGH`].
    others: Vec<SocketAddr>,
    /// When our own probe failed, and what declares the member down; none while we only hear of it.
    own: Option<(Duration, Timer<Identity>)>,
    /// Its time was up.
    decided: bool,
    /// Forgotten then.
    until: Duration,
}

/// The suspicions under way, by the member's address. At most as many as there may be members.
#[derive(Debug, Default)]
pub(super) struct Suspicions {
    of: HashMap<SocketAddr, Suspicion>,
}

impl Suspicions {
    /// The one of this incarnation; a later one takes the place of an earlier.
    fn at(&mut self, identity: Identity, incarnation: Incarnation, until: Duration) -> Option<&mut Suspicion> {
        let full = self.of.len() >= MAX_MEMBERS;
        let fresh = Suspicion { identity, incarnation, others: Vec::new(), own: None, decided: false, until };
        match self.of.entry(identity.address) {
            Entry::Vacant(_) if full => None,
            Entry::Vacant(vacant) => Some(vacant.insert(fresh)),
            Entry::Occupied(occupied) => {
                let held = occupied.into_mut();
                let (ours, theirs) = ((held.identity.order(), held.incarnation), (identity.order(), incarnation));
                if theirs > ours {
                    *held = fresh;
                }
                (theirs >= ours).then_some(held)
            }
        }
    }

    /// The member's time is up. False when that was so before, by an earlier timer of the same suspicion.
    pub fn decide(&mut self, identity: Identity, incarnation: Incarnation) -> bool {
        let held = self.of.get_mut(&identity.address);
        let held = held.filter(|held| held.identity == identity && held.incarnation == incarnation);
        held.is_none_or(|held| !std::mem::replace(&mut held.decided, true))
    }

    /// Forgets those that are long decided.
    pub fn forget(&mut self, now: Duration) {
        self.of.retain(|_, held| held.until > now);
    }
}

/// The time-out after so many confirmations, where `needed` would make it the `shortest`.
fn time_out(shortest: Duration, confirmations: usize, needed: usize) -> Duration {
    if needed == 0 {
        return shortest;
    }
    let of = |count: usize| f64::from(u32::try_from(count + 1).unwrap_or(u32::MAX)).ln();
    let share = (of(confirmations) / of(needed)).min(1.0);
    let longest = shortest.mul_f64(ALONE);
    longest - (longest - shortest).mul_f64(share)
}

impl Protocol {
    fn suspicion_time_out(&self, confirmations: usize) -> Duration {
        // All but this node and the suspected one, which is among foca's members.
        let others = self.foca.num_members().saturating_sub(1);
        time_out(self.timing.suspicion_in(self.foca.num_members() + 1), confirmations, others.min(ENOUGH))
    }

    /// Our own probe has failed; `timer` would declare the member down. Gives how long the member has to speak up.
    pub(super) fn begin_suspicion(&mut self, now: Duration, timer: &Timer<Identity>) -> Option<Duration> {
        let Timer::ChangeSuspectToDown { member_id: identity, incarnation, .. } = *timer else { return None };
        let longest = self.suspicion_time_out(0);
        let Some(held) = self.suspicions.at(identity, incarnation, now + 4 * longest) else { return Some(longest) };
        let first = held.own.is_none();
        let (since, _) = *held.own.get_or_insert_with(|| (now, timer.clone()));
        let confirmations = held.others.len();
        if first && confirmations < ENOUGH {
            let by = self.foca.identity().address;
            self.broadcast(&Broadcast::Suspicion { identity, incarnation, by });
        }
        self.notify_buddy(identity, incarnation);
        Some((since + self.suspicion_time_out(confirmations)).saturating_sub(now))
    }

    /// The probe of another member has failed too.
    pub(super) fn confirm_suspicion(
        &mut self,
        now: Duration,
        identity: Identity,
        incarnation: Incarnation,
        by: SocketAddr,
    ) {
        let own = self.foca.identity().address;
        if by == own || by == identity.address || identity.address == own || !self.table.is_at(identity) {
            return;
        }
        let until = now + 4 * self.suspicion_time_out(0);
        let Some(held) = self.suspicions.at(identity, incarnation, until) else { return };
        if held.others.len() >= ENOUGH || held.others.contains(&by) {
            return;
        }
        held.others.push(by);
        let (waiting, confirmations) = (held.own.clone(), held.others.len());
        self.broadcast(&Broadcast::Suspicion { identity, incarnation, by });
        if let Some((since, timer)) = waiting {
            self.set_timer((since + self.suspicion_time_out(confirmations)).max(now), timer);
        }
    }

    /// The time of a suspected member is up: whether that still means something. When foca does not suspect this
    /// incarnation any more, its timer would have it tell the member that it is down all the same, and the member would
    /// take another identity for nothing.
    pub(super) fn condemns(&mut self, identity: Identity, incarnation: Incarnation) -> bool {
        let held = self.foca.iter_members().find(|member| *member.id() == identity);
        let suspected = held.is_some_and(|held| held.state() == State::Suspect && held.incarnation() == incarnation);
        self.suspicions.decide(identity, incarnation) && suspected
    }

    /// Tells a suspected member that it is, so that it can refute that at once.
    fn notify_buddy(&mut self, identity: Identity, incarnation: Incarnation) {
        let message = Message::Gossip;
        let header =
            Header { src: *self.foca.identity(), src_incarnation: self.health.incarnation, dst: identity, message };
        let suspect = foca::Member::new(identity, incarnation, State::Suspect);
        let mut packet = Vec::new();
        let encoded = CheckedCodec.encode_header(&header, &mut packet).and_then(|()| {
            packet.put_u16(1);
            CheckedCodec.encode_member(&suspect, &mut packet)
        });
        match encoded {
            Ok(()) => self.output.packets.push((identity.address, self.envelope.seal(Kind::Swim, &packet))),
            Err(error) => tracing::debug!(%error, "a suspected member was not told"),
        }
    }

    /// A probe of `identity` goes out: it is told first if it is suspected.
    pub(super) fn notify_probed(&mut self, identity: Identity) {
        if !self.suspicions.of.contains_key(&identity.address) {
            return;
        }
        let held = self.foca.iter_members().find(|member| *member.id() == identity);
        let suspected = held.filter(|member| member.state() == State::Suspect).map(foca::Member::incarnation);
        if let Some(incarnation) = suspected {
            self.notify_buddy(identity, incarnation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_confirmation_shortens_the_time_out() {
        let shortest = Duration::from_secs(3);
        let ms = |confirmations, needed| time_out(shortest, confirmations, needed).as_millis();
        assert_eq!([0, 1, 2, 3, 4].map(|count| ms(count, 3)), [4500, 3750, 3311, 3000, 3000]);
        assert_eq!([0, 1, 2].map(|count| ms(count, 1)), [4500, 3000, 3000], "nobody else could");
        assert_eq!(ms(0, 0), 3000, "nobody could");
    }

    #[test]
    fn a_suspicion_is_of_one_incarnation_and_is_decided_once() {
        let identity = Identity { address: SocketAddr::from(([10, 0, 0, 1], 1)), generation: 5, renewal: 0 };
        let (mut suspicions, until) = (Suspicions::default(), Duration::from_secs(9));
        suspicions.at(identity, 2, until).unwrap().others.push(identity.address);
        assert!(suspicions.at(identity, 1, until).is_none(), "an earlier one is over");
        assert_eq!(suspicions.at(identity, 2, until).unwrap().others.len(), 1);
        assert!(suspicions.decide(identity, 2) && !suspicions.decide(identity, 2));
        assert!(suspicions.at(identity, 3, until).unwrap().others.is_empty(), "a later one starts anew");
        assert!(suspicions.decide(identity, 3));
        let renewed = Identity { renewal: 1, ..identity };
        assert!(!suspicions.at(renewed, 0, until).unwrap().decided);
        suspicions.forget(Duration::from_secs(8));
        assert_eq!(suspicions.of.len(), 1);
        suspicions.forget(until);
        assert!(suspicions.of.is_empty());
    }
}
