//! Is the registry's store of keys linearizable, whatever fails? Concurrent clients write and read a few keys through
//! random agents while servers are killed, paused and cut off; then it is checked whether all that they saw could have
//! come of one copy that does one thing at a time.
//!
//! - [`client`]: asks, and records; it never sends anything twice;
//! - [`nemesis`]: lets one thing after the other fail, and heals it;
//! - [`campaign`]: all of it together, from one seed.
//!
//! What a history is and the verdict on it are the crate `lictor_linear`.
//!
//! The seed decides what is asked and what fails. When things happen is up to the machine, so that a seed makes a history
//! of the same kind again, and not the very same.

pub mod campaign;
pub mod client;
pub mod nemesis;
