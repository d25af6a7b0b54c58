//! Consensus over openraft.
