//! The answer to a prepared query, from one snapshot. Pure but for the order, which is drawn from the generator given.
//! HTTP and DNS both answer from here.
//!
//! Instances come in an order that is drawn, the nearest first where a node is given from which to measure; then that
//! node's own are the first of all.
//!
//! When there is no instance, other datacenters may be asked: `http::failover` does that.

use std::{net::IpAddr, sync::Arc, time::Duration};

use rand::{Rng, seq::SliceRandom};
use smol_str::SmolStr;

use crate::{
    acl::Rights,
    agent::duration,
    catalog::{Instance, Protection, State},
    model::{Check, Key, Meta, PreparedQuery, ServiceQuery, Status},
};

/// The node of the agent that is asked.
const OWN_NODE: &str = "_agent";
/// The node that has the asker's address.
const ASKER: &str = "_ip";

/// Who asks, and what beside the query shapes the answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// From where to measure, in place of what the query says; empty: as that says.
    pub near: &'a str,
    /// The node of the agent that is asked.
    pub own_node: &'a str,
    /// The address that is asked from, where it is known.
    pub asker: Option<IpAddr>,
    /// Only passing instances, whatever the query says.
    pub passing: bool,
    /// Only mesh proxies, whatever the query says.
    pub connect: bool,
    /// How many instances at most; 0: any number.
    pub limit: usize,
    /// When the instances of vanished nodes are served all the same.
    pub protection: Option<Protection>,
    /// What whoever asks may see; none: everything.
    pub rights: Option<&'a Rights>,
}

/// The instances that a query is answered with, in order.
#[must_use]
pub fn execute<'s>(
    state: &'s State,
    query: &PreparedQuery,
    asked: &Asked<'_>,
    random: &mut impl Rng,
) -> Vec<&'s Arc<Instance>> {
    let service = &query.service;
    if asked.connect || service.connect {
        // There are no mesh proxies.
        return Vec::new();
    }
    let mut instances = healthy(state, service, asked);
    let tags = Tags::new(&service.tags);
    let has = |pairs: &Meta, wanted: &Meta| wanted.iter().all(|(key, value)| pairs.get(key) == Some(value));
    instances.retain(|instance| {
        tags.match_those_of(instance)
            && has(&instance.node.meta, &service.node_meta)
            && has(&instance.service.meta, &service.service_meta)
            && asked.rights.is_none_or(|rights| rights.sees_instance(&instance.node.name, &instance.service.name))
    });
    instances.shuffle(random);
    let near = if asked.near.is_empty() { &service.near } else { asked.near };
    if let Some(node) = place(state, near, asked) {
        instances = sorted(state, &node, instances);
    }
    if asked.limit > 0 {
        instances.truncate(asked.limit);
    }
    instances
}

/// How long the answer may be kept, where the query says so.
#[must_use]
pub fn dns_ttl(query: &PreparedQuery) -> Option<Duration> {
    if query.dns_ttl.is_empty() { None } else { duration::parse(&query.dns_ttl).ok() }
}

/// Whether the answer depends on who asks.
#[must_use]
pub fn depends_on_asker(query: &PreparedQuery) -> bool {
    query.service.near == ASKER
}

fn healthy<'s>(state: &'s State, service: &ServiceQuery, asked: &Asked<'_>) -> Vec<&'s Arc<Instance>> {
    let worst = if asked.passing || service.only_passing { Status::Passing } else { Status::Warning };
    let served = state.served(&service.service, worst, asked.protection);
    if service.ignored_checks.is_empty() {
        return served;
    }
    let counts = |check: &&Arc<Check>| service.ignored_checks.iter().all(|ignored| ignored.key() != check.id.key());
    let mut served = served.into_iter().peekable();
    let instances = state.instances(&service.service).filter(|instance| {
        // Both come in the same order.
        let is_served = served.next_if(|next| Arc::ptr_eq(next, instance)).is_some();
        is_served || instance.checks.iter().filter(counts).all(|check| check.status <= worst)
    });
    instances.collect()
}

/// The tags that a query wants and does not want.
struct Tags<'q> {
    wanted: Vec<&'q str>,
    unwanted: Vec<&'q str>,
}

impl<'q> Tags<'q> {
    fn new(tags: &'q [SmolStr]) -> Self {
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        for tag in tags {
            match tag.strip_prefix('!') {
                Some(tag) => unwanted.push(tag),
                None => wanted.push(tag.as_str()),
            }
        }
        Self { wanted, unwanted }
    }

    fn match_those_of(&self, instance: &Instance) -> bool {
        self.wanted.iter().all(|tag| instance.has_tag(tag)) && !self.unwanted.iter().any(|tag| instance.has_tag(tag))
    }
}

/// The node from which to measure.
fn place(state: &State, near: &str, asked: &Asked<'_>) -> Option<Key> {
    match near {
        "" => None,
        OWN_NODE => Some(Key::new(asked.own_node)),
        ASKER => {
            let address = asked.asker?.to_canonical().to_string();
            state.nodes().find(|node| node.address == address).map(|node| node.name.key())
        }
        name => Some(Key::new(name)),
    }
}

/// The nearest to that node first, and its own before them; those at the same distance stay as they are.
fn sorted<'s>(state: &State, node: &Key, instances: Vec<&'s Arc<Instance>>) -> Vec<&'s Arc<Instance>> {
    let mut instances = state.nearest_first(node.as_str(), instances, |instance| &instance.node.name);
    instances.sort_by_key(|instance| instance.node.name.key() != *node);
    instances
}

#[cfg(test)]
mod tests;
