//! The sidecar's part of a node: the stream from a server into the view, and writes to the leader.

use std::{net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use lictor_shared::{
    backend::Backend,
    config::Config,
    gossip::{MemberStatus, Pool},
    node::{Ground, Role, RoleError, tags},
    tasks::Tasks,
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{Sidecar, SidecarSettings, identity};

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
        let settings = SidecarSettings::new(&ground.config.node_name, &ground.config.datacenter);
        Ok(Sidecar::start(settings, servers, ground.writer, &ground.tasks))
    }

    async fn leave(&mut self) {}

    async fn stop(&mut self) {}
}

/// The RPC addresses of the servers that are alive, as the pool says.
fn follow_servers(pool: Pool, datacenter: String, tasks: &Tasks) -> watch::Receiver<Vec<SocketAddr>> {
    let (sender, receiver) = watch::channel(Vec::new());
    let stopping = tasks.stopping();
    tasks.spawn("the list of servers", async move {
        let mut changes = pool.changes();
        loop {
            changes.borrow_and_update();
            let members = pool.members();
            let alive = members.iter().filter(|member| member.status == MemberStatus::Alive);
            let servers: Vec<SocketAddr> = alive.filter_map(|m| tags::server_address(m, &datacenter)).collect();
            sender.send_if_modified(|known| {
                let new = *known != servers;
                *known = servers;
                new
            });
            tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                changed = changes.changed() => if changed.is_err() { return Err("the LAN pool has stopped") },
            }
        }
    });
    receiver
}
