//! A node's view of the registry: one [`Writer`], any number of [`Reader`]s.
//!
//! A reader loads the present snapshot without a lock and without waiting. Who waits for a change waits for a
//! [`Topic`] and is woken only when that topic is touched; who waits for an index (read-your-writes, barriers) is
//! woken once, when it is reached. The index of a view never goes back.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, futures::OwnedNotified, oneshot};

use crate::{
    catalog::{State, Topic, Touched},
    model::Index,
};

/// Makes an empty view.
#[must_use]
pub fn new() -> (Writer, Reader) {
    let shared = Arc::new(Shared::default());
    (Writer { shared: shared.clone() }, Reader { shared })
}

#[derive(Default)]
struct Shared {
    state: ArcSwap<State>,
    topics: Mutex<HashMap<Topic, Arc<Notify>>>,
    reaching: Mutex<BTreeMap<Index, Vec<oneshot::Sender<()>>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that holds one of these locks can leave the map half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The only one who changes a view.
pub struct Writer {
    shared: Arc<Shared>,
}

impl Writer {
    /// The state as last published.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        self.shared.state.load_full()
    }

    /// A reader of this view.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader { shared: self.shared.clone() }
    }

    /// Publishes the next state and wakes those who wait for what it touched.
    ///
    /// A state older than the present one is not published: a view never goes back.
    pub fn publish(&mut self, state: State, touched: &Touched) {
        if !self.swap(state) {
            return;
        }
        let topics = lock(&self.shared.topics);
        for topic in touched {
            if let Some(waiting) = topics.get(topic) {
                waiting.notify_waiters();
            }
        }
    }

    /// Publishes a state that came as a whole (a snapshot): everyone who waits looks again.
    pub fn replace(&mut self, state: State) {
        if self.swap(state) {
            lock(&self.shared.topics).values().for_each(|waiting| waiting.notify_waiters());
        }
    }

    fn swap(&mut self, state: State) -> bool {
        let index = state.index();
        if index < self.shared.state.load().index() {
            return false;
        }
        self.shared.state.store(Arc::new(state));
        let mut reaching = lock(&self.shared.reaching);
        let later = reaching.split_off(&Index(index.0 + 1));
        let reached = std::mem::replace(&mut *reaching, later);
        drop(reaching);
        for caller in reached.into_values().flatten() {
            // A caller that gave up has dropped its receiver.
            let _ = caller.send(());
        }
        true
    }
}

/// Sees a view. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

impl Reader {
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
        if topics.get(&self.topic).is_some_and(|notify| Arc::strong_count(notify) == 1) {
            topics.remove(&self.topic);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::{
        command::{Command, Registration},
        model::{Key, Node, Service, Time},
    };

    fn write(writer: &mut Writer, index: u64, service: &str) {
        let mut state = State::clone(&writer.state());
        let node = Node { name: "n".into(), ..Node::default() };
        let service = Service { id: service.into(), name: service.into(), ..Service::default() };
        let service = Some(Service { port: u16::try_from(index).unwrap(), ..service });
        let command = Command::Register(Box::new(Registration { node, service, ..Registration::default() }));
        let applied = state.apply(Index(index), Time(0), &command);
        writer.publish(state, &applied.touched);
    }

    #[tokio::test]
    async fn a_reader_wakes_for_its_topic_only() {
        let (mut writer, reader) = new();
        write(&mut writer, 5, "a");
        let topic = Topic::Service(Key::new("a"));
        let waiting = reader.changed(&topic, Index(5));
        tokio::pin!(waiting);
        assert!(timeout(Duration::from_millis(5), &mut waiting).await.is_err());
        let woken = reader.wait_for(&topic);
        let wake_up = woken.next();
        tokio::pin!(wake_up);
        write(&mut writer, 6, "b");
        assert!(timeout(Duration::from_millis(5), &mut wake_up).await.is_err());
        write(&mut writer, 7, "a");
        assert_eq!(timeout(Duration::from_secs(5), waiting).await.unwrap().index(), Index(7));
        timeout(Duration::from_secs(5), wake_up).await.unwrap();
    }

    #[tokio::test]
    async fn a_wake_up_between_look_and_wait_is_not_lost() {
        let (mut writer, reader) = new();
        let waiting = reader.wait_for(&Topic::Services);
        let next = waiting.next();
        write(&mut writer, 3, "a");
        timeout(Duration::from_secs(5), next).await.unwrap();
    }

    #[tokio::test]
    async fn reach_returns_when_the_index_is_there() {
        let (mut writer, reader) = new();
        write(&mut writer, 3, "a");
        reader.reach(Index(2)).await;
        let waiting = reader.reach(Index(5));
        tokio::pin!(waiting);
        assert!(timeout(Duration::from_millis(5), &mut waiting).await.is_err());
        write(&mut writer, 6, "a");
        timeout(Duration::from_secs(5), waiting).await.unwrap();
    }

    #[test]
    fn a_view_never_goes_back() {
        let (mut writer, reader) = new();
        write(&mut writer, 9, "a");
        writer.replace(State::default());
        assert_eq!(reader.load().index(), Index(9));
    }

    #[test]
    fn topics_without_waiters_are_forgotten() {
        let (_writer, reader) = new();
        let waiting: Vec<_> = (0..100).map(|i| reader.wait_for(&Topic::Service(Key::new(&format!("s{i}"))))).collect();
        assert_eq!(reader.topics_waited_for(), 100);
        drop(waiting);
        assert_eq!(reader.topics_waited_for(), 0);
    }
}
