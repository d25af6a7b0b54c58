//! Feeds balancers with the instances of a service.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    net::Ipv6Addr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::{FutureExt, Stream, future::BoxFuture};
use lictor_proto::v1::Instance;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint, channel::Change as ChannelChange};
use tower::discover::Change;
use tracing::warn;

use crate::{Endpoints, InstanceKey};

/// Changes that a balancer has not taken yet; more wait in the watch, as one.
const QUEUED_CHANGES: usize = 64;

/// A channel to all instances: each call goes to the less busy of two taken at random. While there is no instance,
/// calls wait for one, so give them a time-out. It follows the instances for as long as it, or a clone, exists.
///
/// Calls are made without TLS, to the instance's address and port; weights are not regarded.
#[must_use]
pub fn balanced(endpoints: watch::Receiver<Endpoints>) -> Channel {
    let (channel, changes) = Channel::balance_channel(QUEUED_CHANGES);
    let mut tracked = Tracked::new(endpoints);
    tokio::spawn(async move {
        loop {
            let change = tokio::select! {
                () = changes.closed() => return,
                change = tracked.next() => change,
            };
            let change = match change {
                Some(Change::Insert(key, endpoint)) => ChannelChange::Insert(key, endpoint),
                Some(Change::Remove(key)) => ChannelChange::Remove(key),
                // Nobody tells of changes any more: the last instances stay.
                None => return,
            };
            if changes.send(change).await.is_err() {
                return;
            }
        }
    });
    channel
}

/// The instances as a stream of changes, each with a channel that connects when it is first used: a
/// `tower::discover::Discover` for tower's balancers.
#[must_use]
pub fn discover(endpoints: watch::Receiver<Endpoints>) -> Discover {
    Discover { next: next(Tracked::new(endpoints)) }
}

/// See [`discover`]. Ends when the watch does.
pub struct Discover {
    next: BoxFuture<'static, (Option<Change<InstanceKey, Endpoint>>, Tracked)>,
}

fn next(mut tracked: Tracked) -> BoxFuture<'static, (Option<Change<InstanceKey, Endpoint>>, Tracked)> {
    async move { (tracked.next().await, tracked) }.boxed()
}

impl Stream for Discover {
    type Item = Result<Change<InstanceKey, Channel>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let (change, tracked) = ready!(self.next.as_mut().poll(context));
        self.next = next(tracked);
        Poll::Ready(change.map(|change| {
            Ok(match change {
                Change::Insert(key, endpoint) => Change::Insert(key, endpoint.connect_lazy()),
                Change::Remove(key) => Change::Remove(key),
            })
        }))
    }
}

/// Compares each set with the one before.
struct Tracked {
    endpoints: watch::Receiver<Endpoints>,
    /// What a balancer has been told: the addresses.
    told: BTreeMap<InstanceKey, String>,
    waiting: VecDeque<Change<InstanceKey, Endpoint>>,
}

impl Tracked {
    fn new(mut endpoints: watch::Receiver<Endpoints>) -> Self {
        endpoints.mark_changed();
        Self { endpoints, told: BTreeMap::new(), waiting: VecDeque::new() }
    }

    /// The next change; none when there will be no more.
    async fn next(&mut self) -> Option<Change<InstanceKey, Endpoint>> {
        loop {
            if let Some(change) = self.waiting.pop_front() {
                return Some(change);
            }
            self.endpoints.changed().await.ok()?;
            self.compare();
        }
    }

    fn compare(&mut self) {
        let present: BTreeMap<InstanceKey, String> = {
            let endpoints = self.endpoints.borrow_and_update();
            endpoints.instances.iter().map(|instance| (InstanceKey::of(instance), address(instance))).collect()
        };
        for key in self.told.keys().filter(|key| !present.contains_key(key)) {
            self.waiting.push_back(Change::Remove(key.clone()));
        }
        for (key, address) in present.iter().filter(|(key, address)| self.told.get(key) != Some(address)) {
            match Endpoint::from_shared(address.clone()) {
                Ok(endpoint) => self.waiting.push_back(Change::Insert(key.clone(), endpoint)),
                Err(_) => {
                    warn!(address, instance = key.instance, node = key.node, "no address to connect to; left out");
                    if self.told.contains_key(key) {
                        self.waiting.push_back(Change::Remove(key.clone()));
                    }
                }
            }
        }
        self.told = present;
    }
}

fn address(instance: &Instance) -> String {
    let (host, port) = (&instance.address, instance.port);
    if host.parse::<Ipv6Addr>().is_ok() { format!("http://[{host}]:{port}") } else { format!("http://{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::StreamExt;
    use lictor_proto::v1::InstanceId;

    use super::*;

    fn instance(id: &str, address: &str) -> Arc<Instance> {
        let id = InstanceId { node: "n".into(), instance: id.into() };
        Arc::new(Instance { id: Some(id), address: address.into(), port: 80, ..Instance::default() })
    }

    fn endpoints(instances: &[(&str, &str)]) -> Endpoints {
        let instances = instances.iter().map(|(id, address)| instance(id, address)).collect();
        Endpoints { instances, ..Endpoints::default() }
    }

    #[test]
    fn addresses_of_every_kind_can_be_connected_to() {
        for (host, expected) in [("10.0.0.1", "http://10.0.0.1:80"), ("::1", "http://[::1]:80"), ("h", "http://h:80")] {
            assert_eq!(address(&instance("a", host)), expected);
        }
    }

    #[tokio::test]
    async fn each_change_of_the_set_is_a_change_for_the_balancer() {
        let (sender, receiver) = watch::channel(endpoints(&[("a", "10.0.0.1"), ("b", "10.0.0.2")]));
        let mut changes = discover(receiver);
        let mut told = async |count: usize| {
            let mut told = Vec::new();
            for _ in 0..count {
                match changes.next().await.unwrap().unwrap() {
                    Change::Insert(key, _) => told.push(format!("+{}", key.instance)),
                    Change::Remove(key) => told.push(format!("-{}", key.instance)),
                }
            }
            told
        };
        assert_eq!(told(2).await, ["+a", "+b"]);
        sender.send_replace(endpoints(&[("b", "10.0.0.3"), ("c", "10.0.0.4")]));
        assert_eq!(told(3).await, ["-a", "+b", "+c"]);
        sender.send_replace(endpoints(&[("b", "no host"), ("c", "10.0.0.4")]));
        assert_eq!(told(1).await, ["-b"]);
        drop(sender);
        assert!(changes.next().await.is_none());
    }
}
