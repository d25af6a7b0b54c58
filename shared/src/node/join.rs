//! Finding the pool: host names are looked up, and `-retry-join` keeps trying.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{gossip::Pool, resolve, tasks::Tasks};

/// Looks up and joins every target; gives how many members were contacted.
///
/// # Errors
/// When none could be joined: every target with its cause.
pub async fn join(pool: &Pool, targets: &[String], default_port: u16) -> Result<usize, String> {
    let mut addresses = Vec::new();
    let mut causes = Vec::new();
    for target in targets {
        match resolve::addresses(target, default_port).await {
            Ok(found) => addresses.extend(found),
            Err(cause) => causes.push(cause),
        }
    }
    match pool.join(&addresses).await {
        Ok(joined) if joined > 0 => Ok(joined),
        Ok(_) => Err(causes.join("; ")),
        Err(error) => Err(causes.into_iter().chain([error.to_string()]).collect::<Vec<_>>().join("; ")),
    }
}

/// How `-retry-join` tries.
pub struct Retry {
    /// Whom to join.
    pub targets: Vec<String>,
    /// The port where a target has none.
    pub default_port: u16,
    /// The longest pause between two tries; the first are closer together.
    pub interval: Duration,
    /// Tries before it gives up and ends the process; 0: never.
    pub max: u32,
}

impl Retry {
    /// Starts trying until one target was joined.
    pub fn start(self, pool: Pool, tasks: &Tasks) {
        if self.targets.is_empty() {
            return;
        }
        let stopping = tasks.stopping();
        let group = tasks.clone();
        tasks.spawn_short(async move {
            if let Err(reason) = self.run(pool, stopping).await {
                group.fail(reason);
            }
        });
    }

    async fn run(self, pool: Pool, stopping: CancellationToken) -> Result<(), String> {
        let mut pause = Duration::from_millis(250).min(self.interval);
        for attempt in 1_u32.. {
            let joined = tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                joined = join(&pool, &self.targets, self.default_port) => joined,
            };
            match joined {
                Ok(members) => {
                    tracing::info!(members, "joined the LAN pool");
                    return Ok(());
                }
                Err(error) if self.max > 0 && attempt >= self.max => {
                    return Err(format!("retry-join: gave up after {attempt} tries: {}", one_line(&error)));
                }
                // Said once; an operator who waits does not need the same line every few seconds.
                Err(error) if attempt == 1 => {
                    tracing::warn!(error = %one_line(&error), "could not join the LAN pool; trying again until it works");
                }
                Err(error) => tracing::debug!(error = %one_line(&error), attempt, "could not join the LAN pool"),
            }
            tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(self.interval);
        }
        Ok(())
    }
}

fn one_line(error: &str) -> String {
    error.split_whitespace().collect::<Vec<_>>().join(" ")
}
