//! The keyrings of this node's pools: from the data directory where there is one, else from the configuration alone.

use crate::{
    config::Config,
    gossip::{Keyring, KeyringError},
};

/// Where what is kept of the pools lies in the data directory.
pub(super) const DIRECTORY: &str = "gossip";

/// The keyring of the pool `lan` or `wan`.
///
/// # Errors
/// When its file cannot be read or written, or is damaged: to go on with an older key would be to be cut off later.
pub(super) fn open(config: &Config, pool: &str) -> Result<Keyring, KeyringError> {
    let (settings, key) = (&config.gossip, config.gossip.key.clone());
    let keyring = match config.data_dir.as_deref().filter(|_| settings.keeps_keyring) {
        Some(data_dir) => Keyring::open(&data_dir.join(DIRECTORY).join(format!("{pool}.keyring")), key)?,
        None => Keyring::in_memory(key.into_iter().collect()),
    };
    Ok(keyring.lenient(!settings.verify_incoming, settings.verify_outgoing))
}
