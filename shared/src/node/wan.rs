//! The WAN pool: the servers of all datacenters, each as `NODE.DATACENTER`. A sidecar is not in it.

use std::{collections::BTreeMap, net::SocketAddr};

use super::{RoleError, former, keyring};
use crate::{
    config::Config,
    gossip::{KeyringError, Pool, PoolConfig, Timing},
    tasks::Tasks,
};

/// Starts to take part; none on a sidecar, and where the port is off.
pub(super) async fn start(
    config: &Config,
    tags: BTreeMap<String, String>,
    tasks: &Tasks,
) -> Result<Option<Pool>, RoleError> {
    if !config.is_server() || config.listen.serf_wan == 0 {
        return Ok(None);
    }
    Ok(Some(Pool::start(pool_config(config, tags)?, tasks).await?))
}

fn pool_config(config: &Config, mut tags: BTreeMap<String, String>) -> Result<PoolConfig, KeyringError> {
    let bind = SocketAddr::new(config.listen.serf_wan_bind, config.listen.serf_wan);
    let advertised = config.tagged_addresses.get("wan").and_then(|address| address.parse().ok());
    // Who sees it here has joined already.
    tags.remove(super::tags::WAN_PORT);
    Ok(PoolConfig {
        label: "wan".into(),
        advertise: Some(SocketAddr::new(advertised.unwrap_or(config.advertise), config.listen.serf_wan)),
        tags,
        timing: Timing {
            reap: config.gossip.reconnect_timeout_wan,
            reap_left: config.gossip.left_timeout,
            ..Timing::wan()
        },
        keyring: keyring::open(config, "wan")?,
        rejoin: former::load(former::file(config, "wan").as_deref()),
        ..PoolConfig::new(format!("{}.{}", config.node_name, config.datacenter), bind)
    })
}
