//! A running node: everything a server and a sidecar have in common, put together in the order in which it starts and
//! stops. What differs is a [`Role`].
//!
//! Start: bind every socket (a port in use is found before anything is joined), open the role's data, join the pool,
//! start the role, then the agent, DNS, HTTP and gRPC. Stop: the agent first, so that it no longer repairs what leaving
//! removes; then leave the pool where asked to; then every task, under a time-out.

mod applications;
mod coordinates;
mod flood;
mod former;
mod join;
mod keyring;
mod leaderless;
mod log_file;
pub mod logging;
mod notify;
pub(crate) mod own_tokens;
mod pid_file;
mod protection;
mod reload;
mod run;
mod signals;
pub mod tags;
mod wan;

use std::{collections::BTreeMap, error::Error, sync::Arc};

use async_trait::async_trait;
use uuid::Uuid;

#[cfg(test)]
pub(crate) use self::reload::needs_restart;
pub use self::{
    applications::{Applications, BindError, ServeApplications},
    log_file::LogFileError,
    run::run,
};
pub use crate::http::TakeProfile;
use crate::{
    acl::Authority,
    backend::Backend,
    config::Config,
    gossip::Pool,
    http::Interface,
    tasks::Tasks,
    tls::Tls,
    view::{Reader, Writer},
};

/// What a role's errors are boxed into; `Display` says what, where and what to do.
pub type RoleError = Box<dyn Error + Send + Sync>;

/// What a role builds on.
pub struct Ground {
    /// The node's settings.
    pub config: Arc<Config>,
    /// The LAN pool, joined.
    pub pool: Pool,
    /// The WAN pool, on servers that are in it.
    pub wan: Option<Pool>,
    /// The tags that this node shows in the pool.
    pub tags: BTreeMap<String, String>,
    /// The only writer of the node's view.
    pub writer: Writer,
    /// The node's view.
    pub reader: Reader,
    /// The node's certificates.
    pub tls: Arc<Tls>,
    /// Answers with the node's HTTP interface, once the node has one.
    pub interface: Interface,
    /// Who decides on this node who may do what.
    pub authority: Arc<Authority>,
    /// The group of the node's tasks.
    pub tasks: Tasks,
}

/// What a server and a sidecar do differently.
#[async_trait]
pub trait Role: Send {
    /// Binds and opens what the role needs before the pool is joined; gives the node's ID.
    ///
    /// # Errors
    /// A port in use, a data directory that is another's, unreadable or of another version.
    async fn prepare(&mut self, config: &Config) -> Result<Uuid, RoleError>;

    /// Starts it; gives the node's way to the servers.
    ///
    /// # Errors
    /// When its stored state cannot be read.
    async fn start(&mut self, ground: Ground) -> Result<Arc<dyn Backend>, RoleError>;

    /// Gives up what the cluster counts on, before this node stops, for good or to come back.
    async fn hand_over(&mut self);

    /// Stops what does not stop with the tasks.
    async fn stop(&mut self);
}
