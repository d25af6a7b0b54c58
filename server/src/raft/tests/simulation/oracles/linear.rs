//! What clients see of a key could have come of one copy that does one thing at a time.
//!
//! Consistent reads and default ones alike: a default read trusts that clocks run at the same rate, and here they do.

use lictor_linear::{
    checker::{Verdict, check},
    history::{self, Operation},
};

/// See the module.
#[derive(Default)]
pub(crate) struct Linear {
    operations: Vec<Operation>,
}

impl Linear {
    /// An operation is over, or given up.
    pub fn record(&mut self, operation: Operation) {
        self.operations.push(operation);
    }

    /// How many operations there were, and how many of them are of unknown outcome.
    pub fn count(&self) -> (usize, usize) {
        (self.operations.len(), self.operations.iter().filter(|operation| !operation.is_known()).count())
    }

    /// The verdict on each key that is none, and how many keys could not be decided on.
    pub fn check(&self) -> (Vec<String>, usize) {
        let (mut wrong, mut undecided) = (Vec::new(), 0);
        for (key, operations) in history::by_key(self.operations.clone()) {
            match check(&operations) {
                Verdict::Linearizable => {}
                Verdict::Undecided => undecided += 1,
                Verdict::Violation { ordered } => wrong.push(format!(
                    "key {key} is not linearizable (at best the first {ordered} or so of {} operations)",
                    operations.len()
                )),
            }
            wrong.extend(history::check_indexes(&operations).err().map(|wrong| format!("key {key}: {wrong}")));
        }
        (wrong, undecided)
    }
}
