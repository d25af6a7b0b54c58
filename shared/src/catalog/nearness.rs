//! Rows by their distance from a node: `?near=` and prepared queries both sort here.
//!
//! Pure; which node is meant by `_agent` or `_ip` is known to those who ask. Where coordinates come from: `gossip`.

use super::State;
use crate::model::NodeName;

impl State {
    /// The rows by the round trip from node `from` to the one that `node` names; those without a coordinate last, and
    /// otherwise in the order they came. Nothing is sorted where the first node itself has no coordinate.
    #[must_use]
    pub fn nearest_first<T>(&self, from: &str, rows: Vec<T>, node: impl Fn(&T) -> &NodeName) -> Vec<T> {
        let Some(from) = self.coordinate(from) else { return rows };
        let distance_s = |row: &T| {
            let to = self.coordinate(node(row));
            to.map_or(f64::INFINITY, |to| from.coordinate.distance_s(&to.coordinate))
        };
        let mut measured: Vec<_> = rows.into_iter().map(|row| (distance_s(&row), row)).collect();
        measured.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        measured.into_iter().map(|(_, row)| row).collect()
    }
}
