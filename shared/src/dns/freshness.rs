//! Whether the view may still be answered from: DNS has no word for the age of an answer, so one that is too old is none.
//!
//! The rule is that of the HTTP interface (`http/read`): without a leader, and with the last word from one older than
//! `discovery_max_stale`, nothing is known. Names of ours then get SERVFAIL, as before the first word; others are asked
//! of the recursors all the same. `allow_stale` and `max_stale` of `dns_config` are about asking the leader first, which
//! DNS never does here.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::backend::Backend;

/// How long a verdict is good for one who answers many questions: that long DNS may go on where HTTP refuses.
const VERDICT_LIMIT: Duration = Duration::from_millis(100);

/// How old the view may be. Cheap to clone.
#[derive(Clone)]
pub struct Freshness {
    backend: Arc<dyn Backend>,
    max_stale: Duration,
}

impl Freshness {
    /// Of the view that `backend` knows the age of: without a leader it may be younger than `max_stale`.
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>, max_stale: Duration) -> Self {
        Self { backend, max_stale }
    }

    /// Whether the view is too old to answer from. Costs a look at the clock.
    pub(super) fn is_too_old(&self) -> bool {
        self.backend.contact().is_lost_for(self.max_stale)
    }
}

/// The verdict for one who knows the time anyway, and asks for it often.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    found: Option<(Instant, bool)>,
}

impl Verdict {
    /// Whether the view is too old, as it was found now or a moment ago.
    pub fn is_too_old(&mut self, freshness: &Freshness, now: Instant) -> bool {
        match self.found {
            Some((at, is_too_old)) if now.saturating_duration_since(at) < VERDICT_LIMIT => is_too_old,
            _ => {
                let is_too_old = freshness.is_too_old();
                self.found = Some((now, is_too_old));
                is_too_old
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::fake::Fake;

    #[test]
    fn only_a_view_without_a_leader_grows_too_old() {
        let fake = Fake::new();
        let [none, hour] = [Duration::ZERO, Duration::from_secs(3600)];
        let freshness = |max_stale| Freshness::new(fake.clone(), max_stale);
        assert!(!freshness(none).is_too_old() && !freshness(hour).is_too_old());
        for (last_s, strict, lenient) in [(0, true, false), (3599, true, false), (3600, true, true)] {
            fake.lose_leader(Duration::from_secs(last_s));
            assert_eq!((freshness(none).is_too_old(), freshness(hour).is_too_old()), (strict, lenient), "{last_s}");
        }
    }

    #[test]
    fn a_verdict_is_good_for_a_moment() {
        let (fake, now) = (Fake::new(), Instant::now());
        let (freshness, mut verdict) = (Freshness::new(fake.clone(), Duration::ZERO), Verdict::default());
        assert!(!verdict.is_too_old(&freshness, now));
        fake.lose_leader(Duration::ZERO);
        for (after, is_too_old) in [(Duration::ZERO, false), (VERDICT_LIMIT / 2, false), (VERDICT_LIMIT, true)] {
            assert_eq!(verdict.is_too_old(&freshness, now + after), is_too_old, "{after:?}");
        }
    }
}
