//! What a Raft node takes from outside: threads for work that blocks, the wall clock, connections, randomness.
//!
//! Whatever else it does follows from these, from what it is asked and from its disk. That is why they are in one place:
//! in a test a simulation may stand in for them on the thread that it runs on (`tests/simulation`), and then one seed
//! decides everything. A build that is not for tests knows the real ones only.

use std::io;

use lictor_shared::model::Time;
use tonic::transport::{Channel, Endpoint};

#[cfg(test)]
use super::tests::simulation;

/// What openraft runs on.
#[cfg(not(test))]
pub(crate) type Runtime = openraft::impls::TokioRuntime;
#[cfg(test)]
pub(crate) type Runtime = simulation::runtime::SeededRuntime;

/// Does what blocks, on a thread for that.
///
/// # Errors
/// When it panicked, or the runtime is stopping.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    #[cfg(test)]
    if simulation::world::is_active() {
        return Ok(simulation::world::blocking(work).await);
    }
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

/// Does what may take its time, and nobody waits for it.
pub(super) fn aside(work: impl FnOnce() + Send + 'static) {
    #[cfg(test)]
    if simulation::world::is_active() {
        return work();
    }
    drop(tokio::task::spawn_blocking(work));
}

/// The wall clock, with which a leader stamps what it proposes.
pub(super) fn now() -> Time {
    #[cfg(test)]
    if simulation::world::is_active() {
        return simulation::world::now();
    }
    Time::now()
}

/// A connection to another server, made when it is first needed.
pub(super) fn channel(endpoint: &Endpoint) -> Channel {
    #[cfg(test)]
    if simulation::world::is_active() {
        return simulation::network::channel(endpoint);
    }
    endpoint.connect_lazy()
}
