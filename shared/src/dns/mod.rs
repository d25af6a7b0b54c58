//! The DNS interface.
