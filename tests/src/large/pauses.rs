//! How long writes waited: all together, and apart for the times in which something else went on.

use std::{
    fmt,
    time::{Duration, Instant},
};

use super::load::Written;

/// From when to when something went on.
pub type Span = (Instant, Instant);

/// The waits of acknowledged writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pauses {
    /// So many writes.
    pub writes: usize,
    /// The longest time without an acknowledgement at one writer.
    pub longest: Duration,
    /// What 99 of 100 writes took at most.
    pub p99: Duration,
}

impl Pauses {
    /// Of those writes of all writers that were, at least in part, within one of the spans.
    #[must_use]
    pub fn within(written: &[Written], spans: &[Span]) -> Self {
        Self::of(written, |from, to| spans.iter().any(|span| from <= span.1 && span.0 <= to))
    }

    /// Of those that touched none of the spans.
    #[must_use]
    pub fn outside(written: &[Written], spans: &[Span]) -> Self {
        Self::of(written, |from, to| !spans.iter().any(|span| from <= span.1 && span.0 <= to))
    }

    fn of(written: &[Written], counts: impl Fn(Instant, Instant) -> bool) -> Self {
        let (mut longest, mut times) = (Duration::ZERO, Vec::new());
        for writer in written {
            let mut before = None;
            for &(sent, answered) in &writer.acknowledged {
                // A failed write in between is no acknowledgement: the pause goes on.
                let since = before.unwrap_or(sent);
                if counts(since, answered) {
                    longest = longest.max(answered - since);
                    times.push(answered - sent);
                }
                before = Some(answered);
            }
        }
        times.sort_unstable();
        let p99 = times.get((times.len() * 99 / 100).min(times.len().saturating_sub(1)));
        Self { writes: times.len(), longest, p99: p99.copied().unwrap_or_default() }
    }
}

impl fmt::Display for Pauses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        write!(f, "{:>7} writes, p99 {:>6.1} ms, longest {:>7.1} ms", self.writes, ms(self.p99), ms(self.longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_lengthens_the_pause_and_spans_tell_apart() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let acknowledged = vec![(at(0), at(1)), (at(2), at(4)), (at(300), at(304)), (at(305), at(306))];
        let written = [Written { acknowledged, ..Written::default() }];
        let spans = [(at(100), at(200))];
        let ms = Duration::from_millis;
        assert_eq!(Pauses::within(&written, &spans), Pauses { writes: 1, longest: ms(300), p99: ms(4) });
        assert_eq!(Pauses::outside(&written, &spans), Pauses { writes: 3, longest: ms(3), p99: ms(2) });
        assert_eq!(Pauses::within(&written, &[]), Pauses::default());
    }
}
