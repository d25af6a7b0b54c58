//! What a Lictor node does whatever its role. Knows neither protobuf nor Raft.
//!
//! Start at [`model`] (the data), [`catalog`] (the state and its only way to change) and [`view`] (how readers see
//! it). [`backend`] is the one seam between a server and a sidecar. ARCHITECTURE.md has the map.

pub mod acl;
pub mod agent;
pub mod audit;
pub mod backend;
pub mod catalog;
pub mod coalesce;
pub mod command;
pub mod config;
pub mod control;
pub mod datacenters;
pub mod dns;
pub mod events;
pub mod filter;
pub mod forward;
pub mod gossip;
pub mod host;
pub mod http;
pub mod limits;
pub mod metrics;
pub mod model;
pub mod monitor;
pub mod node;
pub mod outbound;
pub mod prepared;
pub mod private;
pub mod process;
pub mod resolve;
pub mod tasks;
pub mod tls;
pub mod traces;
pub mod view;
pub mod watch;
