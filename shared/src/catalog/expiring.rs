//! Texts that are remembered for a while, by the time that commands are stamped with.

use imbl::{OrdMap, OrdSet};
use smol_str::SmolStr;

use crate::model::Time;

/// Texts, each with something to remember and the time from which it may be forgotten.
#[derive(Clone, Debug, Default)]
pub(super) struct Expiring<V: Clone> {
    rows: OrdMap<SmolStr, (Time, V)>,
    due: OrdSet<(Time, SmolStr)>,
}

impl<V: Clone> Expiring<V> {
    /// Remembers `value` for `text`, and nothing older.
    pub fn insert(&mut self, text: SmolStr, due: Time, value: V) {
        self.remove(&text);
        self.due.insert((due, text.clone()));
        self.rows.insert(text, (due, value));
    }

    /// Forgets it.
    pub fn remove(&mut self, text: &SmolStr) {
        if let Some((due, _)) = self.rows.remove(text) {
            self.due.remove(&(due, text.clone()));
        }
    }

    /// When it may be forgotten, and what is remembered.
    pub fn get(&self, text: &SmolStr) -> Option<&(Time, V)> {
        self.rows.get(text)
    }

    /// Everything, by text.
    pub fn iter(&self) -> impl Iterator<Item = (&SmolStr, &(Time, V))> {
        self.rows.iter()
    }

    /// What is remembered for texts that begin with `prefix`.
    pub fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a V> {
        let rows = self.rows.range(SmolStr::new(prefix)..);
        rows.take_while(move |(text, _)| text.starts_with(prefix)).map(|(_, (_, value))| value)
    }

    /// Forgets what is due, at most `at_once`, and more where more than `limit` would be left: what is due first goes
    /// first. Gives what was forgotten.
    pub fn forget(&mut self, now: Time, at_once: usize, limit: usize) -> Vec<V> {
        let mut forgotten = Vec::new();
        while let Some((due, text)) = self.due.get_min() {
            let over_limit = self.rows.len() > limit;
            let is_due = *due <= now && forgotten.len() < at_once;
            if !over_limit && !is_due {
                break;
            }
            let text = text.clone();
            forgotten.extend(self.get(&text).map(|(_, value)| value.clone()));
            self.remove(&text);
        }
        forgotten
    }
}
