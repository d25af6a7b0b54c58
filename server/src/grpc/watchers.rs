//! Who holds a watch stream at this server: bounds their number, and is a second witness that a host is alive.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lictor_shared::model::{Key, NodeName};

/// The nodes that hold a stream.
#[derive(Debug)]
pub struct Watchers {
    streams: Mutex<HashMap<Key, usize>>,
    places: Arc<tokio::sync::Semaphore>,
}

/// One stream's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Held {
    watchers: Arc<Watchers>,
    node: Key,
    _place: tokio::sync::OwnedSemaphorePermit,
}

impl Watchers {
    pub(super) fn new(max_streams: usize) -> Self {
        Self { streams: Mutex::default(), places: Arc::new(tokio::sync::Semaphore::new(max_streams)) }
    }

    /// Whether `node` holds a stream here.
    #[must_use]
    pub fn watching(&self, node: &NodeName) -> bool {
        self.streams().contains_key(&node.key())
    }

    /// The number of nodes that hold a stream here.
    #[must_use]
    pub fn len(&self) -> usize {
        self.streams().len()
    }

    /// Whether no node holds a stream here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A place for a stream of `node`; `None` when all are taken.
    pub(super) fn enter(self: &Arc<Self>, node: &str) -> Option<Held> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        let node = Key::new(node);
        *self.streams().entry(node.clone()).or_default() += 1;
        Some(Held { watchers: self.clone(), node, _place: place })
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<Key, usize>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut streams = self.watchers.streams();
        if let Some(count) = streams.get_mut(&self.node) {
            *count -= 1;
            if *count == 0 {
                streams.remove(&self.node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_watching_while_it_holds_a_stream() {
        let watchers = Arc::new(Watchers::new(2));
        let (first, second) = (watchers.enter("Web-1").unwrap(), watchers.enter("web-1").unwrap());
        assert!(watchers.enter("other").is_none(), "all places are taken");
        assert!(watchers.watching(&"web-1".into()) && !watchers.watching(&"other".into()));
        drop(first);
        assert!(watchers.watching(&"WEB-1".into()));
        drop(second);
        assert!(watchers.is_empty());
        assert!(watchers.enter("other").is_some());
    }
}
