//! Which servers other datacenters have: those of the WAN pool.

use rand::seq::SliceRandom;

use crate::{
    gossip::{Member, MemberStatus, Pool},
    node::tags,
};

/// The most servers of a datacenter that one request tries: a cluster has a handful.
const MAX_SERVERS: usize = 7;

/// Says who is there at the moment.
pub(super) struct Directory {
    members: Box<dyn Fn() -> Vec<Member> + Send + Sync>,
}

impl Directory {
    /// The servers of that pool.
    pub fn of_pool(pool: Option<Pool>) -> Self {
        Self::new(move || pool.as_ref().map(Pool::members).unwrap_or_default())
    }

    /// The servers among these members.
    pub fn new(members: impl Fn() -> Vec<Member> + Send + Sync + 'static) -> Self {
        Self { members: Box::new(members) }
    }

    /// The RPC addresses of a datacenter's servers, those that are alive first, else in an order that is drawn. One that
    /// failed may be back before the pool knows; one that left is not asked.
    pub fn servers(&self, datacenter: &str) -> Vec<String> {
        let members = (self.members)();
        let of_status = |status| {
            let servers = members.iter().filter(move |member| member.status == status);
            let mut found: Vec<String> = servers
                .filter(|member| tags::datacenter(member).is_some_and(|name| name.eq_ignore_ascii_case(datacenter)))
                .filter_map(|member| Some(tags::server_address(member, tags::datacenter(member)?)?.to_string()))
                .collect();
            found.shuffle(&mut rand::rng());
            found
        };
        let mut servers = of_status(MemberStatus::Alive);
        servers.extend(of_status(MemberStatus::Failed));
        servers.truncate(MAX_SERVERS);
        servers
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn servers_of_a_datacenter_the_living_first() {
        let member = |name: &str, datacenter: &str, port, status| Member {
            name: format!("{name}.{datacenter}"),
            address: "10.0.0.1:8302".parse().unwrap(),
            tags: tags::own(datacenter, Uuid::nil(), Some((port, 8302))),
            status,
            incarnation: 1,
        };
        let members = vec![
            member("a", "dc2", 1, MemberStatus::Failed),
            member("b", "dc2", 2, MemberStatus::Alive),
            member("c", "dc2", 3, MemberStatus::Left),
            member("d", "dc3", 4, MemberStatus::Alive),
        ];
        let directory = Directory::new(move || members.clone());
        assert_eq!(directory.servers("DC2"), ["10.0.0.1:2", "10.0.0.1:1"]);
        assert!(directory.servers("dc4").is_empty());
    }
}
