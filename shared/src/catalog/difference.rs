//! What differs between two states, row by row. Found by what they do not share, and so in the time of the difference
//! rather than of the whole.

use std::sync::Arc;

use imbl::{OrdMap, ordmap::DiffItem};

use super::State;
use crate::model::{Check, Node, Service};

/// A row that came, changed or went: at least one of both is there.
#[derive(Debug)]
pub struct Difference<'a, R> {
    /// As it was.
    pub before: Option<&'a R>,
    /// As it is.
    pub after: Option<&'a R>,
}

impl<'a, R> Difference<'a, R> {
    /// The row as it is, or was last.
    ///
    /// # Panics
    /// Where neither is there, which `between` does not make.
    #[must_use]
    pub fn latest(&self) -> &'a R {
        self.after.or(self.before).expect("a difference has a row")
    }

    /// The rows that there are: as it was, as it is.
    pub fn sides(&self) -> impl Iterator<Item = &'a R> {
        [self.before, self.after].into_iter().flatten()
    }

    /// As for somebody who sees only such rows: the other ones are not there.
    #[must_use]
    pub fn filter(self, sees: impl Fn(&R) -> bool) -> Option<Self> {
        let (before, after) = (self.before.filter(|row| sees(row)), self.after.filter(|row| sees(row)));
        (before.is_some() || after.is_some()).then_some(Self { before, after })
    }

    fn map<S>(self, row: impl Fn(&'a R) -> &'a S) -> Difference<'a, S> {
        Difference { before: self.before.map(&row), after: self.after.map(&row) }
    }
}

fn between<'a, K: Ord + Clone, V: PartialEq + Clone>(
    before: &'a OrdMap<K, V>,
    after: &'a OrdMap<K, V>,
) -> impl Iterator<Item = Difference<'a, V>> {
    before.diff(after).map(|item| match item {
        DiffItem::Add(_, row) => Difference { before: None, after: Some(row) },
        DiffItem::Update { old: (_, old), new: (_, new) } => Difference { before: Some(old), after: Some(new) },
        DiffItem::Remove(_, row) => Difference { before: Some(row), after: None },
    })
}

impl State {
    /// The nodes of which something differs from an earlier state, by name: also those whose own row is the same, and on
    /// which something else has changed.
    pub fn changed_nodes<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = Difference<'a, Node>> {
        between(&before.nodes, &self.nodes).map(|entry| entry.map(|entry| entry.node.as_ref()))
    }

    /// The instances that differ, by node and ID.
    pub fn changed_services<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = Difference<'a, Service>> {
        between(&before.services, &self.services).map(|row| row.map(Arc::as_ref))
    }

    /// The checks that differ, by node and ID.
    pub fn changed_checks<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = Difference<'a, Check>> {
        between(&before.checks, &self.checks).map(|row| row.map(Arc::as_ref))
    }
}
