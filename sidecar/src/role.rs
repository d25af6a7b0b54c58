//! The sidecar's part of a node: the stream from a server into the view, and writes to the leader.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use lictor_proto::client::Client;
use lictor_shared::{
    backend::Backend,
    config::Config,
    gossip::{MemberStatus, Pool},
    node::{Ground, Role, RoleError, tags},
    tasks::Tasks,
};
use rand::seq::IteratorRandom;
use tokio::sync::watch;
use uuid::Uuid;

use crate::{Sidecar, SidecarSettings, identity, keeper};

/// Between two tries to find a failed server back, on average: one at a time, for many nodes look for the same servers.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// A node that keeps nothing it cannot get back.
#[derive(Debug, Default)]
pub struct SidecarRole;

#[async_trait]
impl Role for SidecarRole {
    async fn prepare(&mut self, config: &Config) -> Result<Uuid, RoleError> {
        Ok(config.node_id.unwrap_or_else(|| identity::node_id(&config.node_name, &config.datacenter)))
    }

    async fn start(&mut self, ground: Ground) -> Result<Arc<dyn Backend>, RoleError> {
        let servers = follow_servers(ground.pool, ground.config.datacenter.clone(), &ground.tasks);
        let config = &ground.config;
        // Who wants no answers without a leader needs nothing to give them from.
        let max_age = config.discovery_max_stale;
        let data_dir = config.data_dir.clone().filter(|_| !max_age.is_zero());
        let usual = SidecarSettings::new(&config.node_name, &config.datacenter);
        let mut settings = SidecarSettings { data_dir, ..usual };
        settings.last_known = keeper::last_known(&settings, max_age).await;
        let (node, datacenter) = (settings.node.clone(), settings.datacenter.clone());
        let (tls, authority) = (ground.tls, ground.authority);
        let connect = move || {
            let authority = authority.clone();
            let client = Client::secured(tls.clone(), &datacenter);
            client.of_node(node.clone(), move || authority.own_credential())
        };
        Ok(Sidecar::start(settings, servers, ground.writer, &connect, &ground.tasks))
    }

    async fn hand_over(&mut self) {}

    async fn stop(&mut self) {}
}

/// The RPC addresses of the servers that are alive, as the pool says. While none is, a failed one is asked now and
/// then whether it is back: the pool itself does that seldom.
fn follow_servers(pool: Pool, datacenter: String, tasks: &Tasks) -> watch::Receiver<Vec<SocketAddr>> {
    let (sender, receiver) = watch::channel(Vec::new());
    let stopping = tasks.stopping();
    tasks.spawn("the list of servers", async move {
        let mut changes = pool.changes();
        loop {
            changes.borrow_and_update();
            let members = pool.members();
            let servers = members.iter().filter_map(|m| Some((m, tags::server_address(m, &datacenter)?)));
            let (alive, others): (Vec<_>, Vec<_>) = servers.partition(|(m, _)| m.status == MemberStatus::Alive);
            let failed = others.into_iter().filter(|(m, _)| m.status == MemberStatus::Failed);
            let failed = failed.map(|(m, _)| m.address).choose(&mut rand::rng());
            let alive: Vec<SocketAddr> = alive.into_iter().map(|(_, address)| address).collect();
            let all_failed = failed.filter(|_| alive.is_empty());
            sender.send_if_modified(|known| {
                let new = *known != alive;
                *known = alive;
                new
            });
            tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                changed = changes.changed() => if changed.is_err() { return Err("the LAN pool has stopped") },
                () = ask_again(&pool, all_failed), if all_failed.is_some() => {}
            }
        }
    });
    receiver
}

async fn ask_again(pool: &Pool, failed: Option<SocketAddr>) {
    tokio::time::sleep(ASK_AGAIN.mul_f64(rand::random_range(0.5..1.5))).await;
    if let Err(error) = pool.join(failed.as_slice()).await {
        tracing::debug!(%error, "no server is back yet");
    }
}
