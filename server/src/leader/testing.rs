//! Members for the tests of this room.

use lictor_shared::gossip::{Member, MemberStatus};
use uuid::Uuid;

use super::formation::{EXPECT, RAFT_ID};

/// A server with that Raft ID that expects so many, with more tags.
pub fn server(raft_id: u64, expect: usize, tags: &[(&str, String)]) -> Member {
    let mut member = member(&format!("server-{raft_id}"), MemberStatus::Alive);
    let own = [
        ("role", "consul".to_string()),
        ("port", "8300".into()),
        ("build", "1.10.12:lictor".into()),
        (RAFT_ID, format!("{raft_id:016x}")),
        (EXPECT, expect.to_string()),
    ];
    member.tags.extend(own.iter().chain(tags).map(|(tag, value)| ((*tag).to_string(), value.clone())));
    member
}

/// A sidecar of datacenter `dc1`.
pub fn member(name: &str, status: MemberStatus) -> Member {
    let id = Uuid::from_u128(name.bytes().fold(0, |sum, byte| sum * 31 + u128::from(byte))).to_string();
    let tags = [("role", "node"), ("dc", "dc1"), ("id", &id)];
    Member {
        name: name.into(),
        address: "127.0.0.1:8301".parse().expect("an address"),
        tags: tags.into_iter().map(|(tag, value)| (tag.to_string(), value.to_string())).collect(),
        status,
        incarnation: 1,
    }
}
