//! Does anything that was acknowledged get lost, and does anything happen twice, when servers are killed at any moment?
//!
//! - [`load`]: writes without pause, and the account of what was acknowledged;
//! - [`picture`]: all that a server holds, to be compared with the others';
//! - [`rounds`]: load, a crash, a restart, and the audit; again and again, from one seed.
//!
//! kill -9 leaves what the kernel has been given: it shows an order that is wrong, a write that is told too early, or a
//! file that is half done. A disk that loses what was synced it does not show.

pub mod load;
pub mod picture;
pub mod rounds;
