//! The watches that an agent runs: each a task, from the reading of its file until it is in none any more.
//!
//! What goes wrong with one is said at warn, and it goes on: an agent does not end because of a handler.

use std::sync::Arc;

use tokio_util::sync::DropGuard;

use super::{
    changes::{Changes, Source},
    definition::Definition,
};
use crate::{outbound::Outbound, tasks::Tasks};

/// The watches of one agent.
pub struct Watches<S> {
    source: Arc<S>,
    outbound: Arc<Outbound>,
    tasks: Tasks,
    /// Each ends when its guard is dropped.
    running: Vec<(Definition, DropGuard)>,
}

impl<S: Source + 'static> Watches<S> {
    /// None yet.
    #[must_use]
    pub fn new(source: S, outbound: Arc<Outbound>, tasks: Tasks) -> Self {
        Self { source: Arc::new(source), outbound, tasks, running: Vec::new() }
    }

    /// Makes these the only ones: new ones start, missing ones end with the program that runs, and those that are as
    /// they were go on.
    pub fn set(&mut self, definitions: &[Definition]) {
        let mut before = std::mem::take(&mut self.running);
        for definition in definitions {
            let known = before.iter().position(|(running, _)| running == definition);
            let running = known.map(|at| before.swap_remove(at)).unwrap_or_else(|| self.start(definition.clone()));
            self.running.push(running);
        }
    }

    fn start(&self, definition: Definition) -> (Definition, DropGuard) {
        let ended = self.tasks.stopping().child_token();
        let running = run(self.source.clone(), self.outbound.clone(), definition.clone());
        let guard = ended.clone().drop_guard();
        self.tasks.spawn_short(async move {
            ended.run_until_cancelled(running).await;
        });
        (definition, guard)
    }
}

async fn run<S: Source>(source: Arc<S>, outbound: Arc<Outbound>, definition: Definition) {
    let kind = definition.subject.kind.clone();
    let mut changes = Changes::new(source, definition.subject);
    loop {
        let change = changes.next(|failure| tracing::warn!(%failure, "a watch got no answer")).await;
        if let Err(error) = definition.handler.handle(&change, &outbound).await {
            tracing::warn!(%error, watch = kind, index = change.index, "a watch's handler failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use tokio::{sync::watch, time::Instant};

    use super::*;
    use crate::watch::Seen;

    /// Answers every question with its present index, and waits for another where that is known.
    struct Counter(watch::Receiver<u64>);

    impl Source for Counter {
        async fn get(&self, path: &str) -> Result<Seen, String> {
            let known = path.split("index=").nth(1).and_then(|rest| rest.split('&').next()?.parse().ok());
            let mut number = self.0.clone();
            let changed = number.wait_for(|number| Some(*number) != known).await.map_err(|error| error.to_string())?;
            Ok(Seen { found: true, index: Some(*changed), body: format!("[{}]", *changed).into() })
        }
    }

    async fn until_holds(path: &std::path::Path, wanted: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let found = std::fs::read_to_string(path).unwrap_or_default();
            if found == wanted {
                return;
            }
            assert!(Instant::now() < end, "{found:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn watches_start_go_on_and_end() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        let writing = |name: &str| {
            let line = format!("(echo $CONSUL_INDEX; cat) >> {}; exit 1", file(name).display());
            Definition::from_file(&json!({"type": "nodes", "args": ["sh", "-c", line]})).unwrap()
        };
        let (number, receiver) = watch::channel(7);
        let tasks = Tasks::new();
        let mut watches = Watches::new(Counter(receiver), Arc::new(Outbound::default()), tasks.clone());
        watches.set(&[writing("a"), writing("b")]);
        until_holds(&file("a"), "7\n[7]\n").await;
        until_holds(&file("b"), "7\n[7]\n").await;

        watches.set(&[writing("c"), writing("b")]);
        until_holds(&file("c"), "7\n[7]\n").await;
        number.send_replace(8);
        until_holds(&file("b"), "7\n[7]\n8\n[8]\n").await;
        until_holds(&file("c"), "7\n[7]\n8\n[8]\n").await;
        until_holds(&file("a"), "7\n[7]\n").await;
        assert!(tasks.shutdown(Duration::from_secs(5)).await);
    }
}
