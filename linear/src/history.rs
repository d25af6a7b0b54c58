//! A history: operations on keys with the moments of their invocation and their return.
//!
//! Every write has a value of its own. So the index that a compare-and-set names stands for the value that was read with
//! it, and the checker needs no indexes; that a value never has two of them is checked here.

use std::{collections::HashMap, fs, io, path::Path};

use serde_json::{Value as Json, json};

/// What a key holds: a number that only one write has.
pub type Value = u64;
/// A key; none: it does not exist.
pub type State = Option<Value>;

/// What is asked of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `GET ?consistent`.
    Get,
    /// `PUT`.
    Put(Value),
    /// `DELETE`.
    Delete,
    /// `PUT ?cas=`: only if the key is as it was read.
    Cas(State, Value),
    /// `DELETE ?cas=`: only if the key has this value still, or is gone already (as in Consul).
    DeleteCas(Value),
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The key was so.
    Read(State),
    /// `true`.
    Done,
    /// `false`.
    Refused,
    /// A time-out, a closed connection, a 5xx: it may take effect at any time after its invocation, or never.
    Unknown,
}

/// One request and what came of it.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Who asked.
    pub client: usize,
    /// Which agent was asked.
    pub agent: usize,
    /// Which key it is about.
    pub key: u64,
    /// What was asked.
    pub action: Action,
    /// What came of it.
    pub outcome: Outcome,
    /// When it was sent, in nanoseconds since the beginning.
    pub invoked: u64,
    /// When the answer was there; later than everything if the outcome is unknown.
    pub returned: u64,
    /// The `ModifyIndex` of what was read.
    pub index: Option<u64>,
}

impl Operation {
    /// Whether it must be somewhere in the order.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.outcome != Outcome::Unknown
    }

    /// Whether it was over before `other` began.
    #[must_use]
    pub fn precedes(&self, other: &Self) -> bool {
        self.is_known() && self.returned < other.invoked
    }

    fn json(&self) -> Json {
        json!({"client": self.client, "agent": self.agent, "key": self.key, "action": format!("{:?}", self.action),
               "outcome": format!("{:?}", self.outcome), "invoked_ns": self.invoked,
               "returned_ns": self.is_known().then_some(self.returned), "index": self.index})
    }
}

/// The operations on each key, in the order of their invocations.
#[must_use]
pub fn by_key(operations: Vec<Operation>) -> Vec<(u64, Vec<Operation>)> {
    let mut keys: HashMap<u64, Vec<Operation>> = HashMap::new();
    for operation in operations {
        keys.entry(operation.key).or_default().push(operation);
    }
    let mut keys: Vec<_> = keys.into_iter().collect();
    keys.sort_unstable_by_key(|(key, _)| *key);
    for (_, operations) in &mut keys {
        operations.sort_by_key(|operation| operation.invoked);
    }
    keys
}

/// Each value was written once and so has one index; and who reads later does not read an older index.
///
/// # Errors
/// A sentence that names the value or the read.
pub fn check_indexes(operations: &[Operation]) -> Result<(), String> {
    let mut index_of: HashMap<Value, u64> = HashMap::new();
    let read = |operation: &Operation| match operation.outcome {
        Outcome::Read(Some(value)) => operation.index.map(|index| (value, index)),
        _ => None,
    };
    for (value, index) in operations.iter().filter_map(read) {
        let known = *index_of.entry(value).or_insert(index);
        if known != index {
            return Err(format!(
                "value {value} was read with index {known} and with index {index}: it was written twice"
            ));
        }
    }
    let mut reads: Vec<(&Operation, u64)> =
        operations.iter().filter_map(|operation| Some((operation, read(operation)?.1))).collect();
    reads.sort_by_key(|(operation, _)| operation.returned);
    let mut newest: Vec<(u64, u64)> = Vec::with_capacity(reads.len());
    for (operation, index) in &reads {
        let highest = newest.last().map_or(0, |&(_, highest)| highest).max(*index);
        newest.push((operation.returned, highest));
    }
    for (operation, index) in reads {
        let before = newest.partition_point(|&(returned, _)| returned < operation.invoked);
        if let Some(&(_, highest)) = before.checked_sub(1).and_then(|last| newest.get(last))
            && highest > index
        {
            return Err(format!("index {index} was read after index {highest}: {operation:?}"));
        }
    }
    Ok(())
}

/// Writes operations to a file, a line of JSON each.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, operations: &[Operation]) -> io::Result<()> {
    let lines: Vec<String> = operations.iter().map(|operation| operation.json().to_string()).collect();
    fs::write(path, lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Value, index: u64, invoked: u64, returned: u64) -> Operation {
        let (action, outcome) = (Action::Get, Outcome::Read(Some(value)));
        Operation { client: 0, agent: 0, key: 0, action, outcome, invoked, returned, index: Some(index) }
    }

    #[test]
    fn a_value_that_was_written_twice_and_an_index_that_went_back_are_found() {
        let good = [read(1, 10, 0, 5), read(1, 10, 1, 9), read(2, 12, 2, 3), read(1, 10, 2, 8), read(2, 12, 10, 11)];
        check_indexes(&good).unwrap();
        let twice = [read(1, 10, 0, 1), read(2, 11, 2, 3), read(1, 12, 4, 5)];
        assert!(check_indexes(&twice).unwrap_err().contains("written twice"));
        let back = [read(2, 12, 2, 3), read(1, 10, 4, 5)];
        assert!(check_indexes(&back).unwrap_err().contains("index 10 was read after index 12"));
    }
}
