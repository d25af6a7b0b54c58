//! The harness of the whole-system tests: real processes of the real binaries on loopback.
//!
//! - [`binary`] builds the binaries once per test process and says where they are;
//! - [`turn`] lets one heavy test run at a time, across threads and test programs;
//! - [`ports`] finds free ports, [`process`] owns one child, [`agent`] one `lictor agent`, [`cluster`] many;
//! - [`upstream`] is the DNS server that an agent asks for names of the world, [`web`] a service, [`installed`] finds
//!   programs of the operating system, and [`debian`] is a whole one to install a package on;
//! - [`namespaces`] gives every agent a host of its own whose network can be cut, where the kernel lets it;
//! - [`linear`] and [`crash`] let all of it fail, again and again, and check what was promised; [`large`] fills it;
//! - [`abuse`] does it harm while another client asks;
//! - [`membership`] lets hosts vanish and come back, [`rolling`] restarts servers under load;
//! - [`http`] and [`dns`] ask them, [`wait`] waits for a condition with a deadline;
//! - [`conformance`] replays recorded conversations and compares the answers.
//!
//! It is blocking code on threads: a test reads from top to bottom, and nothing of the harness competes with the
//! processes under test for a runtime. It never sleeps for luck, never leaves a child behind, and never links the
//! crates it tests: what it knows of Lictor is its flags, ports and signals. A harness has nobody to return an error
//! to, so it panics, with a message that says what was expected of whom.

#![allow(clippy::print_stderr, reason = "the test runner's terminal is where its findings go")]

pub mod abuse;
pub mod agent;
pub mod base64;
pub mod binary;
pub mod cluster;
pub mod conformance;
pub mod containers;
pub mod crash;
pub mod debian;
pub mod dns;
pub mod http;
pub mod installed;
pub mod large;
pub mod linear;
pub mod membership;
pub mod namespaces;
pub mod ports;
pub mod process;
pub mod python;
pub mod rolling;
pub mod turn;
pub mod upstream;
pub mod wait;
pub mod web;
