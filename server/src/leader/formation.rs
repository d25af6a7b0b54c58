//! How servers form a cluster, exactly once, from what gossip tells them (`-bootstrap-expect=N`).
//!
//! A server that belongs to no cluster waits until it sees N servers that expect N, takes exactly those, and says so:
//! the tag `agreed` holds a digest of the set, and the data directory keeps the set, so that it never agrees to
//! another one, not after a restart either. Only when all N show the same digest does it initialise Raft with the
//! set. Two different sets that share a server can therefore never both be agreed to, and a set that all have agreed
//! to is initialised with the same first entry by each, which Raft takes for one.
//!
//! A server that sees one that is `formed` already never forms: the leader will add it. One of its own set is no reason
//! to wait: it may have been the first to initialise, and have died before it reached the others.

use std::{
    collections::BTreeMap,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use lictor_shared::{
    gossip::{Member, MemberStatus},
    node::tags,
};
use serde::{Deserialize, Serialize};

use crate::raft::{ServerAddress, data_dir::write_durably};

/// The tag with a server's Raft ID.
pub const RAFT_ID: &str = "_raft_id";
/// The tag with the number of servers it expects.
pub const EXPECT: &str = "expect";
/// The tag with the digest of the set it has agreed to, also once that is formed.
pub const AGREED: &str = "_agreed";
/// The tag that says that it belongs to a cluster.
pub const FORMED: &str = "_formed";

/// The set of servers that one server has agreed to form a cluster with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    servers: BTreeMap<u64, ServerAddress>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing to be done until the pool changes.
    Wait,
    /// Keep this set and show its digest.
    Agree(Agreement),
    /// All have agreed: initialise Raft with these.
    Initialise(BTreeMap<u64, ServerAddress>),
}

impl Agreement {
    /// Only this server: `-bootstrap`, `-dev`, `-bootstrap-expect=1`.
    #[must_use]
    pub fn alone(raft_id: u64, server: ServerAddress) -> Self {
        Self { servers: BTreeMap::from([(raft_id, server)]) }
    }

    /// Its servers by Raft ID.
    #[must_use]
    pub fn servers(&self) -> &BTreeMap<u64, ServerAddress> {
        &self.servers
    }

    /// A short text that is equal only for equal sets of Raft IDs. (IDs are random: a checksum tells sets apart.)
    #[must_use]
    pub fn digest(&self) -> String {
        let ids: Vec<u8> = self.servers.keys().flat_map(|id| id.to_be_bytes()).collect();
        format!("{}-{:08x}", self.servers.len(), crc32fast::hash(&ids))
    }

    /// The set kept in a data directory, if any.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn load(data_dir: &Path) -> io::Result<Option<Self>> {
        match fs::read(file(data_dir)) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps the set, on disk when this returns.
    ///
    /// # Errors
    /// When the data directory cannot be written.
    pub fn save(&self, data_dir: &Path) -> io::Result<()> {
        write_durably(&file(data_dir), &serde_json::to_vec_pretty(self).map_err(io::Error::other)?)
    }
}

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("agreed.json")
}

/// The next step of a server with `raft_id` that belongs to no cluster and expects `expect` servers.
#[must_use]
pub fn next(raft_id: u64, expect: usize, agreed: Option<&Agreement>, members: &[Member], datacenter: &str) -> Step {
    let servers: Vec<Candidate> = members.iter().filter_map(|member| Candidate::new(member, datacenter)).collect();
    let is_of_the_set = |id: &u64| *id == raft_id || agreed.is_some_and(|agreed| agreed.servers.contains_key(id));
    if expect == 0 || servers.iter().any(|server| server.formed && !is_of_the_set(&server.raft_id)) {
        return Step::Wait;
    }
    let alive = servers.iter().filter(|server| server.alive && server.expect == expect);
    let Some(agreement) = agreed else {
        let seen: BTreeMap<u64, ServerAddress> = alive.map(|s| (s.raft_id, s.address.clone())).collect();
        let set: BTreeMap<_, _> = seen.into_iter().take(expect).collect();
        let complete = set.len() == expect && set.contains_key(&raft_id);
        return if complete { Step::Agree(Agreement { servers: set }) } else { Step::Wait };
    };
    let digest = agreement.digest();
    let has_agreed = |id: &u64| *id == raft_id || servers.iter().any(|s| s.raft_id == *id && s.agreed == digest);
    if agreement.servers.keys().all(has_agreed) { Step::Initialise(agreement.servers.clone()) } else { Step::Wait }
}

/// What a server's tags say of it.
struct Candidate {
    raft_id: u64,
    expect: usize,
    agreed: String,
    formed: bool,
    alive: bool,
    address: ServerAddress,
}

impl Candidate {
    fn new(member: &Member, datacenter: &str) -> Option<Self> {
        let rpc = tags::server_address(member, datacenter)?;
        let raft_id = raft_id(member)?;
        Some(Self {
            raft_id,
            expect: member.tags.get(EXPECT).and_then(|n| n.parse().ok()).unwrap_or(0),
            agreed: member.tags.get(AGREED).cloned().unwrap_or_default(),
            formed: member.tags.contains_key(FORMED),
            alive: member.status == MemberStatus::Alive,
            address: address(member, rpc),
        })
    }
}

/// A server's Raft ID, by its tags.
#[must_use]
pub fn raft_id(member: &Member) -> Option<u64> {
    u64::from_str_radix(member.tags.get(RAFT_ID)?, 16).ok()
}

/// How Raft finds a server.
#[must_use]
pub fn address(member: &Member, rpc: SocketAddr) -> ServerAddress {
    let node_id = tags::id(member).unwrap_or_default();
    ServerAddress { rpc: rpc.to_string(), node_id, name: member.name.as_str().into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leader::testing::server;

    const DC: &str = "dc1";

    fn agreement(ids: &[u64]) -> Agreement {
        let members: Vec<Member> = ids.iter().map(|id| server(*id, ids.len(), &[])).collect();
        match next(ids[0], ids.len(), None, &members, DC) {
            Step::Agree(agreement) => agreement,
            other => panic!("no agreement: {other:?}"),
        }
    }

    #[test]
    fn it_waits_until_as_many_as_expected_are_there() {
        let all: Vec<Member> = (1..=3).map(|id| server(id, 3, &[])).collect();
        assert_eq!(next(1, 3, None, &all[..2], DC), Step::Wait);
        let Step::Agree(agreed) = next(1, 3, None, &all, DC) else { panic!("all are there") };
        assert_eq!(agreed.servers().keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn it_initialises_only_when_all_have_agreed_to_the_same_set() {
        let agreed = agreement(&[1, 2, 3]);
        let digest = agreed.digest();
        let with = |two: &str, three: &str| {
            let tags = |digest: &str| vec![(AGREED, digest.to_string())];
            [server(1, 3, &tags(&digest)), server(2, 3, &tags(two)), server(3, 3, &tags(three))]
        };
        let other = agreement(&[2, 3, 4]).digest();
        assert_eq!(next(1, 3, Some(&agreed), &with(&digest, ""), DC), Step::Wait);
        assert_eq!(next(1, 3, Some(&agreed), &with(&digest, &other), DC), Step::Wait);
        let all = with(&digest, &digest);
        assert_eq!(next(1, 3, Some(&agreed), &all, DC), Step::Initialise(agreed.servers().clone()));
    }

    #[test]
    fn an_agreement_is_never_changed_for_another_set() {
        let agreed = agreement(&[2, 3, 4]);
        let members: Vec<Member> = (1..=4).map(|id| server(id, 3, &[])).collect();
        assert_eq!(next(2, 3, Some(&agreed), &members, DC), Step::Wait);
    }

    #[test]
    fn nobody_forms_beside_a_cluster_that_is_there() {
        let mut members: Vec<Member> = (1..=3).map(|id| server(id, 3, &[])).collect();
        members[2].tags.insert(FORMED.into(), "1".into());
        assert_eq!(next(1, 3, None, &members, DC), Step::Wait);
        assert_eq!(next(1, 3, Some(&agreement(&[1, 2, 4])), &members, DC), Step::Wait);
        members[2].status = MemberStatus::Failed;
        assert_eq!(next(1, 3, None, &members, DC), Step::Wait);
    }

    #[test]
    fn the_first_to_initialise_may_die() {
        let agreed = agreement(&[1, 2, 3]);
        let mut members: Vec<Member> = (1..=3).map(|id| server(id, 3, &[(AGREED, agreed.digest())])).collect();
        members[2].tags.insert(FORMED.into(), "1".into());
        members[2].status = MemberStatus::Failed;
        assert_eq!(next(1, 3, Some(&agreed), &members, DC), Step::Initialise(agreed.servers().clone()));
        // It has formed another set, or was added to a cluster that was there.
        members[2].tags.remove(AGREED);
        assert_eq!(next(1, 3, Some(&agreed), &members, DC), Step::Wait);
    }

    #[test]
    fn others_do_not_count() {
        let mut members: Vec<Member> = (1..=3).map(|id| server(id, 3, &[])).collect();
        for (tag, value) in [("dc", "dc2"), ("role", "node"), (EXPECT, "5")] {
            let kept = members[2].tags.insert(tag.into(), value.into()).unwrap();
            assert_eq!(next(1, 3, None, &members, DC), Step::Wait, "{tag}={value}");
            members[2].tags.insert(tag.into(), kept);
        }
        assert!(matches!(next(1, 3, None, &members, DC), Step::Agree(_)));
    }

    #[test]
    fn an_agreement_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Agreement::load(dir.path()).unwrap(), None);
        let agreed = agreement(&[1, 2, 3]);
        agreed.save(dir.path()).unwrap();
        assert_eq!(Agreement::load(dir.path()).unwrap(), Some(agreed));
        fs::write(dir.path().join("agreed.json"), "{").unwrap();
        assert!(Agreement::load(dir.path()).is_err());
    }
}
