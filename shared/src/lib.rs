//! What a Lictor node does whatever its role. Knows neither protobuf nor Raft.

pub mod gossip;
pub mod filter;
pub mod tasks;
