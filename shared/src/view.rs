//! A node's view of the registry: one [`Writer`], any number of [`Reader`]s.
//!
//! A reader loads the present snapshot without a lock and without waiting. Who waits for a change waits for a
//! [`Topic`] and is woken only when that topic is touched; who waits for an index (read-your-writes, barriers) is
//! woken once, when it is reached.
//!
//! **Two layers.** The *base* is what the servers have told: the writer alone changes it, streams resume from it, and
//! the agent compares with it. What is *shown* is the base with those of this node's own commands applied that the
//! servers could not be given yet ([`Reader::show`]). Ordinarily there are none, and both are one and the same state.
//!
//! **Indexes.** The index of a topic in what is shown never goes back, and grows whenever an answer about the topic
//! changes, whatever the servers, this node and the network do (`catalog::floor`). So an answer may be kept as long as
//! the index of its topics is the same. [`State::index`] is that of the base. It goes back only when a cluster was
//! formed anew ([`Writer::begin_anew`]).

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, futures::OwnedNotified, oneshot};

use crate::{
    catalog::{State, Topic, Touched, for_each_woken},
    command::Command,
    model::{Index, Time},
};

/// Makes an empty view.
#[must_use]
pub fn new() -> (Writer, Reader) {
    let shared = Arc::new(Shared::default());
    (Writer { shared: shared.clone() }, Reader { shared })
}

#[derive(Default)]
struct Shared {
    /// What is shown.
    state: ArcSwap<State>,
    /// Held while what is shown is made.
    layers: Mutex<Layers>,
    topics: Mutex<BTreeMap<Topic, Arc<Notify>>>,
    reaching: Mutex<BTreeMap<Index, Vec<oneshot::Sender<()>>>>,
}

/// What the shown state is made of.
#[derive(Default)]
struct Layers {
    base: Arc<State>,
    /// What the servers could not be given yet, and when it came about.
    local: Vec<Command>,
    local_time: Time,
    /// What those commands change in what is shown.
    local_touched: Touched,
}

/// How a new state came about.
enum Step<'a> {
    /// By changes that touched these topics.
    Touched(&'a Touched),
    /// As a whole.
    Whole,
    /// As a whole, of another registry.
    Anew,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that holds one of these locks can leave what it guards half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The only one who changes the base of a view.
pub struct Writer {
    shared: Arc<Shared>,
}

impl Writer {
    /// The base as last published: without what only this node shows.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        lock(&self.shared.layers).base.clone()
    }

    /// A reader of this view.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader { shared: self.shared.clone() }
    }

    /// Publishes the next state and wakes those who wait for what it touched.
    ///
    /// A state older than the present one is not published.
    pub fn publish(&mut self, state: State, touched: &Touched) {
        self.shared.put(state, &Step::Touched(touched));
    }

    /// Publishes a state that came as a whole (a snapshot): everyone who waits looks again. An older one is not
    /// published.
    pub fn replace(&mut self, state: State) {
        self.shared.put(state, &Step::Whole);
    }

    /// Publishes the whole state of a registry that was formed anew, whatever its index: everyone who waits looks
    /// again, and every topic's index grows.
    pub fn begin_anew(&mut self, state: State) {
        self.shared.put(state, &Step::Anew);
    }
}

impl Shared {
    fn put(&self, state: State, step: &Step<'_>) {
        let mut layers = lock(&self.layers);
        let index = state.index();
        if index < layers.base.index() && !matches!(step, Step::Anew) {
            return;
        }
        layers.base = Arc::new(state);
        self.show(&mut layers, step);
        drop(layers);
        let mut reaching = lock(&self.reaching);
        let later = reaching.split_off(&Index(index.0 + 1));
        let reached = std::mem::replace(&mut *reaching, later);
        drop(reaching);
        for caller in reached.into_values().flatten() {
            // A caller that gave up has dropped its receiver.
            let _ = caller.send(());
        }
    }

    /// Makes what is shown of the layers, and wakes those who wait for what differs.
    fn show(&self, layers: &mut Layers, step: &Step<'_>) {
        let previous = self.state.load();
        let plain = layers.local.is_empty() && layers.local_touched.is_empty() && !previous.has_floors();
        if plain && !matches!(step, Step::Anew) {
            self.state.store(layers.base.clone());
            return self.wake(step);
        }
        let mut state = State::clone(&layers.base);
        let index = state.index();
        // Also what they changed until now, as it may be as it was again.
        let mut touched = std::mem::take(&mut layers.local_touched);
        for command in &layers.local {
            layers.local_touched.extend(state.apply(index, layers.local_time, command).touched);
        }
        touched.extend(layers.local_touched.iter().cloned());
        match step {
            Step::Touched(others) => {
                touched.extend(others.iter().cloned());
                state.raise_over(&previous, &touched);
            }
            // What differs is not known.
            Step::Whole | Step::Anew => state.raise_all_over(&previous),
        }
        self.state.store(Arc::new(state));
        match step {
            Step::Touched(_) => self.wake(&Step::Touched(&touched)),
            whole => self.wake(whole),
        }
    }

    fn wake(&self, step: &Step<'_>) {
        let mut waiting: Vec<(Topic, Arc<Notify>)> = Vec::new();
        {
            let topics = lock(&self.topics);
            let mut keep = |topic: &Topic, notify: &Arc<Notify>| waiting.push((topic.clone(), notify.clone()));
            match step {
                Step::Touched(touched) => touched.iter().for_each(|topic| for_each_woken(&topics, topic, &mut keep)),
                Step::Whole | Step::Anew => topics.iter().for_each(|(topic, notify)| keep(topic, notify)),
            }
        }
        // Without the lock: those who wait may be ten thousand, and others come and go meanwhile.
        waiting.iter().for_each(|(_, notify)| notify.notify_waiters());
        let mut topics = lock(&self.topics);
        for (topic, notify) in waiting {
            drop(notify);
            forget_if_unused(&mut topics, &topic);
        }
    }
}

fn forget_if_unused(topics: &mut BTreeMap<Topic, Arc<Notify>>, topic: &Topic) {
    if topics.get(topic).is_some_and(|notify| Arc::strong_count(notify) == 1) {
        topics.remove(topic);
    }
}

/// Sees a view. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

impl Reader {
    /// What the servers have told, without what only this node shows.
    #[must_use]
    pub fn base(&self) -> Arc<State> {
        lock(&self.shared.layers).base.clone()
    }

    /// Shows these commands of this node, and no others, as if they had been applied after all that the servers have
    /// told; for what the servers cannot be given at the moment. Only the node's agent calls it.
    pub fn show(&self, commands: Vec<Command>, time: Time) {
        let mut layers = lock(&self.shared.layers);
        if commands.is_empty() && layers.local.is_empty() {
            return;
        }
        (layers.local, layers.local_time) = (commands, time);
        self.shared.show(&mut layers, &Step::Touched(&Touched::new()));
    }

    /// The present snapshot.
    #[must_use]
    pub fn load(&self) -> arc_swap::Guard<Arc<State>> {
        self.shared.state.load()
    }

    /// The present snapshot, to be kept for long.
    #[must_use]
    pub fn load_full(&self) -> Arc<State> {
        self.shared.state.load_full()
    }

    /// Returns when the view is at `index` or later. Cancel-safe.
    pub async fn reach(&self, index: Index) {
        let reached = {
            let mut reaching = lock(&self.shared.reaching);
            // Looked at under the lock: the writer stores first and takes the lock after.
            if self.load().index() >= index {
                return;
            }
            let (sender, receiver) = oneshot::channel();
            let callers = reaching.entry(index).or_default();
            callers.retain(|caller| !caller.is_closed());
            callers.push(sender);
            receiver
        };
        // The sender lives in the map until the index is reached.
        let _ = reached.await;
    }

    /// Returns when what `topic` names has changed after `index`, with the snapshot that shows it. Cancel-safe.
    pub async fn changed(&self, topic: &Topic, index: Index) -> Arc<State> {
        let waiting = self.wait_for(topic);
        loop {
            let next = waiting.next();
            let state = self.load_full();
            if state.index_of(topic) > index {
                return state;
            }
            next.await;
        }
    }

    /// Registers for wake-ups of a topic until the returned handle is dropped.
    #[must_use]
    pub fn wait_for(&self, topic: &Topic) -> Waiting {
        let notify = lock(&self.shared.topics).entry(topic.clone()).or_default().clone();
        Waiting { shared: self.shared.clone(), topic: topic.clone(), notify: Some(notify) }
    }

    /// How many topics someone waits for, for metrics and tests.
    #[must_use]
    pub fn topics_waited_for(&self) -> usize {
        lock(&self.shared.topics).len()
    }
}

/// A registration for wake-ups of one topic.
pub struct Waiting {
    shared: Arc<Shared>,
    topic: Topic,
    notify: Option<Arc<Notify>>,
}

impl Waiting {
    /// Resolves at the next wake-up after this call, also if it is awaited later.
    pub fn next(&self) -> impl Future<Output = ()> + use<> {
        let next: Option<OwnedNotified> = self.notify.as_ref().map(|notify| notify.clone().notified_owned());
        async move {
            if let Some(next) = next {
                next.await;
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut topics = lock(&self.shared.topics);
        self.notify = None;
        forget_if_unused(&mut topics, &self.topic);
    }
}

#[cfg(test)]
mod tests;
