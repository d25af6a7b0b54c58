//! What is set about the pools themselves: their keys, and how long members that are gone are remembered.

use std::time::Duration;

use super::{error::ConfigError, partial::Partial};
use crate::gossip::GossipKey;

/// As in Consul.
const RECONNECT_TIMEOUT: Duration = Duration::from_secs(72 * 3600);
/// A shorter time would forget hosts over a long maintenance; Consul's bound.
const RECONNECT_TIMEOUT_MIN: Duration = Duration::from_secs(8 * 3600);
const LEFT_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// More nodes than this within 10 seconds are seldom lost by their own fault.
const FAILING_NODES_SHARE: f64 = 0.2;
/// Below it, a member that was away while another left could bring that one back.
const LEFT_TIMEOUT_MIN: Duration = Duration::from_secs(3600);

/// What is set about the pools.
#[derive(Clone, Debug, PartialEq)]
pub struct Gossip {
    /// The key that everything is sealed with, unless a keyring file says otherwise; none: nothing is.
    pub key: Option<GossipKey>,
    /// Whether what is not sealed is refused, where there is a key.
    pub verify_incoming: bool,
    /// Whether what is sent is sealed, where there is a key.
    pub verify_outgoing: bool,
    /// Whether the keyrings are kept in the data directory.
    pub keeps_keyring: bool,
    /// How long a failed member of the LAN pool is remembered.
    pub reconnect_timeout: Duration,
    /// The same in the WAN pool.
    pub reconnect_timeout_wan: Duration,
    /// How long a member that has left is remembered.
    pub left_timeout: Duration,
    /// The share of all nodes that may turn critical within 10 seconds because the pool calls them failed; 1: all.
    pub failing_nodes_share: f64,
}

/// What was said of it.
pub(super) fn gossip(said: &Partial) -> Result<Gossip, ConfigError> {
    let key = said.encrypt.as_deref().filter(|text| !text.is_empty()).map(GossipKey::parse).transpose();
    let verify_incoming = said.encrypt_verify_incoming.unwrap_or(true);
    let verify_outgoing = said.encrypt_verify_outgoing.unwrap_or(true);
    if verify_incoming && !verify_outgoing {
        let problem = "without encrypt_verify_outgoing the others' packets are not sealed either, and all of them \
                       would be refused (set encrypt_verify_incoming to false too)";
        return Err(ConfigError::setting("encrypt_verify_incoming", problem));
    }
    let at_least = |setting, said: Option<Duration>, default, least: Duration| match said.unwrap_or(default) {
        time if time >= least => Ok(time),
        _ => Err(ConfigError::setting(setting, format!("is too short (give {}h or more)", least.as_secs() / 3600))),
    };
    let reconnect = |setting, said| at_least(setting, said, RECONNECT_TIMEOUT, RECONNECT_TIMEOUT_MIN);
    let share = said.failing_nodes_share.unwrap_or(FAILING_NODES_SHARE);
    if !(0.0..=1.0).contains(&share) {
        let problem = format!("{share} is no share (give 0 to 1; 1: no limit)");
        return Err(ConfigError::setting("failing_nodes_share", problem));
    }
    Ok(Gossip {
        failing_nodes_share: share,
        key: key.map_err(|error| ConfigError::setting("encrypt", error.to_string()))?,
        verify_incoming,
        verify_outgoing,
        keeps_keyring: !said.disable_keyring_file.unwrap_or(false),
        reconnect_timeout: reconnect("reconnect_timeout", said.reconnect_timeout)?,
        reconnect_timeout_wan: reconnect("reconnect_timeout_wan", said.reconnect_timeout_wan)?,
        left_timeout: at_least("left_timeout", said.left_timeout, LEFT_TIMEOUT, LEFT_TIMEOUT_MIN)?,
    })
}
