//! Brings the servers of this datacenter into the WAN pool: each server joins there the others that it sees in the LAN
//! pool. So to join one server of a datacenter joins them all, and whoever restarts without an address to join is back.
//!
//! A server says in the LAN pool at which port it is in the other ([`tags::WAN_PORT`]). It is looked for at its LAN
//! address, as in Consul.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    net::SocketAddr,
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::tags;
use crate::{
    gossip::{Member, MemberStatus, Pool},
    tasks::Tasks,
};

/// Between two looks, however often the pools change.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
/// Before a server that could not be brought in is tried again; each time twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long the two pools may differ on who is in this datacenter. One learns later than the other.
const DIFFERENCE_LIMIT: Duration = Duration::from_secs(10);

/// Starts to, on a server that is in both pools.
pub(super) fn start(datacenter: String, lan: Pool, wan: Pool, tasks: &Tasks) {
    let stopping = tasks.stopping();
    let mut flood = Flood { datacenter, lan, wan, told: BTreeSet::new(), strangers: BTreeMap::new() };
    tasks.spawn("WAN flooding", async move {
        let (mut lan, mut wan) = (flood.lan.changes(), flood.wan.changes());
        let mut pause = FIRST_PAUSE;
        loop {
            lan.borrow_and_update();
            wan.borrow_and_update();
            let Some(complete) = stopping.run_until_cancelled(flood.round()).await else {
                return Ok::<(), Infallible>(());
            };
            pause = if complete { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            let look_again = if complete { LONGEST_PAUSE } else { pause };
            tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                () = sleep(SHORTEST_PAUSE) => {}
            }
            tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                () = sleep(look_again) => {}
                changed = lan.changed() => if changed.is_err() { return Ok(()) },
                changed = wan.changed() => if changed.is_err() { return Ok(()) },
            }
        }
    });
}

struct Flood {
    datacenter: String,
    lan: Pool,
    wan: Pool,
    /// Servers of which the log says already that they cannot be brought in.
    told: BTreeSet<String>,
    /// Members of the WAN pool that claim this datacenter's name and are not in its LAN pool; since when, and `None`
    /// once the log says it.
    strangers: BTreeMap<String, Option<Instant>>,
}

impl Flood {
    /// Joins those that are missing. Whether nobody is missing any more.
    async fn round(&mut self) -> bool {
        let (lan, wan) = (self.lan.members(), self.wan.members());
        self.look_for_strangers(&lan, &wan);
        let missing = missing(&lan, &wan, &self.datacenter);
        self.told.retain(|name| missing.contains_key(name));
        let mut complete = true;
        for (server, address) in missing {
            let Err(error) = self.wan.join(&[address]).await else { continue };
            complete = false;
            let error = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
            if self.told.insert(server.clone()) {
                tracing::warn!(server, %error, "a server of this datacenter is not in the WAN pool; it is tried again");
            }
        }
        complete
    }

    fn look_for_strangers(&mut self, lan: &[Member], wan: &[Member]) {
        let found = strangers(lan, wan, &self.datacenter);
        self.strangers.retain(|name, _| found.contains_key(name.as_str()));
        for (name, address) in found {
            let since = self.strangers.entry(name.to_owned()).or_insert_with(|| Some(Instant::now()));
            if since.is_some_and(|since| since.elapsed() >= DIFFERENCE_LIMIT) {
                *since = None;
                let datacenter = &self.datacenter;
                tracing::warn!(
                    member = name, %address, datacenter,
                    "a member of the WAN pool says that it is of this datacenter, and is not in its LAN pool: \
                     either it is to join the LAN pool, or two datacenters have the same name (-datacenter)"
                );
            }
        }
    }
}

/// The servers of the LAN pool that are not in the WAN pool, with their addresses there.
fn missing(lan: &[Member], wan: &[Member], datacenter: &str) -> BTreeMap<String, SocketAddr> {
    let alive = |member: &&Member| member.status == MemberStatus::Alive;
    let there: BTreeSet<&str> = wan.iter().filter(alive).map(|member| member.name.as_str()).collect();
    let servers = lan.iter().filter(alive).filter_map(|member| {
        tags::server_address(member, datacenter)?;
        let port: u16 = member.tags.get(tags::WAN_PORT)?.parse().ok().filter(|port| *port > 0)?;
        Some((format!("{}.{datacenter}", member.name), SocketAddr::new(member.address.ip(), port)))
    });
    servers.filter(|(name, _)| !there.contains(name.as_str())).collect()
}

fn strangers<'m>(lan: &[Member], wan: &'m [Member], datacenter: &str) -> BTreeMap<&'m str, SocketAddr> {
    let known: BTreeSet<String> = lan.iter().map(|member| format!("{}.{datacenter}", member.name)).collect();
    let ours = wan.iter().filter(|member| member.status == MemberStatus::Alive && tags::is_of(member, datacenter));
    let strangers = ours.filter(|member| !known.contains(&member.name));
    strangers.map(|member| (member.name.as_str(), member.address)).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn member(name: &str, tags: BTreeMap<String, String>, status: MemberStatus) -> Member {
        Member { name: name.into(), address: "10.0.0.1:8301".parse().unwrap(), tags, status, incarnation: 1 }
    }

    fn server(wan_port: u16) -> BTreeMap<String, String> {
        tags::own("dc1", Uuid::nil(), Some((8300, wan_port)))
    }

    #[test]
    fn living_servers_that_are_in_the_wan_pool_are_missing_in_it() {
        let alive = MemberStatus::Alive;
        let lan = [
            member("there", server(8302), alive),
            member("missing", server(8402), alive),
            member("failed-there", server(8302), alive),
            member("without-wan", server(0), alive),
            member("gone", server(8302), MemberStatus::Failed),
            member("sidecar", tags::own("dc1", Uuid::nil(), None), alive),
        ];
        let wan = [
            member("there.dc1", server(8302), alive),
            member("failed-there.dc1", server(8302), MemberStatus::Failed),
            member("missing.dc2", tags::own("dc2", Uuid::nil(), Some((8300, 8302))), alive),
        ];
        let missing: Vec<(String, u16)> =
            missing(&lan, &wan, "dc1").into_iter().map(|(name, address)| (name, address.port())).collect();
        assert_eq!(missing, [("failed-there.dc1".to_owned(), 8302), ("missing.dc1".to_owned(), 8402)]);
    }

    #[test]
    fn who_claims_our_name_and_is_not_ours_is_a_stranger() {
        let lan = [member("ours", server(8302), MemberStatus::Alive)];
        let wan = [
            member("ours.dc1", server(8302), MemberStatus::Alive),
            member("theirs.dc1", server(8302), MemberStatus::Alive),
            member("left.dc1", server(8302), MemberStatus::Left),
            member("far.dc2", tags::own("dc2", Uuid::nil(), Some((8300, 8302))), MemberStatus::Alive),
        ];
        assert_eq!(strangers(&lan, &wan, "dc1").into_keys().collect::<Vec<_>>(), ["theirs.dc1"]);
    }
}
