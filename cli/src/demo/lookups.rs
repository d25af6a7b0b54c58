//! Lookups that go on in the background, counted.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use hickory_proto::rr::RecordType;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{dns::Asker, failure::NotYet, plan::Host};

/// From one question to the next at each agent.
const PACE: Duration = Duration::from_millis(5);

/// What came of the questions.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Questions.
    pub asked: u64,
    /// Questions without an answer to use.
    pub failed: u64,
    /// The longest time to an answer.
    pub slowest: Duration,
    /// What was wrong with the first that failed.
    pub first_failure: Option<NotYet>,
}

/// Questions under way. Dropping it ends them.
pub struct Lookups {
    counts: watch::Sender<Counts>,
    stop: CancellationToken,
    tasks: Vec<AbortOnDropHandle<()>>,
}

impl Lookups {
    /// Asks each of `hosts` for `name`'s SRV records, one question after the other.
    pub fn start<'plan>(hosts: impl IntoIterator<Item = &'plan Host>, name: &str) -> Self {
        let (counts, stop) = (watch::Sender::new(Counts::default()), CancellationToken::new());
        let ask = |host: &Host| {
            tokio::spawn(ask_on(host.name.clone(), host.dns(), name.to_string(), counts.clone(), stop.clone()))
        };
        let tasks = hosts.into_iter().map(|host| AbortOnDropHandle::new(ask(host))).collect();
        Self { counts, stop, tasks }
    }

    /// The counts so far.
    pub fn counts(&self) -> Counts {
        self.counts.borrow().clone()
    }

    /// Stops asking, waits for the last answers and gives the counts.
    pub async fn finish(self) -> Counts {
        self.stop.cancel();
        for task in self.tasks {
            // A task that panicked has been counted as far as it came.
            let _ = task.await;
        }
        self.counts.borrow().clone()
    }
}

async fn ask_on(
    host: String,
    server: SocketAddr,
    name: String,
    counts: watch::Sender<Counts>,
    stop: CancellationToken,
) {
    let asker = Asker::new(server).await;
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while !stop.is_cancelled() {
        ticks.tick().await;
        let started = Instant::now();
        let answer = match &asker {
            Ok(asker) => asker.ask(&name, RecordType::SRV).await.map(|_| ()),
            Err(error) => Err(error.to_string()),
        };
        let took = started.elapsed();
        counts.send_modify(|counts| {
            counts.asked += 1;
            counts.slowest = counts.slowest.max(took);
            if let Err(reason) = answer {
                counts.failed += 1;
                counts.first_failure.get_or_insert_with(|| NotYet::new(&host, reason));
            }
        });
    }
}
