//! Counters, gauges and histograms of atomics. Reading them is not one moment for all, as in every such registry.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::series::{Distribution, Reading, Series};

/// Upper bounds of a histogram's buckets, in seconds: from what an answer out of memory takes to a time-out.
const BOUNDS: [f64; 14] =
    [0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];

/// Counts events of `N` kinds.
#[derive(Debug)]
pub struct Counter<const N: usize> {
    name: &'static str,
    help: &'static str,
    label: &'static str,
    values: [&'static str; N],
    counts: [AtomicU64; N],
}

impl<const N: usize> Counter<N> {
    /// A counter whose kinds are the values of one label.
    #[must_use]
    pub const fn labelled(
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values: [&'static str; N],
    ) -> Self {
        Self { name, help, label, values, counts: [const { AtomicU64::new(0) }; N] }
    }

    /// Counts one event of that kind, an index of the label's values; one that is out of range counts as the last.
    pub fn count(&self, kind: usize) {
        self.add(kind, 1);
    }

    /// Counts so many events of that kind.
    pub fn add(&self, kind: usize, events: u64) {
        if let Some(count) = self.counts.get(kind.min(N.saturating_sub(1))) {
            count.fetch_add(events, Relaxed);
        }
    }

    /// What was counted, one series for each kind.
    #[must_use]
    pub fn read(&self) -> Vec<Series> {
        let series = |(value, count): (&&'static str, &AtomicU64)| {
            Series::counter(self.name, self.help, as_f64(count.load(Relaxed))).with(self.label, *value)
        };
        self.values.iter().zip(&self.counts).map(series).collect()
    }
}

/// How many of something there are.
#[derive(Debug)]
pub struct Gauge {
    name: &'static str,
    help: &'static str,
    value: AtomicI64,
}

impl Gauge {
    /// A gauge at 0.
    #[must_use]
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        Self { name, help, value: AtomicI64::new(0) }
    }

    /// One more, until the returned guard is dropped.
    pub fn hold(&'static self) -> Held {
        self.value.fetch_add(1, Relaxed);
        Held(self)
    }

    /// It is at that index, or in that term, now.
    pub fn reach(&self, number: u64) {
        self.value.store(i64::try_from(number).unwrap_or(i64::MAX), Relaxed);
    }

    /// So many there are now.
    pub fn set(&self, count: usize) {
        self.value.store(i64::try_from(count).unwrap_or(i64::MAX), Relaxed);
    }

    /// How many there are now.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "things that exist at once are far fewer than 2^52")]
    pub fn read(&self) -> Series {
        Series::gauge(self.name, self.help, self.value.load(Relaxed) as f64)
    }
}

/// One of what a [`Gauge`] counts.
#[derive(Debug)]
#[must_use = "it counts until it is dropped"]
pub struct Held(&'static Gauge);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.value.fetch_sub(1, Relaxed);
    }
}

/// How many holders there are of so many of something: a gauge for each magnitude, so that very many holders make no
/// more series than a few.
#[derive(Debug)]
pub struct Sizes {
    name: &'static str,
    help: &'static str,
    holders: [AtomicI64; MAGNITUDES.len()],
}

/// What the label of [`Sizes`] says, by the number of decimal digits.
const MAGNITUDES: [&str; 4] = ["1-9", "10-99", "100-999", "1000 and more"];

impl Sizes {
    /// Nobody holds anything.
    #[must_use]
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        Self { name, help, holders: [const { AtomicI64::new(0) }; MAGNITUDES.len()] }
    }

    /// A holder has `after` of them, who had `before`.
    pub fn change(&self, before: usize, after: usize) {
        let magnitude = |count: usize| count.checked_ilog10().map(|digits| (digits as usize).min(MAGNITUDES.len() - 1));
        let (before, after) = (magnitude(before), magnitude(after));
        if before == after {
            return;
        }
        for (magnitude, change) in [(before, -1), (after, 1)] {
            if let Some(holders) = magnitude.and_then(|magnitude| self.holders.get(magnitude)) {
                holders.fetch_add(change, Relaxed);
            }
        }
    }

    /// How many there are now, a series for each magnitude.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "things that exist at once are far fewer than 2^52")]
    pub fn read(&self) -> Vec<Series> {
        let series = |(holds, holders): (&&'static str, &AtomicI64)| {
            Series::gauge(self.name, self.help, holders.load(Relaxed) as f64).with("holds", *holds)
        };
        MAGNITUDES.iter().zip(&self.holders).map(series).collect()
    }
}

/// How long something takes.
#[derive(Debug)]
pub struct Histogram {
    name: &'static str,
    help: &'static str,
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
    /// The bits of an `f64`, in seconds squared.
    squares: AtomicU64,
}

impl Histogram {
    /// A histogram of nothing yet.
    #[must_use]
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            help,
            buckets: [const { AtomicU64::new(0) }; BOUNDS.len() + 1],
            nanoseconds: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
            squares: AtomicU64::new(0),
        }
    }

    /// Counts one measurement.
    pub fn observe(&self, took: Duration) {
        self.observe_many(took, 1);
    }

    /// Counts so many measurements, each of so long.
    pub fn observe_many(&self, took: Duration, times: u32) {
        if times == 0 {
            return;
        }
        let seconds = took.as_secs_f64();
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[BOUNDS.partition_point(|bound| *bound < seconds)].fetch_add(u64::from(times), Relaxed);
        self.nanoseconds.fetch_add(nanoseconds.saturating_mul(u64::from(times)), Relaxed);
        self.min.fetch_min(nanoseconds, Relaxed);
        self.max.fetch_max(nanoseconds, Relaxed);
        let more = |bits| Some((f64::from_bits(bits) + seconds * seconds * f64::from(times)).to_bits());
        // It always has a next value, so it never fails.
        let _ = self.squares.fetch_update(Relaxed, Relaxed, more);
    }

    /// Measures from now until the returned timer is dropped.
    pub fn time(&'static self) -> Timer {
        Timer { histogram: self, began: Instant::now() }
    }

    /// What was measured.
    #[must_use]
    pub fn read(&self) -> Series {
        let mut count = 0;
        let mut at_most = Vec::with_capacity(BOUNDS.len());
        for (place, bucket) in self.buckets.iter().enumerate() {
            count += bucket.load(Relaxed);
            at_most.extend(BOUNDS.get(place).map(|bound| (*bound, count)));
        }
        let seconds = |nanoseconds: u64| Duration::from_nanos(nanoseconds).as_secs_f64();
        let distribution = Distribution {
            at_most,
            count,
            sum: seconds(self.nanoseconds.load(Relaxed)),
            min: if count == 0 { 0.0 } else { seconds(self.min.load(Relaxed)) },
            max: seconds(self.max.load(Relaxed)),
            squares: f64::from_bits(self.squares.load(Relaxed)),
        };
        Series { name: self.name, help: self.help, labels: Vec::new(), reading: Reading::Histogram(distribution) }
    }
}

/// A measurement under way.
#[derive(Debug)]
#[must_use = "it measures until it is dropped"]
pub struct Timer {
    histogram: &'static Histogram,
    began: Instant,
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.histogram.observe(self.began.elapsed());
    }
}

/// A count as a number among others.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "a count beyond 2^52 may be off by one")]
pub fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_kind() {
        let counter = Counter::labelled("c_total", "Help.", "kind", ["a", "b"]);
        counter.count(0);
        counter.count(1);
        counter.add(99, 2);
        let values: Vec<_> = counter.read().into_iter().map(|series| series.reading).collect();
        assert_eq!(values, [Reading::Counter(1.0), Reading::Counter(3.0)]);
    }

    #[test]
    fn a_gauge_falls_when_its_guards_are_dropped() {
        static GAUGE: Gauge = Gauge::new("g", "Help.");
        let held = [GAUGE.hold(), GAUGE.hold()];
        assert_eq!(GAUGE.read().reading, Reading::Gauge(2.0));
        drop(held);
        assert_eq!(GAUGE.read().reading, Reading::Gauge(0.0));
    }

    #[test]
    fn holders_are_counted_by_how_many_they_have() {
        let sizes = Sizes::new("s", "Help.");
        (0..12).for_each(|count| sizes.change(count, count + 1));
        sizes.change(0, 5000);
        sizes.change(0, 1);
        sizes.change(1, 0);
        let values: Vec<_> = sizes.read().into_iter().map(|series| series.reading).collect();
        assert_eq!(values, [0.0, 1.0, 0.0, 1.0].map(Reading::Gauge));
    }

    #[test]
    fn a_histogram_keeps_counts_sums_and_extremes() {
        let histogram = Histogram::new("h_seconds", "Help.");
        let Reading::Histogram(none) = histogram.read().reading else { panic!() };
        assert_eq!((none.count, none.min, none.max), (0, 0.0, 0.0));
        histogram.observe(Duration::from_secs(20));
        histogram.observe_many(Duration::from_millis(1), 2);
        histogram.observe_many(Duration::from_secs(100), 0);
        let Reading::Histogram(all) = histogram.read().reading else { panic!() };
        assert_eq!((all.count, all.min, all.max), (3, 0.001, 20.0));
        let at_most = |bound| all.at_most.iter().find(|(b, _)| *b == bound).map(|(_, count)| *count);
        assert_eq!([at_most(0.000_5), at_most(0.001), at_most(0.002_5), at_most(10.0)], [0, 2, 2, 2].map(Some));
        assert!((all.sum - 20.002).abs() < 1e-9 && (all.squares - 400.000_002).abs() < 1e-6);
    }
}
