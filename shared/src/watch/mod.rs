//! Watches: something is done at each change of a part of the registry.
//!
//! `lictor watch` and the agent (by `watches` in its files) share all of it: `subject` is what is watched, `changes`
//! asks for it over and over, `handler` is what is done. `definition` reads a file's watch, `running` is what an agent
//! runs.
//!
//! A watch asks by the paths of the HTTP interface, through a [`Source`]: the command over a connection, the agent its
//! own handlers without one. So a watch means the same in both, answers are the ones that clients get, and an agent
//! needs no HTTP port to watch.

mod changes;
mod definition;
mod handler;
mod running;
mod subject;

pub use self::{
    changes::{Change, Changes, Seen, Source, WAIT_MINUTES},
    definition::Definition,
    handler::{Handler, HandlerError, Post, shell},
    running::Watches,
    subject::{Subject, Wanted},
};
