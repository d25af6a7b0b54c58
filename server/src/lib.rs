//! The Raft tier: consensus, the watch fan-out, the duties of the leader, the registry as a file.

pub mod archive;
pub mod backend;
pub mod consensus;
pub mod fanout;
pub mod grpc;
pub mod leader;
pub mod raft;
mod role;

pub use role::ServerRole;
