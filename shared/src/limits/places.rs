//! The places for connections to one port: so many in all, and so many of them for one client.

use std::{net::IpAddr, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Clients, Place};

/// See the module.
#[derive(Debug)]
pub struct Places {
    all: Arc<Semaphore>,
    clients: Clients,
    per_client: usize,
}

/// A connection's place; given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    _of_all: OwnedSemaphorePermit,
    _of_client: Place,
}

/// Why a connection has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// All are taken.
    All,
    /// All that one client may have.
    OfClient,
}

impl Places {
    /// So many, of which one client may have `per_client`, but never all: however few there are, some are for others.
    #[must_use]
    pub fn new(places: usize, per_client: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(places)),
            clients: Clients::default(),
            per_client: per_client.min((places / 4 * 3).max(1)),
        }
    }

    /// A place for a connection from there; one without an address is nobody's in particular.
    ///
    /// # Errors
    /// There is none.
    pub fn seat(&self, peer: Option<IpAddr>) -> Result<Seat, Full> {
        let of_all = self.all.clone().try_acquire_owned().map_err(|_| Full::All)?;
        let of_client = self.clients.enter(peer, self.per_client).ok_or(Full::OfClient)?;
        Ok(Seat { _of_all: of_all, _of_client: of_client })
    }
}
