//! A map that others fill and nobody can make grow: entries and bytes are bounded, and what is used stays.
//!
//! Keys come from callers. When the map is full, entries are dropped in the order in which they came, but one that was
//! used meanwhile gets a second turn. So a flood of keys that are asked once pushes out others of its kind, never what
//! is asked again and again. What nobody has used for long is dropped too ([`Bounded::forget_unused`]). Each shard has a lock that is held for one lookup or for dropping a few entries.

use std::{
    collections::{HashMap, VecDeque, hash_map::RandomState},
    hash::BuildHasher,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// In how many parts the map is locked.
const SHARDS: usize = 16;

/// What the map may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Entries in all; each of the shards has its part of them.
    pub entries: usize,
    /// Bytes in all: keys, and values as they are weighed.
    pub bytes: usize,
    /// Bytes of one key; what has a longer one is not kept.
    pub key_bytes: usize,
}

/// See the module.
pub(super) struct Bounded<V> {
    shards: [Mutex<Shard<V>>; SHARDS],
    hashing: RandomState,
    limits: Limits,
    bytes: AtomicUsize,
    /// Whether a value was used since it was last asked so, without the map having been asked for it.
    was_used: fn(&V) -> bool,
}

struct Shard<V> {
    entries: HashMap<Arc<[u8]>, Entry<V>>,
    /// Each key once, the next to be dropped first.
    order: VecDeque<Arc<[u8]>>,
}

struct Entry<V> {
    value: V,
    weight_bytes: usize,
    /// Since it was last passed over.
    used: bool,
    /// How often [`Bounded::forget_unused`] has passed it since it was last used.
    passed: u8,
}

impl<V> Entry<V> {
    fn touch(&mut self) {
        (self.used, self.passed) = (true, 0);
    }
}

impl<V: Clone> Bounded<V> {
    /// An empty map of values that nobody uses but by the map.
    pub fn new(limits: Limits) -> Self {
        Self::of_used(limits, |_| false)
    }

    /// An empty map of values that others may hold and use: `was_used` says whether one was since it was last asked so.
    pub fn of_used(limits: Limits, was_used: fn(&V) -> bool) -> Self {
        let shard = || Mutex::new(Shard { entries: HashMap::new(), order: VecDeque::new() });
        let shards = std::array::from_fn(|_| shard());
        Self { shards, hashing: RandomState::new(), limits, bytes: AtomicUsize::new(0), was_used }
    }

    /// The value of that key.
    pub fn get(&self, key: &[u8]) -> Option<V> {
        let mut shard = self.lock(self.place(key));
        let entry = shard.entries.get_mut(key)?;
        entry.touch();
        Some(entry.value.clone())
    }

    /// The value of that key, made where there was none; `None` where the key is too long to be kept.
    pub fn get_or_insert(&self, key: &[u8], make: impl FnOnce() -> V) -> Option<V> {
        if key.len() > self.limits.key_bytes {
            return None;
        }
        let place = self.place(key);
        let mut shard = self.lock(place);
        if let Some(entry) = shard.entries.get_mut(key) {
            entry.touch();
            return Some(entry.value.clone());
        }
        let value = make();
        self.add(&mut shard, key, value.clone(), 0);
        drop(shard);
        self.shrink(place);
        Some(value)
    }

    /// Keeps a value, which holds that many bytes besides its key, in place of another of that key; one whose key is
    /// too long is not kept.
    pub fn insert(&self, key: &[u8], value: V, value_bytes: usize) {
        if key.len() > self.limits.key_bytes {
            return;
        }
        let place = self.place(key);
        let mut shard = self.lock(place);
        match shard.entries.get_mut(key) {
            Some(entry) => {
                entry.value = value;
                self.set_weight(entry, key.len() + value_bytes);
            }
            None => self.add(&mut shard, key, value, value_bytes),
        }
        drop(shard);
        self.shrink(place);
    }

    /// Says how many bytes the value of that key holds now, besides its key; forgets it, or others, where that is too
    /// much.
    pub fn weigh(&self, key: &[u8], value_bytes: usize) {
        let place = self.place(key);
        if let Some(entry) = self.lock(place).entries.get_mut(key) {
            self.set_weight(entry, key.len() + value_bytes);
        }
        self.shrink(place);
    }

    /// Drops what nobody has used since the call before the last one; how many bytes that were.
    pub fn forget_unused(&self) -> usize {
        let mut forgotten = 0;
        for place in 0..SHARDS {
            let mut shard = self.lock(place);
            let Shard { entries, order } = &mut *shard;
            entries.retain(|_, entry| {
                if (self.was_used)(&entry.value) {
                    entry.touch();
                }
                entry.passed += 1;
                let stays = entry.passed <= 2;
                if !stays {
                    forgotten += entry.weight_bytes;
                    self.bytes.fetch_sub(entry.weight_bytes, Relaxed);
                }
                stays
            });
            order.retain(|key| entries.contains_key(key));
            entries.shrink_to(2 * entries.len());
            order.shrink_to(2 * order.len());
        }
        forgotten
    }

    fn add(&self, shard: &mut Shard<V>, key: &[u8], value: V, value_bytes: usize) {
        while shard.entries.len() >= self.limits.entries / SHARDS && self.drop_one(shard) {}
        let key = Arc::<[u8]>::from(key);
        let mut entry = Entry { value, weight_bytes: 0, used: false, passed: 0 };
        self.set_weight(&mut entry, key.len() + value_bytes);
        shard.entries.insert(key.clone(), entry);
        shard.order.push_back(key);
    }

    fn set_weight(&self, entry: &mut Entry<V>, weight_bytes: usize) {
        self.bytes.fetch_add(weight_bytes, Relaxed);
        self.bytes.fetch_sub(entry.weight_bytes, Relaxed);
        entry.weight_bytes = weight_bytes;
    }

    /// Drops entries, first of this shard, until the bytes are within their limit.
    fn shrink(&self, first: usize) {
        for step in 0..SHARDS {
            if self.bytes.load(Relaxed) <= self.limits.bytes {
                return;
            }
            let mut shard = self.lock((first + step) % SHARDS);
            while self.bytes.load(Relaxed) > self.limits.bytes && self.drop_one(&mut shard) {}
        }
    }

    /// Drops the first entry that was not used since its last turn; false where there is none at all.
    fn drop_one(&self, shard: &mut Shard<V>) -> bool {
        while let Some(key) = shard.order.pop_front() {
            match shard.entries.get_mut(&key) {
                Some(entry) if (self.was_used)(&entry.value) || entry.used => {
                    entry.used = false;
                    shard.order.push_back(key);
                }
                _ => {
                    let dropped = shard.entries.remove(&key);
                    self.bytes.fetch_sub(dropped.map_or(0, |entry| entry.weight_bytes), Relaxed);
                    return true;
                }
            }
        }
        false
    }

    fn place(&self, key: &[u8]) -> usize {
        usize::try_from(self.hashing.hash_one(key) % SHARDS as u64).unwrap_or(0)
    }

    fn lock(&self, place: usize) -> MutexGuard<'_, Shard<V>> {
        // No code that holds the lock can leave a shard half changed.
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl<V> Bounded<V> {
    /// How many entries and bytes there are.
    pub fn size(&self) -> (usize, usize) {
        let entries = self.shards.iter().map(|shard| shard.lock().unwrap().entries.len()).sum();
        (entries, self.bytes.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { entries: 160, bytes: 10_000, key_bytes: 100 };

    fn key(number: usize) -> Vec<u8> {
        number.to_string().into_bytes()
    }

    #[test]
    fn what_is_used_survives_a_flood_and_the_flood_does_not_grow_the_map() {
        let map = Bounded::new(LIMITS);
        map.get_or_insert(b"used", || 7);
        for number in 0..10_000 {
            map.get_or_insert(&key(number), || 0);
            assert_eq!(map.get(b"used"), Some(7));
        }
        assert!(map.size().0 <= LIMITS.entries);
        assert_eq!(map.get(b"0"), None);
    }

    #[test]
    fn bytes_are_bounded_whatever_is_weighed_and_all_are_given_back() {
        let map = Bounded::new(LIMITS);
        for number in 0..1000 {
            map.get_or_insert(&key(number), || ());
            map.weigh(&key(number), 100 * (number % 30));
            assert!(map.size().1 <= LIMITS.bytes, "{number}: {:?}", map.size());
        }
        map.get_or_insert(b"heavy", || ());
        map.weigh(b"heavy", LIMITS.bytes + 1);
        assert_eq!(map.get(b"heavy"), None);
        assert!(map.size().1 <= LIMITS.bytes);
        for number in 0..1000 {
            map.weigh(&key(number), 0);
        }
        let (entries, bytes) = map.size();
        assert!(bytes <= 3 * entries, "{entries} entries, {bytes} bytes");
    }

    #[test]
    fn what_nobody_uses_is_forgotten_with_its_bytes() {
        let map = Bounded::new(LIMITS);
        for number in 0..10 {
            map.get_or_insert(&key(number), || ());
            map.weigh(&key(number), 10);
        }
        assert_eq!((map.forget_unused(), map.get(b"7")), (0, Some(())));
        assert_eq!(map.forget_unused(), 0);
        assert_eq!(map.forget_unused(), (0..10).filter(|n| *n != 7).map(|n| key(n).len() + 10).sum::<usize>());
        assert_eq!(map.size(), (1, 11));
        map.forget_unused();
        assert_eq!(map.size(), (0, 0));
    }

    #[test]
    fn what_others_use_stays() {
        let map = Bounded::of_used(LIMITS, |value: &Arc<AtomicUsize>| value.swap(0, Relaxed) > 0);
        let used = map.get_or_insert(b"used", Arc::default).unwrap();
        for _ in 0..5 {
            used.store(1, Relaxed);
            map.forget_unused();
        }
        for number in 0..10_000 {
            used.store(1, Relaxed);
            map.get_or_insert(&key(number), Arc::default);
        }
        assert!(map.get(b"used").is_some());
    }

    #[test]
    fn a_long_key_is_not_kept() {
        let map = Bounded::new(LIMITS);
        assert_eq!(map.get_or_insert(&[0; 101], || ()), None);
        assert_eq!(map.size(), (0, 0));
    }
}
