//! Whether it is worth asking a datacenter. Pure: time is given.
//!
//! After [`FAILURES`] requests in a row that no server of it answered, the breaker is *open*: nobody is asked any more
//! until someone has seen a server answer. What is under way when it opens goes on and changes nothing.

use std::time::{Duration, Instant};

/// How many requests in a row must go without an answer until no more are sent.
pub(super) const FAILURES: u32 = 3;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    since: Instant,
    reason: String,
}

impl Breaker {
    /// Why nobody is asked at the moment; `None` while it is closed.
    pub fn refusal(&self, now: Instant) -> Option<String> {
        let open = self.open.as_ref()?;
        let since_s = now.saturating_duration_since(open.since).as_secs();
        Some(format!("no server of it has answered for {since_s} s: {}", open.reason))
    }

    /// A request was answered.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// A request was not. Whether that has opened it.
    pub fn failed(&mut self, reason: &str, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        let opens = self.open.is_none() && self.failures >= FAILURES;
        if opens {
            self.open = Some(Open { since: now, reason: reason.to_owned() });
        }
        opens
    }

    /// A server of it was seen to answer: how long it was open, if it was.
    pub fn close(&mut self, now: Instant) -> Option<Duration> {
        self.failures = 0;
        Some(now.saturating_duration_since(self.open.take()?.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_stays_so_until_it_is_closed() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        let fails = |breaker: &mut Breaker, times| (0..times).filter(|_| breaker.failed("refused", now)).count();
        assert_eq!(fails(&mut breaker, FAILURES - 1), 0);
        breaker.succeeded();
        assert_eq!(fails(&mut breaker, FAILURES - 1), 0, "a success in between");
        assert_eq!(breaker.refusal(now), None);
        assert_eq!(fails(&mut breaker, 100), 1, "it opens once");
        let later = now + Duration::from_secs(7);
        assert_eq!(breaker.refusal(later).unwrap(), "no server of it has answered for 7 s: refused");
        breaker.succeeded();
        assert!(breaker.refusal(later).is_some(), "an answer that was under way closes nothing");
        assert_eq!(breaker.close(later), Some(Duration::from_secs(7)));
        assert_eq!((breaker.refusal(later), breaker.close(later)), (None, None));
    }
}
