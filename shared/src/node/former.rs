//! Whom this node knew in its former life: addresses of the pool's members in a file of the data directory, so that a
//! restarted node finds the pool again when those it is told to join are gone.
//!
//! The file is a JSON list, written whole under another name and renamed. Nothing depends on it: one that is damaged is
//! as good as none. Who leaves on purpose is not to come back by itself: its file is removed.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::keyring;
use crate::{
    config::Config,
    gossip::{MemberStatus, Pool},
    private,
    tasks::Tasks,
};

/// Addresses that are kept: enough to meet one of a pool of any size.
const MAX_ADDRESSES: usize = 64;
/// The file is written at most this often.
const PAUSE: Duration = Duration::from_secs(10);

/// Where the addresses of the pool `lan` or `wan` lie; none without a data directory.
pub(super) fn file(config: &Config, pool: &str) -> Option<PathBuf> {
    Some(config.data_dir.as_ref()?.join(keyring::DIRECTORY).join(format!("{pool}.members")))
}

/// The addresses in the file. Blocks.
pub(super) fn load(file: Option<&Path>) -> Vec<SocketAddr> {
    let Some(bytes) = file.and_then(|file| fs::read(file).ok()) else { return Vec::new() };
    let mut addresses: Vec<SocketAddr> = serde_json::from_slice(&bytes).unwrap_or_default();
    addresses.truncate(MAX_ADDRESSES);
    addresses
}

fn save(file: &Path, addresses: &BTreeSet<SocketAddr>) -> io::Result<()> {
    if let Some(directory) = file.parent() {
        private::create_directory(directory)?;
    }
    let unfinished = file.with_extension("unfinished");
    private::write(&unfinished, serde_json::to_vec(addresses).map_err(io::Error::other)?)?;
    fs::rename(&unfinished, file)
}

/// Removes the files, for a node that leaves. Blocks.
pub(super) fn forget_all(config: &Config) {
    ["lan", "wan"].iter().for_each(|pool| forget(file(config, pool).as_deref()));
}

fn forget(file: Option<&Path>) {
    if let Some(Err(error)) = file.map(fs::remove_file)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "the addresses of the pool's members were not removed: this node may come back to it");
    }
}

/// Keeps the files up to date with the pools that this node is in.
pub(super) fn keep_all(config: &Config, lan: &Pool, wan: Option<&Pool>, tasks: &Tasks) {
    for (name, pool) in [("lan", Some(lan)), ("wan", wan)] {
        if let (Some(file), Some(pool)) = (file(config, name), pool) {
            keep(file, pool.clone(), tasks);
        }
    }
}

fn keep(file: PathBuf, pool: Pool, tasks: &Tasks) {
    let stopping = tasks.stopping();
    tasks.spawn("gossip members' file", async move {
        let mut kept = BTreeSet::new();
        let mut changes = pool.changes();
        loop {
            let addresses = others(&pool);
            // A node that is alone has lost the others: it wants to know where they were.
            if !addresses.is_empty() && addresses != kept {
                let (path, written) = (file.clone(), addresses.clone());
                let saved = tokio::task::spawn_blocking(move || save(&path, &written)).await;
                if let Ok(Err(error)) = saved {
                    tracing::warn!(file = %file.display(), %error, "the addresses of the pool's members were not kept");
                }
                kept = addresses;
            }
            tokio::select! {
                () = stopping.cancelled() => return Ok::<(), Infallible>(()),
                () = tokio::time::sleep(PAUSE) => {}
            }
            tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                changed = changes.changed() => if changed.is_err() { return Ok(()) },
            }
        }
    });
}

fn others(pool: &Pool) -> BTreeSet<SocketAddr> {
    let own = pool.own().name;
    let alive = pool.members().into_iter().filter(|member| member.status == MemberStatus::Alive && member.name != own);
    alive.map(|member| member.address).take(MAX_ADDRESSES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_outlive_a_restart_and_not_a_leave() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gossip/lan.members");
        assert_eq!(load(Some(&file)), []);
        let addresses = ["10.0.0.1:8301", "[fd00::1]:8301"].map(|text| text.parse().unwrap());
        save(&file, &addresses.into()).unwrap();
        assert_eq!(load(Some(&file)), addresses);
        fs::write(&file, "[\"10.0.0.1\"").unwrap();
        assert_eq!(load(Some(&file)), [], "a damaged one is as good as none");
        forget(Some(&file));
        forget(Some(&file));
        assert!(!file.exists() && load(None).is_empty());
    }
}
