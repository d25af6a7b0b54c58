//! What is fuzzed: each module has a `run` that takes any bytes, and panics where Lictor does something that it must not.
//!
//! The fuzzer's targets (`fuzz/fuzz_targets`, a workspace of its own, for it needs another compiler) call these and do
//! nothing else; `tests/corpus.rs` calls them with all that the fuzzer has found worth keeping (`fuzz/corpus`), in every
//! run of the tests. What is found goes into the corpus, and so is never lost again.

#![forbid(unsafe_code)]
// A finding is a panic.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a fuzzer's subjects report by panicking")]

pub mod bodies;
pub mod dns;
pub mod filter;
pub mod gossip;
pub mod hcl;
pub mod http;
pub mod messages;
pub mod policies;

/// Takes bytes, whatever they are.
pub type Subject = fn(&[u8]);

/// All subjects, by the name of their target and of their directory in the corpus.
pub const ALL: [(&str, Subject); 8] = [
    ("bodies", bodies::run),
    ("dns", dns::run),
    ("filter", filter::run),
    ("gossip", gossip::run),
    ("hcl", hcl::run),
    ("http", http::run),
    ("messages", messages::run),
    ("policies", policies::run),
];
