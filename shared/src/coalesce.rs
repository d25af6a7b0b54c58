//! One question on the way for any number of callers.
//!
//! A caller that comes while a question is on its way cannot use its answer (it may have been given before the caller
//! came) but shares the *next* one with all others who came meanwhile: at most one question is under way, and a caller
//! waits for at most two. The questions run in tasks of their own, so a caller that gives up takes nothing from the
//! rest. What is asked is a [`Question`]; see `forward` for the one that is asked most, the read barrier.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use crate::{
    tasks::Tasks,
    traces::{self, Kind, Place, Span},
};

/// Something that can be asked again and again. It must end by itself.
pub trait Question: Send + Sync + 'static {
    /// What all callers are told.
    type Answer: Clone + Send + 'static;
    /// What it is called in a trace.
    const NAME: &'static str;

    /// Asks once.
    fn ask(&self) -> impl Future<Output = Self::Answer> + Send;
}

/// Shares the answers to one question.
pub struct Coalesce<Q: Question> {
    shared: Arc<Shared<Q>>,
    tasks: Tasks,
}

struct Shared<Q: Question> {
    question: Q,
    queue: Mutex<Queue<Q::Answer>>,
}

/// Holds a place for each caller that waits; who bounds the callers bounds the queue.
struct Queue<A> {
    /// Each with the span that waits.
    waiting: Vec<(oneshot::Sender<A>, Option<Place>)>,
    under_way: bool,
}

impl<Q: Question> Shared<Q> {
    fn queue(&self) -> MutexGuard<'_, Queue<Q::Answer>> {
        // No code that holds the lock can leave the queue half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Q: Question> Coalesce<Q> {
    /// Shares the answers to `question`, asked in short tasks of `tasks`.
    #[must_use]
    pub fn new(question: Q, tasks: Tasks) -> Self {
        let queue = Mutex::new(Queue { waiting: Vec::new(), under_way: false });
        Self { shared: Arc::new(Shared { question, queue }), tasks }
    }

    /// The answer to a question that was asked after this call. `None` when the process stops first. Cancel-safe.
    pub async fn ask(&self) -> Option<Q::Answer> {
        let (sender, receiver) = oneshot::channel();
        let first = {
            let mut queue = self.shared.queue();
            queue.waiting.push((sender, traces::current()));
            !std::mem::replace(&mut queue.under_way, true)
        };
        if first {
            let (stopping, asking) = (self.tasks.stopping(), Asking { shared: self.shared.clone(), ended: false });
            self.tasks.spawn_short(async move {
                stopping.run_until_cancelled(asking.run()).await;
            });
        }
        receiver.await.ok()
    }
}

/// The task that asks; however it ends, nobody is left waiting for it.
struct Asking<Q: Question> {
    shared: Arc<Shared<Q>>,
    ended: bool,
}

impl<Q: Question> Asking<Q> {
    async fn run(mut self) {
        loop {
            let callers = {
                let mut queue = self.shared.queue();
                queue.waiting.retain(|(caller, _)| !caller.is_closed());
                if queue.waiting.is_empty() {
                    queue.under_way = false;
                    self.ended = true;
                    return;
                }
                std::mem::take(&mut queue.waiting)
            };
            let span = Span::of(callers.iter().filter_map(|(_, span)| *span), Kind::Internal, Q::NAME);
            let answer = span.around(self.shared.question.ask()).await;
            drop(span);
            for (caller, _) in callers {
                // A caller that gave up has dropped its receiver.
                let _ = caller.send(answer.clone());
            }
        }
    }
}

impl<Q: Question> Drop for Asking<Q> {
    fn drop(&mut self) {
        // After a normal end another task may already be asking, for callers of its own.
        if !self.ended {
            let mut queue = self.shared.queue();
            queue.waiting.clear();
            queue.under_way = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        time::Duration,
    };

    use tokio::sync::Semaphore;

    use super::*;

    /// Answers with the number of times it was asked, once per permit.
    struct Counted {
        asked: AtomicU64,
        permits: Semaphore,
    }

    impl Question for Arc<Counted> {
        type Answer = u64;
        const NAME: &'static str = "count";

        async fn ask(&self) -> u64 {
            let asked = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
            self.permits.acquire().await.unwrap().forget();
            asked
        }
    }

    async fn until(condition: impl Fn() -> bool) {
        let wait = async {
            while !condition() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), wait).await.unwrap();
    }

    #[tokio::test]
    async fn callers_that_come_meanwhile_share_the_next_answer() {
        let counted = Arc::new(Counted { asked: AtomicU64::new(0), permits: Semaphore::new(0) });
        let coalesce = Arc::new(Coalesce::new(counted.clone(), Tasks::new()));
        let ask = || {
            let coalesce = coalesce.clone();
            tokio::spawn(async move { coalesce.ask().await })
        };
        let first = ask();
        until(|| counted.asked.load(Ordering::SeqCst) == 1).await;
        let gives_up = ask();
        let meanwhile: Vec<_> = (0..100).map(|_| ask()).collect();
        until(|| coalesce.shared.queue().waiting.len() == 101).await;
        gives_up.abort();
        counted.permits.add_permits(3);
        assert_eq!(first.await.unwrap(), Some(1));
        for caller in meanwhile {
            assert_eq!(caller.await.unwrap(), Some(2));
        }
        assert_eq!(coalesce.ask().await, Some(3));
        assert_eq!(counted.asked.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn shutdown_leaves_nobody_waiting() {
        let counted = Arc::new(Counted { asked: AtomicU64::new(0), permits: Semaphore::new(0) });
        let tasks = Tasks::new();
        let coalesce = Arc::new(Coalesce::new(counted.clone(), tasks.clone()));
        let waiting = tokio::spawn({
            let coalesce = coalesce.clone();
            async move { coalesce.ask().await }
        });
        until(|| counted.asked.load(Ordering::SeqCst) == 1).await;
        assert!(tasks.shutdown(Duration::from_secs(5)).await);
        assert_eq!(waiting.await.unwrap(), None);
    }
}
