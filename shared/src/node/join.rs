//! Finding a pool, the LAN's or the WAN's: host names are looked up, and `-retry-join` keeps trying.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{config::Join, gossip::Pool, resolve, tasks::Tasks};

/// The pause after the first try; each one after it is twice as long, up to the interval.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// A pool, and whom to join in it.
pub struct Joining {
    /// The pool.
    pub pool: Pool,
    /// What an operator calls it.
    pub name: &'static str,
    /// The port where a target has none.
    pub default_port: u16,
    /// Whom, and how often it is tried.
    pub join: Join,
}

/// Looks up and joins every target; gives how many members were contacted.
async fn join(pool: &Pool, targets: &[String], default_port: u16) -> Result<usize, String> {
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

impl Joining {
    /// Joins those that must be there at the start.
    ///
    /// # Errors
    /// When none could be joined: every target with its cause.
    pub async fn start(&self) -> Result<(), String> {
        if !self.join.start.is_empty() {
            let members = join(&self.pool, &self.join.start, self.default_port).await?;
            tracing::info!(members, pool = self.name, "joined");
        }
        Ok(())
    }

    /// Starts trying the others until one was joined. Giving up ends the process.
    pub fn retry(self, tasks: &Tasks) {
        if self.join.retry.is_empty() {
            return;
        }
        let stopping = tasks.stopping();
        let group = tasks.clone();
        tasks.spawn_short(async move {
            if let Err(reason) = self.try_on(stopping).await {
                group.fail(reason);
            }
        });
    }

    async fn try_on(self, stopping: CancellationToken) -> Result<(), String> {
        let Join { retry, interval, max, .. } = &self.join;
        let mut pause = FIRST_PAUSE.min(*interval);
        for attempt in 1_u32.. {
            let joined = tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                joined = join(&self.pool, retry, self.default_port) => joined,
            };
            match joined {
                Ok(members) => {
                    tracing::info!(members, pool = self.name, "joined");
                    return Ok(());
                }
                Err(error) if *max > 0 && attempt >= *max => {
                    let (name, error) = (self.name, one_line(&error));
                    return Err(format!("retry-join, {name} pool: gave up after {attempt} tries: {error}"));
                }
                // Said once; an operator who waits does not need the same line every few seconds.
                Err(error) if attempt == 1 => {
                    tracing::warn!(error = %one_line(&error), pool = self.name, "could not join; trying again until it works");
                }
                Err(error) => tracing::debug!(error = %one_line(&error), pool = self.name, attempt, "could not join"),
            }
            tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(*interval);
        }
        Ok(())
    }
}

fn one_line(error: &str) -> String {
    error.split_whitespace().collect::<Vec<_>>().join(" ")
}
