//! What a node tells the pool about itself, and what is read from a member: Consul's tags, and Lictor's own, whose
//! names begin with `_` and which no interface shows.

use std::{collections::BTreeMap, net::SocketAddr};

use uuid::Uuid;

use crate::gossip::Member;

/// The release of Consul whose interfaces are spoken: clients look at it before they use a feature.
pub const API_LEVEL: &str = "1.10.12";
/// The tag that says what a member is.
const ROLE: &str = "role";
/// A server, in Consul's word.
const SERVER: &str = "consul";
/// A sidecar, in Consul's word.
const CLIENT: &str = "node";

/// The tag of a server that says where it is in the WAN pool.
pub(super) const WAN_PORT: &str = "wan_join_port";

/// Whether the node has access control: `0` or `1`.
pub(super) const ACCESS_CONTROL: &str = "acls";

/// The tags of a node without access control. `server` holds the RPC port and the WAN pool's port of a server.
#[must_use]
pub fn own(datacenter: &str, id: Uuid, server: Option<(u16, u16)>) -> BTreeMap<String, String> {
    let role = if server.is_some() { SERVER } else { CLIENT };
    let build = format!("{API_LEVEL}:lictor-{}", env!("CARGO_PKG_VERSION"));
    let id = id.to_string();
    let all = [
        (ROLE, role),
        (ACCESS_CONTROL, "0"),
        ("build", &build),
        ("dc", datacenter),
        ("id", &id),
        ("segment", ""),
        ("vsn", "2"),
        ("vsn_max", "3"),
        ("vsn_min", "2"),
    ];
    let mut tags: BTreeMap<String, String> = all.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
    if let Some((rpc, wan)) = server {
        let more = [
            ("port", rpc.to_string()),
            ("raft_vsn", "3".into()),
            ("ft_fs", "1".into()),
            ("ft_si", "1".into()),
            (WAN_PORT, wan.to_string()),
        ];
        tags.extend(more.into_iter().map(|(k, v)| (k.to_string(), v)));
    }
    tags
}

/// Whether a tag is for Lictor's nodes only.
#[must_use]
pub fn is_internal(tag: &str) -> bool {
    tag.starts_with('_')
}

/// Whether the member belongs to that datacenter.
#[must_use]
pub fn is_of(member: &Member, datacenter: &str) -> bool {
    self::datacenter(member) == Some(datacenter)
}

/// The datacenter of a member, as it says.
#[must_use]
pub fn datacenter(member: &Member) -> Option<&str> {
    member.tags.get("dc").map(String::as_str)
}

/// The RPC address of a member that is a server of that datacenter.
#[must_use]
pub fn server_address(member: &Member, datacenter: &str) -> Option<SocketAddr> {
    if member.tags.get(ROLE).map(String::as_str) != Some(SERVER) || !is_of(member, datacenter) {
        return None;
    }
    let port = member.tags.get("port")?.parse().ok()?;
    Some(SocketAddr::new(member.address.ip(), port))
}

/// The API level and the release of a member, without Lictor's own.
#[must_use]
pub fn version(member: &Member) -> &str {
    member.tags.get("build").map_or("", |build| build.split(':').next().unwrap_or(build))
}

/// The node ID of a member.
#[must_use]
pub fn id(member: &Member) -> Option<Uuid> {
    member.tags.get("id").and_then(|id| Uuid::parse_str(id).ok())
}
