//! The second witness: a host that the pool calls failed is not critical while it holds a watch stream at some server.
//!
//! The leader asks itself and every other server that is alive, only while somebody is in doubt, with one small request
//! (`Watching`). A server that does not answer in time is no witness. The stream of a host that vanished without a word
//! ends when what it was sent is not acknowledged (`grpc`), before gossip calls the host failed.
//!
//! [`Brake`] is for a loss of many at once, which is more often a fault of the network or of this server than of all of
//! them: only a share may turn critical in each interval, and the operator is told.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use lictor_proto::client::Client;
use lictor_shared::{
    metrics::{HELD_BACK_NODES, WITNESSED_NODES},
    model::{Key, NodeName},
};
use tokio::time::timeout;

use crate::grpc::Watchers;

/// How long another server may take.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);
/// The interval of the brake.
const INTERVAL: Duration = Duration::from_secs(10);
/// So few may always turn critical in an interval, however small the share.
const ALWAYS: usize = 10;

/// Who is seen to be alive by the streams that hosts hold.
pub struct Witness {
    watchers: Arc<Watchers>,
    client: Client,
}

impl Witness {
    /// With the streams of this server; others are asked by `client`.
    #[must_use]
    pub fn new(watchers: Arc<Watchers>, client: Client) -> Self {
        Self { watchers, client }
    }

    /// Those of `doubted` that hold a stream here or at one of `servers` (`ip:port` of the RPC ports of the others).
    pub async fn alive(&self, doubted: &[NodeName], servers: Vec<String>) -> HashSet<Key> {
        let here = doubted.iter().filter(|node| self.watchers.watching(node)).map(NodeName::key);
        let mut alive: HashSet<Key> = here.collect();
        let elsewhere = join_all(servers.iter().map(|server| self.ask(server, doubted))).await;
        alive.extend(elsewhere.into_iter().flatten());
        alive
    }

    async fn ask(&self, server: &str, doubted: &[NodeName]) -> Vec<Key> {
        let names = doubted.iter().map(|node| node.as_str().to_owned()).collect();
        match timeout(ANSWER_LIMIT, self.client.watching(server, names)).await {
            Ok(Ok(watching)) => watching.iter().map(|name| Key::new(name)).collect(),
            Ok(Err(error)) => {
                tracing::warn!(server, %error, "a server did not say which nodes watch there: it is no witness");
                Vec::new()
            }
            Err(_) => {
                tracing::warn!(
                    server,
                    "a server did not say within {ANSWER_LIMIT:?} which nodes watch there: it is no witness"
                );
                Vec::new()
            }
        }
    }
}

/// How many may turn critical.
#[derive(Debug, Default)]
pub struct Brake {
    since: Option<Instant>,
    turned: usize,
    told: bool,
}

impl Brake {
    /// How many of `wanting` may turn critical now, where `nodes` are in the pool and a share of them may in each
    /// interval. A share of 1 is no brake. They count as turned.
    pub fn allow(&mut self, wanting: usize, nodes: usize, share: f64, now: Instant) -> usize {
        if wanting == 0 {
            HELD_BACK_NODES.set(0);
        }
        if self.since.is_none_or(|since| now.duration_since(since) >= INTERVAL) {
            (self.since, self.turned) = (Some(now), 0);
            self.told &= wanting > 0;
        }
        let most = if share >= 1.0 { usize::MAX } else { share_of(nodes, share).max(ALWAYS) };
        let allowed = wanting.min(most.saturating_sub(self.turned));
        self.turned += allowed;
        let held_back = wanting - allowed;
        HELD_BACK_NODES.set(held_back);
        if held_back > 0 && !std::mem::replace(&mut self.told, true) {
            tracing::error!(
                failed = wanting, nodes, held_back, interval = ?INTERVAL,
                "MASS FAILURE: many nodes are lost at once; only a share of them turns critical in each interval \
                 (failing_nodes_share; 1 turns this off). Is it the network, or this server?"
            );
        }
        allowed
    }
}

// The result is at most `nodes`, and not negative.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn share_of(nodes: usize, share: f64) -> usize {
    (nodes as f64 * share.clamp(0.0, 1.0)).floor() as usize
}

/// Notes how many are kept from turning critical by their streams.
pub fn note_witnessed(count: usize) {
    WITNESSED_NODES.set(count);
}

/// Notes that this server does not lead, and so says nothing of other nodes.
pub fn note_no_leader() {
    WITNESSED_NODES.set(0);
    HELD_BACK_NODES.set(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_may_turn_critical_in_each_interval() {
        let (mut brake, start) = (Brake::default(), Instant::now());
        let table = [(0, 300, 200), (1, 100, 0), (9, 100, 0), (10, 100, 100), (11, 150, 100), (12, 1, 0)];
        for (second, wanting, allowed) in table {
            let now = start + Duration::from_secs(second);
            assert_eq!(brake.allow(wanting, 1000, 0.2, now), allowed, "after {second} s");
        }
        assert_eq!(Brake::default().allow(900, 1000, 1.0, start), 900, "off");
        assert_eq!(Brake::default().allow(30, 20, 0.2, start), ALWAYS, "a few always");
    }
}
