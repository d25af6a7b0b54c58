//! The one way tasks are started, watched and stopped.
//!
//! A long-lived task (a listener, a stream, a prober) that ends before shutdown is an error that ends the
//! process: [`Tasks::failed`] resolves and `main` exits loudly. Short tasks (one connection, one request) use
//! [`Tasks::spawn_short`]: they only have to end before shutdown is over.

use std::{fmt::Display, future::Future, time::Duration};

use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A group of tasks that stop together. Cloning gives another handle to the same group.
#[derive(Clone, Debug)]
pub struct Tasks {
    shutdown: CancellationToken,
    tracker: TaskTracker,
    failure: watch::Sender<Option<String>>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self { shutdown: CancellationToken::new(), tracker: TaskTracker::new(), failure: watch::Sender::new(None) }
    }
}

impl Tasks {
    /// A group without tasks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a long-lived task. It must run until [`Tasks::stopping`] is cancelled; ending earlier, with or
    /// without an error, or by a panic, makes [`Tasks::failed`] resolve with a sentence that has `name` in it.
    pub fn spawn<E: Display>(&self, name: &'static str, task: impl Future<Output = Result<(), E>> + Send + 'static) {
        let (shutdown, failure) = (self.shutdown.clone(), self.failure.clone());
        self.tracker.spawn(async move {
            let mut ended = EndedEarly { name, shutdown, failure, reason: "it panicked".into() };
            ended.reason = match task.await {
                Ok(()) => "it ended".into(),
                Err(error) => error.to_string(),
            };
        });
    }

    /// Starts a task that ends by itself (one connection, one request).
    pub fn spawn_short(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(task);
    }

    /// Cancelled when the group is to stop; every loop selects on it.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Resolves when a long-lived task has ended early, with the reason.
    pub async fn failed(&self) -> String {
        let mut failure = self.failure.subscribe();
        match failure.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "the task group is gone".into(),
        }
    }

    /// Makes [`Tasks::failed`] resolve: for errors found outside a task of this group (a storage thread).
    pub fn fail(&self, reason: impl Into<String>) {
        let reason = reason.into();
        self.failure.send_if_modified(|first| {
            let new = first.is_none();
            first.get_or_insert(reason);
            new
        });
    }

    /// Asks every task to stop and waits until all have, at most `limit`. False when some were still running.
    pub async fn shutdown(&self, limit: Duration) -> bool {
        self.shutdown.cancel();
        self.tracker.close();
        tokio::time::timeout(limit, self.tracker.wait()).await.is_ok()
    }
}

/// Reports, however the task ends, that it ended before it was asked to.
struct EndedEarly {
    name: &'static str,
    shutdown: CancellationToken,
    failure: watch::Sender<Option<String>>,
    reason: String,
}

impl Drop for EndedEarly {
    fn drop(&mut self) {
        if self.shutdown.is_cancelled() {
            return;
        }
        let reason = format!("{}: {}", self.name, self.reason);
        self.failure.send_if_modified(|first| {
            let new = first.is_none();
            first.get_or_insert(reason);
            new
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_long_lived_task_that_ends_early_is_a_failure_with_its_name() {
        for (task, reason) in [("ends", "it ended"), ("fails", "disk full"), ("panics", "it panicked")] {
            let tasks = Tasks::new();
            tasks.spawn("worker", async move {
                match task {
                    "ends" => Ok(()),
                    "fails" => Err("disk full"),
                    _ => panic!("on purpose"),
                }
            });
            assert_eq!(tasks.failed().await, format!("worker: {reason}"));
        }
    }

    #[tokio::test]
    async fn shutdown_waits_for_every_task_and_is_no_failure() {
        let tasks = Tasks::new();
        let stopping = tasks.stopping();
        tasks.spawn("worker", async move {
            stopping.cancelled().await;
            Ok::<(), String>(())
        });
        assert!(tasks.shutdown(Duration::from_secs(5)).await);
        assert!(tokio::time::timeout(Duration::from_millis(10), tasks.failed()).await.is_err());
    }
}
