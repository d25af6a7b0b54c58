//! The Raft tier: consensus, the watch fan-out, the duties of the leader.

pub mod raft;
