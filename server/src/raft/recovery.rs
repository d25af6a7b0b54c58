//! A quorum that is lost for ever: the operator names the servers that are left, and this one goes on with them.
//!
//! `raft/peers.json` in the data directory, read once at the start, before Raft runs. It forces the membership by one
//! more entry at the end of the log, as a leader of a later term would have written it. Nothing of the log is cut off or
//! declared committed, so what was acknowledged is kept, and where several servers are left, each with this file, Raft's
//! own rules decide between their logs: the longest wins, and the others follow it. The Raft IDs are those that the log
//! knows, never new ones for old data.
//!
//! The file is renamed to `peers.json.done` once that is on the disk. Whoever was left out must never come back with its
//! old data: its vote still counts for the membership that it knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use openraft::{Membership, entry::RaftEntry, vote::RaftLeaderIdExt};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    Entry, LogId, ServerAddress, TypeConfig, Vote, data_dir::sync_dir, log::LogStore, snapshot::SnapshotStore,
};

const FILE: &str = "peers.json";
const DONE: &str = "peers.json.done";
/// A file longer than this many bytes is no list of servers.
const MAX_BYTES: u64 = 1 << 20;

type Members = Membership<u64, ServerAddress>;
type LeaderId = openraft::type_config::alias::LeaderIdOf<TypeConfig>;

/// Why a recovery that was asked for is not done. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}; correct it, or remove it to start with the servers as they were", path = path.display())]
pub struct RecoveryError {
    path: PathBuf,
    reason: String,
}

/// One server of the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Peer {
    /// Its node's ID.
    id: String,
    /// Its RPC address.
    address: String,
    #[serde(default)]
    non_voter: bool,
}

/// Forces the membership if the directory of Raft says so, for the server with that Raft ID.
///
/// # Errors
/// [`RecoveryError`].
pub(super) async fn recover(
    dir: &Path,
    raft_id: u64,
    log: &LogStore,
    snapshots: &SnapshotStore,
) -> Result<(), RecoveryError> {
    let path = dir.join(FILE);
    let failed = |reason: String| RecoveryError { path: path.clone(), reason };
    let Some(text) = read(&path).map_err(|error| failed(error.to_string()))? else { return Ok(()) };
    let peers = parse(&text).map_err(failed)?;
    let (last, present) = known(log, snapshots).await.map_err(|error| failed(error.to_string()))?;
    let (Some(last), Some(present)) = (last, present) else {
        return Err(failed("this server was never in a cluster: there is nothing to recover".into()));
    };
    let members = members(&peers, raft_id, &present).map_err(failed)?;
    let voted = log.vote().map_or(0, |vote| vote.leader_id.term);
    let term = voted.max(last.leader_id.term) + 1;
    let entry = Entry::new_membership(LogId::new(LeaderId::new_committed(term, raft_id), last.index + 1), members);
    let vote = Vote::new(term, raft_id);
    log.force(last, vote, entry).await.map_err(|error| failed(error.to_string()))?;
    let renamed = fs::rename(&path, dir.join(DONE)).and_then(|()| sync_dir(dir));
    renamed.map_err(|error| failed(format!("it was followed, but cannot be renamed to {DONE}: {error}")))?;
    let names: Vec<&str> = peers.iter().map(|peer| peer.address.as_str()).collect();
    tracing::warn!(
        servers = names.join(", "),
        "the set of servers was forced by peers.json; those that were left out \
        must never be started with their old data"
    );
    Ok(())
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        Ok(file) if file.len() > MAX_BYTES => Err(io::Error::other(format!("it has more than {MAX_BYTES} bytes"))),
        Ok(_) => fs::read(path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn parse(text: &[u8]) -> Result<Vec<Peer>, String> {
    let form = r#"a list such as [{"id": "NODE-ID", "address": "IP:PORT", "non_voter": false}]"#;
    let peers: Vec<Peer> = serde_json::from_slice(text).map_err(|error| format!("{error}; it is to be {form}"))?;
    if peers.is_empty() {
        return Err(format!("it names no server; it is to be {form}"));
    }
    for peer in &peers {
        let address = &peer.address;
        if address.parse::<std::net::SocketAddr>().is_err() {
            return Err(format!("address {address:?} is not IP:PORT"));
        }
    }
    Ok(peers)
}

/// The end of the log, and the membership that counts: the last one in the log, else that of the snapshot.
async fn known(log: &LogStore, snapshots: &SnapshotStore) -> io::Result<(Option<LogId>, Option<Members>)> {
    let snapshot = snapshots.latest().map(|snapshot| snapshot.meta);
    let kept = snapshot.as_ref().and_then(|meta| meta.last_log_id);
    let (last, in_log) = log.last_membership().await?;
    let of_snapshot = snapshot.map(|meta| meta.last_membership.membership().clone());
    let membership = in_log.or(of_snapshot).filter(|members| members.voter_ids().next().is_some());
    Ok((last.max(kept), membership))
}

/// The membership that the file asks for.
fn members(peers: &[Peer], raft_id: u64, present: &Members) -> Result<Members, String> {
    let mut nodes: BTreeMap<u64, ServerAddress> = BTreeMap::new();
    let mut voters = BTreeSet::new();
    for peer in peers {
        let id: Uuid = peer.id.parse().map_err(|_| format!("id {:?} is not the ID of a node", peer.id))?;
        let (found, address) = present.nodes().find(|(_, server)| server.node_id == id).ok_or_else(|| {
            let known: Vec<String> = present.nodes().map(|(_, server)| server.node_id.to_string()).collect();
            format!(
                "id {id} is none of the servers that this one knows ({}); new ones join afterwards",
                known.join(", ")
            )
        })?;
        if nodes.insert(*found, ServerAddress { rpc: peer.address.clone(), ..address.clone() }).is_some() {
            return Err(format!("id {id} is named twice"));
        }
        if !peer.non_voter {
            voters.insert(*found);
        }
    }
    if !voters.contains(&raft_id) {
        return Err("this server itself is not among the voters that it names".into());
    }
    Membership::new(vec![voters], nodes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present() -> Members {
        let server = |id: u64| {
            let (rpc, name) = (format!("127.0.0.1:{}", 8000 + id), format!("s{id}").as_str().into());
            (id, ServerAddress { rpc, node_id: Uuid::from_u128(id.into()), name })
        };
        Membership::new(vec![[1, 2, 3].into()], (1..=3).map(server).collect::<BTreeMap<_, _>>()).unwrap()
    }

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    #[test]
    fn the_listed_servers_keep_their_raft_ids() {
        let text = format!(
            r#"[{{"id": "{}", "address": "10.0.0.1:8300"}}, {{"id": "{}", "address": "10.0.0.3:8300", "non_voter": true}}]"#,
            id(1),
            id(3)
        );
        let found = members(&parse(text.as_bytes()).unwrap(), 1, &present()).unwrap();
        assert_eq!(found.voter_ids().collect::<Vec<_>>(), [1]);
        let nodes: Vec<_> =
            found.nodes().map(|(id, server)| (*id, server.rpc.as_str(), server.name.as_str())).collect();
        assert_eq!(nodes, [(1, "10.0.0.1:8300", "s1"), (3, "10.0.0.3:8300", "s3")]);
    }

    #[test]
    fn a_bad_file_says_what_is_wrong_with_it() {
        let one = |id: Uuid, rest: &str| format!(r#"{{"id": "{id}", "address": "10.0.0.1:8300"{rest}}}"#);
        for (text, expected) in [
            ("[".to_string(), "EOF"),
            ("[]".into(), "it names no server"),
            (r#"["10.0.0.1:8300"]"#.into(), r#"it is to be a list such as [{"id""#),
            (format!("[{}]", one(id(1), r#", "votes": true"#)), "unknown field `votes`"),
            (format!("[{}]", one(id(9), "")), "is none of the servers that this one knows (00000000-"),
            (format!("[{}]", one(id(2), "")), "this server itself is not among the voters"),
            (format!("[{}]", one(id(1), r#", "non_voter": true"#)), "this server itself is not among the voters"),
            (format!("[{0}, {0}]", one(id(1), "")), "is named twice"),
            (r#"[{"id": "x", "address": "10.0.0.1:8300"}]"#.into(), r#"id "x" is not the ID of a node"#),
            (r#"[{"id": "x", "address": "host"}]"#.into(), r#"address "host" is not IP:PORT"#),
        ] {
            let error = parse(text.as_bytes()).and_then(|peers| members(&peers, 1, &present())).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
