//! How many places each client has of something: connections, watches.
//!
//! The table has an entry for a client as long as that has a place, so it is as large as there are places at most.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::client;
use crate::metrics::Sizes;

/// Who has how many. Callers without an address (on unix sockets) count together. Clones count together too.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    counts: Arc<Mutex<HashMap<Option<IpAddr>, usize>>>,
    /// Where clients are counted by how many they have.
    sizes: Option<&'static Sizes>,
}

/// One place of a client, until it is dropped.
#[derive(Debug)]
#[must_use = "it is given back when it is dropped"]
pub struct Place {
    clients: Clients,
    client: Option<IpAddr>,
}

impl Clients {
    /// Nobody has anything; `sizes` says how many clients have how many.
    #[must_use]
    pub fn measured(sizes: &'static Sizes) -> Self {
        Self { sizes: Some(sizes), ..Self::default() }
    }

    /// A place for whoever is at `address`, unless it has `limit` of them.
    #[must_use]
    pub fn enter(&self, address: Option<IpAddr>, limit: usize) -> Option<Place> {
        let client = address.map(client);
        let mut counts = self.lock();
        let count = counts.get(&client).copied().unwrap_or(0);
        if count >= limit {
            return None;
        }
        counts.insert(client, count + 1);
        self.measure(count, count + 1);
        Some(Place { clients: self.clone(), client })
    }

    fn measure(&self, before: usize, after: usize) {
        if let Some(sizes) = self.sizes {
            sizes.change(before, after);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<IpAddr>, usize>> {
        // No code that holds the lock can leave the table half changed.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.clients.lock();
        let Some(count) = counts.get_mut(&self.client) else { return };
        let before = *count;
        *count -= 1;
        if *count == 0 {
            counts.remove(&self.client);
        }
        self.clients.measure(before, before - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_share_and_nobody_is_remembered() {
        let clients = Clients::default();
        let [one, same, other] = ["2001:db8::1", "2001:db8::2", "10.0.0.1"].map(|text| text.parse().ok());
        let held = [clients.enter(one, 2).unwrap(), clients.enter(same, 2).unwrap()];
        assert!(clients.enter(one, 2).is_none() && clients.enter(same, 2).is_none());
        let of_other = clients.enter(other, 2).unwrap();
        drop(held);
        let again = clients.enter(one, 2).unwrap();
        assert!(clients.enter(None, 0).is_none(), "not even one");
        drop((of_other, again));
        assert!(clients.lock().is_empty());
    }
}
