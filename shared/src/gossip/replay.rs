//! Sealed packets that have come before, by their nonces. Pure.
//!
//! A sender counts its messages (`envelope`), so a sliding window for each sender tells the new from the old, as in IPsec
//! (RFC 4303, section 3.4.3). It counts all its messages and not those to us, so the window is wide. Plain packets have
//! no nonce and are not looked at.

use std::collections::HashMap;

use super::envelope::MessageNonce;

/// How far behind the newest of its sender a packet may be, in messages of that sender: minutes of a calm pool, some
/// seconds of a busy one.
const WINDOW: u32 = 1024;
const WORDS: usize = WINDOW as usize / 64;
/// Senders that are kept in mind; beyond it, those that were silent longest are forgotten.
const MAX_SENDERS: usize = 2 * super::limits::MAX_MEMBERS;

#[derive(Debug)]
struct Sender {
    newest: u32,
    /// Bit `count % WINDOW` of those counts that have come.
    seen: [u64; WORDS],
    /// When it was last heard, in turns of the guard.
    turn: u64,
}

/// See the module's header.
#[derive(Debug, Default)]
pub(super) struct ReplayGuard {
    senders: HashMap<[u8; 8], Sender>,
    turn: u64,
}

impl ReplayGuard {
    /// Notes a packet that was opened. False when it has come before, or is too old to tell.
    pub fn is_new(&mut self, nonce: MessageNonce) -> bool {
        let [a, b, c, d, e, f, g, h, count @ ..] = nonce;
        let (drawn, count) = ([a, b, c, d, e, f, g, h], u32::from_be_bytes(count));
        self.turn += 1;
        if self.senders.len() >= MAX_SENDERS && !self.senders.contains_key(&drawn) {
            self.forget_the_silent();
        }
        let sender = self.senders.entry(drawn).or_insert(Sender { newest: count, seen: [0; WORDS], turn: 0 });
        sender.turn = self.turn;
        sender.take(count)
    }

    /// Half of them, so that this is rare.
    fn forget_the_silent(&mut self) {
        let mut turns: Vec<_> = self.senders.values().map(|sender| sender.turn).collect();
        turns.sort_unstable();
        let middle = turns.get(turns.len() / 2).copied().unwrap_or_default();
        self.senders.retain(|_, sender| sender.turn > middle);
    }
}

impl Sender {
    fn take(&mut self, count: u32) -> bool {
        if count > self.newest {
            for skipped in 1..=(count - self.newest).min(WINDOW) {
                self.mark(self.newest + skipped, false);
            }
            self.newest = count;
        } else if self.newest - count >= WINDOW || self.is_marked(count) {
            return false;
        }
        self.mark(count, true);
        true
    }

    fn place(count: u32) -> (usize, u64) {
        let place = count % WINDOW;
        (place as usize / 64, 1 << (place % 64))
    }

    fn is_marked(&self, count: u32) -> bool {
        let (word, bit) = Self::place(count);
        self.seen[word] & bit != 0
    }

    fn mark(&mut self, count: u32, seen: bool) {
        let (word, bit) = Self::place(count);
        if seen {
            self.seen[word] |= bit;
        } else {
            self.seen[word] &= !bit;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn nonce(sender: u64, count: u32) -> MessageNonce {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&sender.to_be_bytes());
        nonce[8..].copy_from_slice(&count.to_be_bytes());
        nonce
    }

    proptest! {
        #[test]
        fn each_packet_passes_once_in_whatever_order(counts in prop::collection::vec(0_u32..5000, 1..400)) {
            let mut guard = ReplayGuard::default();
            let (mut passed, mut newest) = (HashSet::new(), counts[0]);
            for count in counts {
                let old = newest.saturating_sub(count) >= WINDOW;
                prop_assert_eq!(guard.is_new(nonce(1, count)), !old && passed.insert(count), "{}", count);
                newest = newest.max(count);
            }
        }
    }

    #[test]
    fn senders_are_told_apart_and_their_number_is_bounded() {
        let mut guard = ReplayGuard::default();
        for sender in 0..=MAX_SENDERS as u64 {
            assert!(guard.is_new(nonce(sender, 5)));
            assert!(!guard.is_new(nonce(sender, 5)));
            assert!(guard.senders.len() <= MAX_SENDERS);
        }
        assert!(!guard.is_new(nonce(MAX_SENDERS as u64, 5)), "one heard lately is not forgotten");
        assert!(guard.is_new(nonce(3, u32::MAX)) && !guard.is_new(nonce(3, 5)));
    }
}
