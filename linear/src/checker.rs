//! Is the history of one key linearizable: is there an order of its operations, true to real time, in which each comes
//! out as it did when one is done at a time?
//!
//! The search is that of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993) with Lowe's memory of what was
//! tried ("Testing for Linearizability", 2017): next comes an operation that no other one precedes. Three things keep
//! it short, and lose nothing:
//!
//! - A read or a refusal that comes out right now is taken at once: whatever order there is for the rest, there is
//!   one with it here.
//! - An operation of unknown outcome need not be in the order, and has no return that others must wait for. So it is
//!   taken only right before a known one that needs it: anywhere earlier it can be put off until there, and if nobody
//!   needs it, left out.
//! - For the same reason as few as possible are taken. What was not taken can be later.

use std::collections::HashSet;

use crate::history::{Action, Operation, Outcome, State};

/// The most situations that are looked at for one key.
const MAX_SITUATIONS: usize = 2_000_000;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is such an order.
    Linearizable,
    /// There is none. In the best try, so many of the known operations were in order.
    Violation {
        /// The most known operations that could be put in order.
        ordered: usize,
    },
    /// It was given up after `MAX_SITUATIONS`.
    Undecided,
}

/// Checks the operations on one key, which does not exist at the beginning.
#[must_use]
pub fn check(operations: &[Operation]) -> Verdict {
    let mut known: Vec<&Operation> = operations.iter().filter(|operation| operation.is_known()).collect();
    known.sort_by_key(|operation| operation.invoked);
    let unknown = operations.iter().filter(|operation| !operation.is_known() && operation.action != Action::Get);
    Search { known, unknown: unknown.collect() }.run()
}

/// What has been put in order, and what the key then is.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Situation {
    /// Bits: the known operations, then the unknown ones.
    taken: Vec<u64>,
    state: State,
}

impl Situation {
    fn has(&self, number: usize) -> bool {
        self.taken[number / 64] >> (number % 64) & 1 == 1
    }

    fn with(&self, taken: impl IntoIterator<Item = usize>, state: State) -> Self {
        let mut next = Self { taken: self.taken.clone(), state };
        for number in taken {
            next.taken[number / 64] |= 1 << (number % 64);
        }
        next
    }
}

struct Search<'a> {
    known: Vec<&'a Operation>,
    unknown: Vec<&'a Operation>,
}

impl Search<'_> {
    fn run(&self) -> Verdict {
        let words = (self.known.len() + self.unknown.len()).div_ceil(64);
        let mut open = vec![Situation { taken: vec![0; words], state: None }];
        let mut seen: HashSet<Situation> = open.iter().cloned().collect();
        let mut ordered = 0;
        while let Some(situation) = open.pop() {
            let done = (0..self.known.len()).filter(|&number| situation.has(number)).count();
            ordered = ordered.max(done);
            if done == self.known.len() {
                return Verdict::Linearizable;
            }
            if seen.len() > MAX_SITUATIONS {
                return Verdict::Undecided;
            }
            for next in self.next(&situation) {
                if seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        Verdict::Violation { ordered }
    }

    /// The situations after one more known operation. The most promising is the last.
    fn next(&self, situation: &Situation) -> Vec<Situation> {
        let left = || (0..self.known.len()).filter(|&number| !situation.has(number));
        let horizon = left().map(|number| self.known[number].returned).min().unwrap_or(u64::MAX);
        // Nothing that begins later can come before the one that returns first.
        let mut first: Vec<usize> = left().take_while(|&number| self.known[number].invoked <= horizon).collect();
        let only_looks = |&&number: &&usize| {
            let operation = self.known[number];
            // A deletion of what is not there may be needed later: it is none.
            let changes_nothing = matches!(operation.outcome, Outcome::Read(_) | Outcome::Refused);
            changes_nothing && after(operation, situation.state).is_some()
        };
        if let Some(&number) = first.iter().find(only_looks) {
            return vec![situation.with([number], situation.state)];
        }
        first.sort_by_key(|&number| std::cmp::Reverse(self.known[number].returned));
        let mut found = Vec::new();
        for number in first {
            let operation = self.known[number];
            if let Some(state) = after(operation, situation.state) {
                found.push(situation.with([number], state));
                continue;
            }
            for (unknown, state) in self.ways(situation, horizon, operation) {
                if let Some(state) = after(operation, state) {
                    found.push(situation.with(unknown.into_iter().chain([number]), state));
                }
            }
        }
        found
    }

    /// The shortest sequences of unknown operations after which `operation` comes out as it did.
    fn ways(&self, situation: &Situation, horizon: u64, operation: &Operation) -> Vec<(Vec<usize>, State)> {
        let mut ways = Ways { search: self, situation, horizon, found: Vec::new() };
        match (operation.action, operation.outcome) {
            (Action::Get, Outcome::Read(state)) => ways.towards(state, &mut Vec::new(), state),
            (Action::Cas(expected, _), Outcome::Done) => ways.towards(expected, &mut Vec::new(), expected),
            (Action::DeleteCas(expected), Outcome::Done) => {
                ways.towards(Some(expected), &mut Vec::new(), Some(expected));
                ways.towards(None, &mut Vec::new(), None);
            }
            (_, Outcome::Refused) => ways.away(operation, &mut Vec::new(), situation.state),
            _ => {}
        }
        ways.found
    }
}

/// Collects sequences of unknown operations.
struct Ways<'a> {
    search: &'a Search<'a>,
    situation: &'a Situation,
    horizon: u64,
    found: Vec<(Vec<usize>, State)>,
}

impl Ways<'_> {
    fn free(&self, chain: &[usize]) -> Vec<(usize, Action)> {
        let numbered = self.search.unknown.iter().enumerate();
        let numbered = numbered.map(|(number, operation)| (self.search.known.len() + number, *operation));
        let free = numbered.filter(|(number, operation)| {
            operation.invoked <= self.horizon && !self.situation.has(*number) && !chain.contains(number)
        });
        free.map(|(number, operation)| (number, operation.action)).collect()
    }

    /// From the end: what makes the key `target`, and what that needs to be so before. `chain` is in reverse order.
    fn towards(&mut self, target: State, chain: &mut Vec<usize>, end: State) {
        if self.situation.state == target && !chain.is_empty() {
            self.found.push((chain.iter().rev().copied().collect(), end));
            return;
        }
        for (number, action) in self.free(chain) {
            chain.push(number);
            match action {
                Action::Put(value) if target == Some(value) => {
                    self.found.push((chain.iter().rev().copied().collect(), end));
                }
                Action::Delete if target.is_none() => {
                    self.found.push((chain.iter().rev().copied().collect(), end));
                }
                Action::Cas(expected, value) if target == Some(value) => self.towards(expected, chain, end),
                Action::DeleteCas(expected) if target.is_none() => self.towards(Some(expected), chain, end),
                _ => {}
            }
            chain.pop();
        }
    }

    /// From the beginning: whatever changes the key until `operation` comes out as it did.
    fn away(&mut self, operation: &Operation, chain: &mut Vec<usize>, state: State) {
        for (number, action) in self.free(chain) {
            let next = match action {
                Action::Put(value) => Some(value),
                Action::Delete => None,
                Action::Cas(expected, value) if expected == state => Some(value),
                Action::DeleteCas(expected) if Some(expected) == state => None,
                _ => continue,
            };
            if next == state {
                continue;
            }
            chain.push(number);
            if after(operation, next).is_some() {
                self.found.push((chain.clone(), next));
            } else {
                self.away(operation, chain, next);
            }
            chain.pop();
        }
    }
}

/// The key after `operation`, if it comes out as it did when the key is `state`.
fn after(operation: &Operation, state: State) -> Option<State> {
    match (operation.action, operation.outcome) {
        (Action::Get, Outcome::Read(read)) => (read == state).then_some(state),
        (Action::Put(value), Outcome::Done) => Some(Some(value)),
        (Action::Delete, Outcome::Done) => Some(None),
        (Action::Cas(expected, value), Outcome::Done) => (expected == state).then_some(Some(value)),
        (Action::Cas(expected, _), Outcome::Refused) => (expected != state).then_some(state),
        (Action::DeleteCas(expected), Outcome::Done) => (state.is_none() || state == Some(expected)).then_some(None),
        (Action::DeleteCas(expected), Outcome::Refused) => {
            (state.is_some() && state != Some(expected)).then_some(state)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::history::Value;

    fn operation(action: Action, outcome: Outcome, invoked: u64, returned: u64) -> Operation {
        Operation { client: 0, agent: 0, key: 0, action, outcome, invoked, returned, index: None }
    }

    fn is_linearizable(operations: &[(Action, Outcome, u64, u64)]) -> bool {
        let operations: Vec<Operation> =
            operations.iter().map(|&(action, outcome, from, to)| operation(action, outcome, from, to)).collect();
        let verdict = check(&operations);
        assert_ne!(verdict, Verdict::Undecided);
        assert_eq!(verdict == Verdict::Linearizable, by_force(&operations), "{verdict:?}: {operations:#?}");
        verdict == Verdict::Linearizable
    }

    #[test]
    fn planted_violations_are_found() {
        use Action::{Cas, Delete, DeleteCas, Get, Put};
        use Outcome::{Done, Read, Refused, Unknown};
        for (what, history, expected) in [
            ("in order", &[(Put(1), Done, 0, 1), (Get, Read(Some(1)), 2, 3)][..], true),
            ("a stale read", &[(Put(1), Done, 0, 1), (Put(2), Done, 2, 3), (Get, Read(Some(1)), 4, 5)], false),
            ("the same at once", &[(Put(1), Done, 0, 1), (Put(2), Done, 2, 5), (Get, Read(Some(1)), 4, 6)], true),
            ("a lost write", &[(Put(1), Done, 0, 1), (Get, Read(None), 2, 3)], false),
            (
                "a lost update",
                &[(Put(1), Done, 0, 1), (Cas(Some(1), 2), Done, 2, 3), (Cas(Some(1), 3), Done, 4, 5)],
                false,
            ),
            ("a CAS that succeeded twice", &[(Cas(None, 1), Done, 0, 9), (Cas(None, 2), Done, 0, 9)], false),
            (
                "unless it was deleted",
                &[(Cas(None, 1), Done, 0, 9), (Cas(None, 2), Done, 0, 9), (Delete, Done, 0, 9)],
                true,
            ),
            ("unknown, and done", &[(Put(1), Unknown, 0, 0), (Get, Read(Some(1)), 8, 9)], true),
            (
                "unknown, and done late",
                &[(Put(1), Unknown, 0, 0), (Get, Read(None), 8, 9), (Get, Read(Some(1)), 10, 11)],
                true,
            ),
            (
                "unknown, done, and undone",
                &[(Put(1), Unknown, 0, 0), (Get, Read(Some(1)), 8, 9), (Get, Read(None), 10, 11)],
                false,
            ),
            ("read before it was sent", &[(Get, Read(Some(1)), 0, 1), (Put(1), Unknown, 2, 0)], false),
            ("refused without reason", &[(Put(1), Done, 0, 1), (Cas(Some(1), 2), Refused, 2, 3)], false),
            (
                "refused for an unknown one",
                &[(Put(1), Done, 0, 1), (Put(7), Unknown, 0, 0), (Cas(Some(1), 2), Refused, 2, 3)],
                true,
            ),
            (
                "a chain of unknown ones",
                &[(Cas(None, 1), Unknown, 0, 0), (Cas(Some(1), 2), Unknown, 0, 0), (Get, Read(Some(2)), 5, 6)],
                true,
            ),
            ("a delete of what is gone", &[(DeleteCas(4), Done, 0, 1), (Get, Read(None), 2, 3)], true),
            ("a delete of another", &[(Put(1), Done, 0, 1), (DeleteCas(4), Done, 2, 3)], false),
        ] {
            assert_eq!(is_linearizable(history), expected, "{what}");
        }
    }

    /// Every order of every choice of unknown operations.
    fn by_force(operations: &[Operation]) -> bool {
        fn go(operations: &[Operation], taken: &mut Vec<bool>, state: State) -> bool {
            if operations.iter().zip(&*taken).all(|(operation, taken)| *taken || !operation.is_known()) {
                return true;
            }
            for number in 0..operations.len() {
                let candidate = &operations[number];
                let too_early =
                    operations.iter().zip(&*taken).any(|(other, taken)| !taken && other.precedes(candidate));
                if taken[number] || too_early {
                    continue;
                }
                let next = if candidate.is_known() { after(candidate, state) } else { Some(effect(candidate, state)) };
                if let Some(next) = next {
                    taken[number] = true;
                    if go(operations, taken, next) {
                        return true;
                    }
                    taken[number] = false;
                }
            }
            false
        }
        go(operations, &mut vec![false; operations.len()], None)
    }

    fn effect(operation: &Operation, state: State) -> State {
        match operation.action {
            Action::Get => state,
            Action::Put(value) => Some(value),
            Action::Delete => None,
            Action::Cas(expected, value) => {
                if expected == state {
                    Some(value)
                } else {
                    state
                }
            }
            Action::DeleteCas(expected) => {
                if state == Some(expected) {
                    None
                } else {
                    state
                }
            }
        }
    }

    /// Small histories, most of them nearly possible: outcomes of one order, some of them then changed.
    fn histories() -> impl Strategy<Value = Vec<Operation>> {
        let one = (0_u8..5, 0_u64..6, 0_u64..12, 0_u64..8, 0_u8..10, prop::option::of(1_u64..6));
        prop::collection::vec(one, 1..8).prop_map(|drafts| {
            let mut state = None;
            let mut operations = Vec::new();
            for (number, (kind, expected, begin, length, fate, other)) in drafts.into_iter().enumerate() {
                let value: Value = number as Value + 1;
                let expected_state = (expected > 0).then_some(expected);
                let action = match kind {
                    0 => Action::Get,
                    1 => Action::Put(value),
                    2 => Action::Delete,
                    3 => Action::Cas(if fate % 2 == 0 { state } else { expected_state }, value),
                    _ => Action::DeleteCas(expected_state.or(state).unwrap_or(1)),
                };
                let sketch = operation(action, Outcome::Done, begin + number as u64, begin + number as u64 + length);
                let outcomes = [Outcome::Read(if fate == 9 { other } else { state }), Outcome::Done, Outcome::Refused];
                let possible =
                    |outcome: &&Outcome| after(&Operation { outcome: **outcome, ..sketch.clone() }, state).is_some();
                let outcome = match (fate, action) {
                    (0..3, _) => Outcome::Unknown,
                    (9, Action::Get) => outcomes[0],
                    (9, Action::Cas(..) | Action::DeleteCas(_)) => {
                        if begin % 2 == 0 {
                            Outcome::Done
                        } else {
                            Outcome::Refused
                        }
                    }
                    _ => *outcomes.iter().find(possible).unwrap_or(&Outcome::Unknown),
                };
                if fate != 0 {
                    state = effect(&sketch, state);
                }
                operations.push(Operation { outcome, ..sketch });
            }
            operations
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

        #[test]
        fn the_verdict_is_that_of_every_order_tried(operations in histories()) {
            let expected = by_force(&operations);
            prop_assert_eq!(check(&operations) == Verdict::Linearizable, expected, "{:#?}", operations);
        }
    }
}
