//! What a stream has told its watcher, and what it must tell it to bring it up to date. Pure.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use crate::{
    parts::End,
    question::{Question, Standing, service_state},
    subject::{Content, Entry, Row, Subject, digest},
};

/// The set as a watcher knows it. The rows are shared with everyone who watches the same.
#[derive(Debug)]
pub struct Told<R> {
    content: Arc<Content<R>>,
    /// Of each entry of the content.
    standings: Vec<Standing>,
    /// What there is beside the rows.
    pub end: End,
    /// Stands for all of it; never 0.
    pub digest: u64,
}

/// What a watcher is to be told; entries by identity.
pub struct Difference<R> {
    /// New, or not as they were.
    pub upserted: Vec<Arc<Entry<R>>>,
    /// Known to it, and to be forgotten.
    pub removed: Vec<Arc<Entry<R>>>,
}

impl<R: Row> Told<R> {
    /// What a watcher who asks `question` is to know of `content`. Only entries that are not in `before` are judged.
    pub fn new<Q>(question: &Q, content: Arc<Content<R>>, before: Option<&Self>) -> Self
    where
        Q: Question,
        Q::Subject: Subject<Row = R>,
    {
        let mut known = before.map(Self::all).into_iter().flatten().peekable();
        let judge = |entry: &Arc<Entry<R>>| {
            while known.next_if(|(known, _)| known.identity < entry.identity).is_some() {}
            match known.peek() {
                Some((known, standing)) if Arc::ptr_eq(known, entry) => *standing,
                _ => question.standing(entry),
            }
        };
        let standings: Vec<Standing> = content.entries.iter().map(judge).collect();
        let end = End { state: service_state(standings.iter().copied()), node: content.node.clone() };
        let mut told = Self { content, standings, end, digest: 0 };
        told.digest = told.digest_of_all();
        told
    }

    /// Whether it is of this very content.
    pub fn is_of(&self, content: &Arc<Content<R>>) -> bool {
        Arc::ptr_eq(&self.content, content)
    }

    /// The entries that are told.
    pub fn selected(&self) -> impl Iterator<Item = &Arc<Entry<R>>> {
        self.all().filter(|(_, standing)| *standing == Standing::Selected).map(|(entry, _)| entry)
    }

    /// What a watcher who knows `before` must be told.
    pub fn since(&self, before: &Self) -> Difference<R> {
        let mut difference = Difference { upserted: Vec::new(), removed: Vec::new() };
        let mut old = before.selected().peekable();
        for entry in self.selected() {
            while let Some(gone) = old.next_if(|old| old.identity < entry.identity) {
                difference.removed.push(gone.clone());
            }
            match old.next_if(|old| old.identity == entry.identity) {
                Some(old) if Arc::ptr_eq(old, entry) || old.row == entry.row => {}
                _ => difference.upserted.push(entry.clone()),
            }
        }
        difference.removed.extend(old.cloned());
        difference
    }

    fn all(&self) -> impl Iterator<Item = (&Arc<Entry<R>>, Standing)> {
        self.content.entries.iter().zip(self.standings.iter().copied())
    }

    fn digest_of_all(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        i32::from(self.end.state).hash(&mut hasher);
        self.end.node.as_ref().map(digest).hash(&mut hasher);
        self.selected().for_each(|entry| entry.digest.hash(&mut hasher));
        hasher.finish().max(1)
    }
}
