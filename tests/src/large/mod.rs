//! A registry of very many keys: what snapshots, restarts and a new server cost, and how long writes wait meanwhile.
//!
//! - [`keys`]: the keys, how they get in, and whether they are all there;
//! - [`load`]: writes one after another at each server, and when each was acknowledged;
//! - [`pauses`]: how long writes waited, apart for times in which something else went on;
//! - [`footprint`]: memory and files of a server, and when it was writing a snapshot;
//! - [`digest`]: whether servers hold the same to the byte;
//! - [`steps`]: all of it, in order, and the table that comes of it.
//!
//! With few keys it is a test of the content (`tests/tests/large.rs`); the times count only with many, on a machine that
//! does nothing else (`cargo run --release -p lictor-tests --bin large`).

mod connection;
pub mod digest;
pub mod footprint;
pub mod keys;
pub mod load;
pub mod pauses;
pub mod steps;
