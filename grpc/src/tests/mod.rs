//! The service in process: a view and its writer instead of servers, streams that are read directly, and time that
//! stands still while anybody has something to do (so "nothing more comes" is known, not hoped).
//!
//! `world` makes what is watched, `watcher` keeps a set by what it is told; `semantics` has what the `.proto` file
//! promises, case by case, `interleavings` as a property, `slow` what becomes of those who do not read, `port` the
//! interface on a socket.

mod interleavings;
mod port;
mod semantics;
mod slow;
mod watcher;
mod world;
