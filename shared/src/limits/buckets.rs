//! Token buckets for whoever comes, in a table of a fixed size.
//!
//! A bucket is one number: when it will be full again (the generic cell rate algorithm). One that is full says nothing
//! that an unknown caller's would not, so it may be forgotten. The table has sets of [`WAYS`] buckets; a key has its set
//! by a keyed hash, and where the set is taken, the bucket that will be full first goes, as a rule one that is full
//! already. Whoever has very many addresses can so take a bucket from another, who then begins anew with a full one:
//! he is limited less, never refused for what others do. Keys are not kept, only 64 bits of their hash.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use super::Rate;

/// Buckets among which one is pushed out.
const WAYS: usize = 8;
/// Sets of them: 65,536 buckets of 16 bytes.
const SETS: usize = 8192;

/// See the module.
#[derive(Debug)]
pub struct Buckets {
    terms: Terms,
    hashing: RandomState,
    /// Made for the first who comes: a megabyte that most nodes never need.
    sets: OnceLock<Box<[Mutex<Set>]>>,
}

/// One bucket, for what is not told apart.
#[derive(Debug)]
pub struct Pace {
    terms: Terms,
    bucket: Mutex<Bucket>,
}

/// A rate, as it is calculated with.
#[derive(Debug)]
struct Terms {
    began: Instant,
    /// In nanoseconds.
    interval: u64,
    /// How far ahead of now a bucket's time may be, in nanoseconds.
    tolerance: u64,
}

type Set = [Bucket; WAYS];

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    key: u64,
    /// In nanoseconds since the table began.
    full_at: u64,
}

impl Buckets {
    /// A table of buckets that are all full.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self { terms: Terms::new(rate), hashing: RandomState::new(), sets: OnceLock::new() }
    }

    /// Takes a token from the bucket of `key`.
    ///
    /// # Errors
    /// There is none: after how long there is one.
    pub fn take(&self, key: &impl Hash, now: Instant) -> Result<(), Duration> {
        let hash = self.hashing.hash_one(key);
        let sets = self.sets.get_or_init(|| (0..SETS).map(|_| Mutex::default()).collect());
        let place = usize::try_from(hash % SETS as u64).unwrap_or(0);
        // No code that holds the lock can leave a set half changed.
        let mut set = sets[place].lock().unwrap_or_else(PoisonError::into_inner);
        let found = set.iter().position(|bucket| bucket.key == hash);
        let bucket = match found {
            Some(place) => &mut set[place],
            None => {
                let Some(first) = set.iter_mut().min_by_key(|bucket| bucket.full_at) else { return Ok(()) };
                *first = Bucket { key: hash, full_at: 0 };
                first
            }
        };
        self.terms.take(bucket, now)
    }
}

impl Pace {
    /// A bucket that is full.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self { terms: Terms::new(rate), bucket: Mutex::default() }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// There is none: after how long there is one.
    pub fn take(&self, now: Instant) -> Result<(), Duration> {
        self.terms.take(&mut self.bucket.lock().unwrap_or_else(PoisonError::into_inner), now)
    }
}

impl Terms {
    fn new(rate: Rate) -> Self {
        let interval = nanoseconds(rate.interval).max(1);
        let tolerance = interval.saturating_mul(u64::from(rate.burst.max(1)));
        Self { began: Instant::now(), interval, tolerance }
    }

    fn take(&self, bucket: &mut Bucket, now: Instant) -> Result<(), Duration> {
        let now = nanoseconds(now.saturating_duration_since(self.began));
        let full_at = bucket.full_at.max(now).saturating_add(self.interval);
        let ahead = full_at - now;
        if ahead > self.tolerance {
            return Err(Duration::from_nanos(ahead - self.tolerance));
        }
        bucket.full_at = full_at;
        Ok(())
    }
}

fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(per_second: f64, burst: u32) -> (Buckets, Instant) {
        let buckets = Buckets::new(Rate::per_second(per_second, burst).unwrap());
        let began = buckets.terms.began;
        (buckets, began)
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let (buckets, began) = buckets(10.0, 5);
        let after = |ms| began + Duration::from_millis(ms);
        for _ in 0..5 {
            buckets.take(&"a", began).unwrap();
        }
        assert_eq!(buckets.take(&"a", began), Err(Duration::from_millis(100)));
        assert_eq!(buckets.take(&"a", after(40)), Err(Duration::from_millis(60)));
        buckets.take(&"b", began).unwrap();
        buckets.take(&"a", after(100)).unwrap();
        assert!(buckets.take(&"a", after(150)).is_err(), "what was refused costs nothing and brings nothing");
        for _ in 0..5 {
            buckets.take(&"a", after(60_000)).unwrap();
        }
        assert!(buckets.take(&"a", after(60_000)).is_err(), "no more than a burst is saved up");
    }

    #[test]
    fn a_flood_of_others_does_not_give_an_empty_bucket_a_token_soon() {
        let (buckets, began) = buckets(0.001, 10);
        for _ in 0..10 {
            buckets.take(&"greedy", began).unwrap();
        }
        for other in 0..20_000 {
            buckets.take(&other, began).unwrap();
            assert!(buckets.take(&"greedy", began).is_err(), "after {other} others");
        }
    }

    #[test]
    fn any_rate_and_any_time_is_calculated_with() {
        let (buckets, began) = buckets(f64::MIN_POSITIVE, u32::MAX);
        assert_eq!(buckets.take(&1, began), Ok(()));
        assert!(buckets.take(&1, began + Duration::from_secs(1 << 40)).is_ok());
    }
}
