//! Live endpoints of services for an application, from the Lictor agent on its host.
//!
//! Three lines, and calls go to healthy instances only, spread among them, wherever these come and go:
//!
//! ```no_run
//! # async fn example() {
//! use lictor_client::{Agent, Service, balanced};
//!
//! let agent = Agent::local();
//! let endpoints = agent.watch(Service::named("hello"));
//! let channel = balanced(endpoints); // for any tonic client: HelloClient::new(channel)
//! # }
//! ```
//!
//! Whoever balances by himself, or does not speak gRPC to his instances, takes the set as it is:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! # use lictor_client::{Agent, Service};
//! let mut endpoints = Agent::local().watch(Service::named("hello").tagged("v2").passing());
//! loop {
//!     for instance in &endpoints.borrow_and_update().instances {
//!         eprintln!("{} port {}", instance.address, instance.port);
//!     }
//!     endpoints.changed().await?;
//! }
//! # }
//! ```
//!
//! [`discover`] gives the same as a stream of changes for tower's balancers.
//!
//! The agent is asked over one connection. While it is away the last set stays, [`Endpoints::trouble`] says why, and the
//! watch goes on from where it was as soon as the agent is back. A watch ends when the last receiver of it is dropped.
//!
//! Everything else that `lictor.v1` offers is in [`Agent::registry`]. `set` makes sets of messages, `follow` keeps a
//! stream open, `balance` feeds balancers.

mod balance;
mod endpoints;
mod follow;
mod service;
mod set;

use std::time::Duration;

use lictor_proto::v1::registry_client::RegistryClient;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};

pub use self::{
    balance::{Discover, balanced, discover},
    endpoints::{Endpoints, InstanceKey, State},
    service::Service,
};
/// The messages of `lictor.v1`.
pub use lictor_proto::v1;

/// Where an agent listens by default.
pub const LOCAL_AGENT: &str = "http://127.0.0.1:8502";

const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// An agent that went away without a word is given up after the sum of these.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_LIMIT: Duration = Duration::from_secs(5);

/// An address of an agent that is none.
#[derive(Debug, thiserror::Error)]
#[error("{address:?} is no address of an agent (write it as {LOCAL_AGENT})")]
pub struct InvalidAddress {
    address: String,
    source: tonic::transport::Error,
}

/// The agent of this host. Cheap to clone; all clones share one connection, made when it is first needed.
#[derive(Clone, Debug)]
pub struct Agent {
    channel: Channel,
}

impl Agent {
    /// The agent at [`LOCAL_AGENT`]. To be called where a Tokio runtime runs.
    #[must_use]
    pub fn local() -> Self {
        Self::behind(Endpoint::from_static(LOCAL_AGENT))
    }

    /// The agent whose gRPC interface is at `address`, such as `http://127.0.0.1:8502`. To be called where a Tokio
    /// runtime runs.
    ///
    /// # Errors
    /// It is no such address. Whether anyone listens there is not asked.
    pub fn at(address: &str) -> Result<Self, InvalidAddress> {
        let endpoint = Endpoint::from_shared(address.to_owned());
        let endpoint = endpoint.map_err(|source| InvalidAddress { address: address.to_owned(), source })?;
        Ok(Self::behind(endpoint))
    }

    fn behind(endpoint: Endpoint) -> Self {
        let endpoint = endpoint
            .connect_timeout(CONNECT_LIMIT)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_LIMIT)
            .keep_alive_while_idle(true);
        Self { channel: endpoint.connect_lazy() }
    }

    /// The generated client.
    #[must_use]
    pub fn registry(&self) -> RegistryClient<Channel> {
        RegistryClient::new(self.channel.clone())
    }

    /// The instances of a service, now and from now on. Empty, with the state unknown, until the agent has answered.
    #[must_use]
    pub fn watch(&self, service: Service) -> watch::Receiver<Endpoints> {
        let (sender, receiver) = watch::channel(Endpoints::default());
        tokio::spawn(follow::follow(self.registry(), service, sender));
        receiver
    }
}
