//! What all streams of the same thing share: its rows as of the newest snapshot that one of them has looked at. The
//! first stream that sees a snapshot makes them, from those of the one before; the others take them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use lictor_shared::{
    catalog::State,
    model::{Index, Key},
};

use crate::subject::{Content, Subject};

/// One thing that is watched, for as long as a stream watches it.
pub struct Feed<S: Subject> {
    /// What it is.
    pub subject: S,
    newest: Mutex<Newest<S>>,
}

struct Newest<S: Subject> {
    /// The snapshot, known by its address only: a weak reference keeps the address from being used again, and none of
    /// the rows.
    state: Weak<State>,
    seen: Seen<S>,
}

/// What there is of a subject as of an index.
pub struct Seen<S: Subject> {
    /// Of the snapshot.
    pub index: Index,
    /// The same allocation while nothing has changed.
    pub content: Arc<Content<S::Row>>,
}

impl<S: Subject> Clone for Seen<S> {
    fn clone(&self) -> Self {
        Self { index: self.index, content: self.content.clone() }
    }
}

impl<S: Subject> Feed<S> {
    /// The feed of a subject that nothing is known of yet.
    pub fn new(subject: S) -> Self {
        let newest = Newest { state: Weak::new(), seen: Seen { index: Index(0), content: Arc::default() } };
        Self { subject, newest: Mutex::new(newest) }
    }

    /// What there is of the subject in `state`, or in a newer one that another stream has seen already.
    pub fn at(&self, state: &Arc<State>) -> Seen<S> {
        let mut newest = lock(&self.newest);
        if state.index() < newest.seen.index || std::ptr::eq(newest.state.as_ptr(), Arc::as_ptr(state)) {
            return newest.seen.clone();
        }
        let content = self.subject.list(state, &newest.seen.content);
        newest.state = Arc::downgrade(state);
        newest.seen.index = state.index();
        if !content.is_same(&newest.seen.content) {
            newest.seen.content = Arc::new(content);
        }
        newest.seen.clone()
    }
}

/// The feeds of all subjects of one kind that are watched. Their number is bounded by that of the streams.
pub struct Feeds<S: Subject> {
    feeds: Mutex<HashMap<Key, Weak<Feed<S>>>>,
}

impl<S: Subject> Default for Feeds<S> {
    fn default() -> Self {
        Self { feeds: Mutex::default() }
    }
}

impl<S: Subject> Feeds<S> {
    /// The feed of the subject of that name.
    pub fn get(&self, name: &Key, subject: impl FnOnce(Key) -> S) -> Arc<Feed<S>> {
        let mut feeds = lock(&self.feeds);
        if let Some(feed) = feeds.get(name).and_then(Weak::upgrade) {
            return feed;
        }
        feeds.retain(|_, feed| feed.strong_count() > 0);
        let feed = Arc::new(Feed::new(subject(name.clone())));
        feeds.insert(name.clone(), Arc::downgrade(&feed));
        feed
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that holds one of these locks can leave its content half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
