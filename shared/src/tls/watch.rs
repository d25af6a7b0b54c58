//! Looks after the certificates of a running node: takes changed files over, and says in time which of them expire.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Tls, material::Dated};
use crate::{metrics, model::Time, tasks::Tasks};

/// Between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(60);
const DAY_S: i64 = 86_400;
/// So long before a certificate expires, the log begins to say so, once a day.
const WARN_BEFORE_S: i64 = 30 * DAY_S;

/// Starts to look after them, where there is TLS at all.
pub(super) fn start(tls: Arc<Tls>, tasks: &Tasks) {
    if tls.is_on() {
        tasks.spawn("certificates", run(tls, tasks.stopping()));
    }
}

async fn run(tls: Arc<Tls>, stopping: CancellationToken) -> Result<(), std::convert::Infallible> {
    let mut told = Told::default();
    loop {
        let certificates = tls.certificates();
        tell(&certificates);
        for (path, expiry) in told.due(&certificates, now()) {
            expiry.say(&path);
        }
        if stopping.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
            return Ok(());
        }
        tls.look();
    }
}

/// Shows them to whoever reads the metrics.
fn tell(certificates: &[Dated]) {
    let shown = certificates.iter().map(|dated| {
        let kind = if dated.is_ca { "ca" } else { "own" };
        (dated.interface, kind, dated.path.display().to_string(), dated.validity.not_after)
    });
    metrics::set_certificates(shown.collect());
}

fn now() -> i64 {
    i64::try_from(Time::now().0 / 1000).unwrap_or(i64::MAX)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expiry {
    /// In so many days.
    Soon {
        days: i64,
        is_ca: bool,
    },
    Over {
        is_ca: bool,
    },
}

impl Expiry {
    fn say(self, path: &std::path::Path) {
        let path = path.display();
        match self {
            Self::Soon { days, is_ca: false } => {
                tracing::warn!(%path, days, "this node's certificate expires soon (renew it and reload)");
            }
            Self::Soon { days, is_ca: true } => {
                tracing::warn!(%path, days, "the certificate of a CA expires soon, and all that it issued with it");
            }
            Self::Over { is_ca: false } => {
                tracing::error!(%path, "this node's certificate has EXPIRED: others refuse it (renew it and reload)");
            }
            Self::Over { is_ca: true } => {
                tracing::error!(%path, "the certificate of a CA has EXPIRED: nothing that it issued is taken any more");
            }
        }
    }
}

/// When each was said last; renewed ones are forgotten.
#[derive(Default)]
struct Told(BTreeMap<(PathBuf, i64), i64>);

impl Told {
    /// What the log is to say now: of each certificate at most once a day.
    fn due(&mut self, certificates: &[Dated], now: i64) -> Vec<(PathBuf, Expiry)> {
        let mut due = Vec::new();
        let mut told = BTreeMap::new();
        for dated in certificates {
            let left = dated.validity.not_after.saturating_sub(now);
            if left > WARN_BEFORE_S {
                continue;
            }
            let certificate = (dated.path.clone(), dated.validity.not_after);
            let last = told.get(&certificate).or_else(|| self.0.get(&certificate)).copied();
            let again = last.is_none_or(|last| now - last >= DAY_S);
            if again {
                let is_ca = dated.is_ca;
                let expiry = if left < 0 { Expiry::Over { is_ca } } else { Expiry::Soon { days: left / DAY_S, is_ca } };
                due.push((dated.path.clone(), expiry));
            }
            told.insert(certificate, if again { now } else { last.unwrap_or(now) });
        }
        self.0 = told;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::{super::validity::Validity, *};

    #[test]
    fn what_expires_is_said_once_a_day() {
        let dated = |path: &str, not_after, is_ca| Dated {
            interface: "internal_rpc",
            is_ca,
            path: path.into(),
            validity: Validity { not_before: 0, not_after },
        };
        let soon = |path: &str, days| (PathBuf::from(path), Expiry::Soon { days, is_ca: false });
        let mut told = Told::default();
        let all = [dated("a", 40 * DAY_S, false), dated("b", 10 * DAY_S, false), dated("ca", -1, true)];
        let over = (PathBuf::from("ca"), Expiry::Over { is_ca: true });
        assert_eq!(told.due(&all, 0), [soon("b", 10), over.clone()]);
        assert_eq!(told.due(&all, DAY_S / 2), []);
        assert_eq!(told.due(&all, DAY_S), [soon("b", 9), over]);
        // The same certificate at two interfaces is one; a renewed one is not said, nor is what was said of it kept.
        let both = [dated("b", 12 * DAY_S, false), dated("b", 12 * DAY_S, false)];
        assert_eq!(told.due(&both, DAY_S + 1), [soon("b", 10)]);
        assert_eq!(told.due(&[dated("b", 400 * DAY_S, false)], DAY_S + 2), []);
        assert!(told.0.is_empty());
    }
}
