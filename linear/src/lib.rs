//! Is a history of operations on keys linearizable? Pure code for tests: it asks nobody anything, and knows nothing of
//! Lictor but what its keys can do.
//!
//! - [`history`]: what was asked, when, and what came of it;
//! - [`checker`]: the verdict on the history of one key.
//!
//! Two tests make such histories: `tests/src/linear` with real processes whose hosts are cut off, and the simulation in
//! `server/src/raft/tests/simulation` with simulated time.

pub mod checker;
pub mod history;
