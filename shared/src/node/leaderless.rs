//! Says when this node begins to answer without a leader, and when that is over: a line each.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{backend::Backend, metrics, tasks::Tasks};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// How long no leader may be known before it is said: an election takes less.
const PATIENCE: Duration = Duration::from_secs(3);

/// Starts watching. Until a leader was known for the first time, `PATIENCE` counts from now.
pub(super) fn start(backend: Arc<dyn Backend>, tasks: &Tasks) {
    let stopping = tasks.stopping();
    tasks.spawn("leader watch", async move {
        stopping.run_until_cancelled(watch(backend)).await;
        Ok::<(), String>(())
    });
}

async fn watch(backend: Arc<dyn Backend>) {
    let mut lost: Option<Instant> = None;
    let mut said = false;
    loop {
        let contact = backend.contact();
        if contact.known_leader {
            let since = lost.take();
            if said {
                let without_leader = since.map(|since| since.elapsed()).unwrap_or_default();
                tracing::info!(?without_leader, "a leader is known again");
            }
        } else {
            lost.get_or_insert_with(Instant::now);
        }
        let leaderless = lost.is_some_and(|since| since.elapsed() >= PATIENCE);
        if leaderless && !said {
            tracing::warn!(
                last_contact = ?contact.last,
                "no leader is known: lookups are answered from what this node has, registrations wait"
            );
        }
        metrics::set_leaderless(leaderless);
        said = leaderless;
        tokio::time::sleep(LOOK).await;
    }
}
