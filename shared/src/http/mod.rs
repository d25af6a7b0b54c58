//! The HTTP interface: Consul's `/v1` on hyper.
//!
//! A connection is accepted and bounded in `listener`, a request finds its endpoint in `route` (the table of all of
//! them), a handler (`catalog`, `health`, `agent`, `status`) says what is asked, and `read` answers it from the
//! node's own view, waiting where the caller wants to. `params` and `query` know the parameters, `json` is the only
//! place that knows Consul's JSON, `error` the only one that knows statuses, `answer` makes the bytes. `inside` asks
//! all of it without a connection, `remote` has a server answer what this node does not hold or what another datacenter
//! is asked (`failover` for prepared queries, `copies` of what it said, `translate` its addresses). An answer is encoded
//! once for all who ask the same until something changes (`kept`), within limits (`bounded`). `page` is the web page, and `changes` what keeps it current.
//! `openapi` describes the endpoints for programs.
//!
//! A handler never waits for the network to read the catalog: the most it asks of the servers is an index
//! ([`crate::backend::Backend::barrier`]).

mod access;
mod acl;
mod admission;
mod agent;
mod agent_health;
mod answer;
mod bounded;
mod catalog;
mod changes;
mod context;
mod coordinate;
mod copies;
mod error;
mod event;
mod failover;
mod guests;
mod health;
mod inside;
mod insight;
mod instance_filter;
mod internal;
pub mod json;
mod kept;
mod keyring;
mod kv;
mod listener;
mod login;
mod maintenance;
mod openapi;
mod operator;
mod page;
pub mod params;
mod patience;
mod prepared;
mod profile;
pub mod query;
mod read;
mod remote;
mod route;
mod session;
mod snapshot;
mod socket;
mod spans;
mod status;
#[cfg(test)]
mod tests;
mod translate;
mod txn;

pub use self::{
    access::{Access, Network, NoNetwork},
    context::{Context, Identity, Settings, Versions},
    copies::{Copies, MAX_COPIES, RemoteService},
    error::Failure,
    guests::Guests,
    inside::Inside,
    instance_filter::InstanceFilter,
    kept::{Answers, keep_small},
    listener::{Limits, serve},
    page::Page,
    profile::{Profiler, TakeProfile},
    remote::Interface,
    socket::{BindError, Listener, Ownership, UnixSocket, bind, bind_path},
};
