//! What happens to checks by time alone: TTLs that end, services deregistered for being critical too long.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Agent;

/// The shortest time between two looks, so that many deadlines make one.
const SPACING: Duration = Duration::from_millis(50);
/// The longest.
const REST: Duration = Duration::from_secs(3600);

/// Runs until the agent stops.
pub(super) async fn run(agent: Agent, stopping: CancellationToken) -> Result<(), String> {
    loop {
        let now = Instant::now();
        let ticked = agent.inner.local().tick(now);
        for service in &ticked.reaped {
            tracing::info!(%service, "deregistered: one of its checks was critical for too long");
        }
        agent.inner.changed.notify_one();
        let next = ticked.next.unwrap_or(now + REST).clamp(now + SPACING, now + REST);
        tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            () = tokio::time::sleep_until(next) => {}
            () = agent.inner.deadlines.notified() => tokio::time::sleep(SPACING).await,
        }
    }
}
