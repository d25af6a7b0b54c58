//! Changes of the servers that an operator wants, and the removal of those that are gone for good.
//!
//! One wrong command must not cost the cluster its quorum: none that would leave fewer voters alive than have to agree
//! is done, and alive is who has answered since the command came: one that died a moment ago does not count. Pure, but
//! for [`change`], which does what was found to be safe.

use std::time::{Duration, Instant};

use lictor_shared::{
    backend::{ServerName, ServerReport, ServersChange, ServersReport},
    forward::AskError,
    gossip::{Member, MemberStatus},
    model::{Autopilot, Time},
    node::tags,
};
use uuid::Uuid;

use crate::raft::{MembershipError, RaftNode, ServerInfo, TransferError};

/// How long servers are waited for to answer once more, before a change counts on them.
const CONFIRM_LIMIT: Duration = Duration::from_secs(3);
const CONFIRM_PAUSE: Duration = Duration::from_millis(50);
/// A server has not yet failed that has answered the leader within this time.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// How long a server must have been gone before it is removed, where that makes the others bear no more failures. Long
/// enough for a host to restart: until then its vote is of use.
const DEAD_AFTER: Duration = Duration::from_secs(10 * 60);

/// Does what an operator wants, if it leads.
///
/// # Errors
/// [`AskError`]; `Rejected` says why it is not done.
pub async fn change(raft: &RaftNode, change: &ServersChange) -> Result<(), AskError> {
    let leader = || raft.leader().map(|(_, address)| address.rpc);
    if !raft.is_leader() {
        return Err(AskError::NotLeader { leader: leader() });
    }
    let servers = raft.servers();
    match change {
        ServersChange::TransferLeader(to) => {
            let to = to.as_ref().map(|name| find(&servers, name)).transpose().map_err(AskError::Rejected)?;
            if let Some(to) = to {
                confirmed(raft, |report, within| may_lead(to, report, within)).await?;
            }
            raft.transfer_leadership(to.map(|to| to.raft_id)).await.map_err(|error| match error {
                TransferError::NotLeader => AskError::NotLeader { leader: leader() },
                TransferError::NoTarget => AskError::Rejected(error.to_string()),
                TransferError::TimedOut(_) | TransferError::Stopped(_) => AskError::Unknown(error.to_string()),
            })
        }
        ServersChange::Remove(name) => {
            let server = find(&servers, name).map_err(AskError::Rejected)?;
            confirmed(raft, |report, within| may_go(server.address.node_id, report, within)).await?;
            tracing::info!(server = %server.address.name, rpc = %server.address.rpc, "an operator removes a server");
            raft.remove_server(server.raft_id).await.map_err(|error| match error {
                MembershipError::NotLeader { .. } => AskError::NotLeader { leader: leader() },
                MembershipError::InProgress | MembershipError::Refused(_) => AskError::Rejected(error.to_string()),
                MembershipError::TimedOut(_) | MembershipError::Stopped(_) => AskError::Unknown(error.to_string()),
            })
        }
    }
}

/// Waits until a change is found to be safe, by what servers have answered since now.
async fn confirmed(
    raft: &RaftNode,
    is_safe: impl Fn(&ServersReport, Duration) -> Result<(), String>,
) -> Result<(), AskError> {
    let begun = Instant::now();
    let report = || raft.report().ok_or(AskError::NotLeader { leader: None });
    // What no answer would make safe is said at once.
    is_safe(&report()?, Duration::MAX).map_err(AskError::Rejected)?;
    loop {
        let report = report()?;
        let Err(reason) = is_safe(&report, begun.elapsed()) else { return Ok(()) };
        if begun.elapsed() >= CONFIRM_LIMIT {
            return Err(AskError::Rejected(reason));
        }
        tokio::time::sleep(CONFIRM_PAUSE).await;
    }
}

fn find<'a>(servers: &'a [ServerInfo], name: &ServerName) -> Result<&'a ServerInfo, String> {
    let is_it = |server: &&ServerInfo| match name {
        ServerName::Id(id) => server.address.node_id.to_string() == *id,
        ServerName::Address(address) => server.address.rpc == *address,
    };
    servers.iter().find(is_it).ok_or_else(|| format!("{name} was not found in the Raft configuration"))
}

fn may_lead(server: &ServerInfo, report: &ServersReport, within: Duration) -> Result<(), String> {
    let name = &server.address.name;
    if server.leader {
        return Err(format!("{name} is the leader already"));
    }
    if !server.voter {
        return Err(format!("{name} does not vote, and cannot lead"));
    }
    let found = report.servers.iter().find(|found| found.node_id == server.address.node_id);
    if found.is_some_and(|found| is_alive(found, within)) {
        Ok(())
    } else {
        Err(format!("{name} does not answer the leader, and cannot take over"))
    }
}

/// Whether the others get on without this one. Those count that have answered within that time.
fn may_go(id: Uuid, report: &ServersReport, within: Duration) -> Result<(), String> {
    let Some(server) = report.servers.iter().find(|server| server.node_id == id) else { return Ok(()) };
    let name = &server.name;
    if server.leader {
        return Err(format!("{name} is the leader: transfer the leadership to another server first"));
    }
    if !server.voter {
        return Ok(());
    }
    let (alive, voters) = without(id, report, within);
    if alive >= quorum(voters) {
        return Ok(());
    }
    Err(format!(
        "without {name}, {alive} of {voters} voting servers would be alive, fewer than the {} that have to agree: \
         the cluster would stand still; start another server first",
        quorum(voters)
    ))
}

/// The voters that are alive, and all voters, without this one.
fn without(id: Uuid, report: &ServersReport, within: Duration) -> (usize, usize) {
    let others = report.servers.iter().filter(|server| server.voter && server.node_id != id);
    (others.clone().filter(|server| is_alive(server, within)).count(), others.count())
}

fn is_alive(server: &ServerReport, within: Duration) -> bool {
    server.leader || server.last_contact.is_some_and(|contact| contact <= within)
}

fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

/// The server to remove, if any: one that the pool says has failed, where the others get on without it, no fewer
/// voters are left than [`Autopilot::min_quorum`], and either they bear more failures then, or it has been gone for
/// ten minutes.
#[must_use]
pub fn dead(report: &ServersReport, members: &[Member], autopilot: &Autopilot, now: Time) -> Option<Uuid> {
    if !autopilot.cleanup_dead_servers {
        return None;
    }
    let failed = |server: &&ServerReport| {
        let member = members.iter().find(|member| tags::id(member) == Some(server.node_id));
        // One that the pool has never met, or met under another ID, may be on its way.
        member.is_some_and(|member| member.status == MemberStatus::Failed) && !is_alive(server, ANSWERS_WITHIN)
    };
    let goes = |server: &&ServerReport| {
        let (alive, voters) = without(server.node_id, report, ANSWERS_WITHIN);
        if !server.voter {
            return gone_for(server, now) >= DEAD_AFTER;
        }
        let tolerates = |voters: usize| alive.checked_sub(quorum(voters));
        let others_get_on = tolerates(voters).is_some() && voters >= autopilot.min_quorum as usize;
        others_get_on && (tolerates(voters) > tolerates(voters + 1) || gone_for(server, now) >= DEAD_AFTER)
    };
    report.servers.iter().filter(failed).find(goes).map(|server| server.node_id)
}

fn gone_for(server: &ServerReport, now: Time) -> Duration {
    Duration::from_millis(now.0.saturating_sub(server.stable_since.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_700_000_000_000);

    /// Servers 1 (which leads), 2, ...: whether each answers.
    fn report(answers: &[bool]) -> ServersReport {
        let server = |(number, answers): (usize, &bool)| ServerReport {
            name: format!("s{}", number + 1).as_str().into(),
            node_id: Uuid::from_u128(number as u128 + 1),
            voter: true,
            leader: number == 0,
            last_contact: answers.then_some(Duration::ZERO),
            stable_since: NOW,
            ..ServerReport::default()
        };
        ServersReport { servers: answers.iter().enumerate().map(server).collect(), ..ServersReport::default() }
    }

    fn members(answers: &[bool]) -> Vec<Member> {
        let member = |(number, answers): (usize, &bool)| Member {
            name: format!("s{}", number + 1),
            address: ([127, 0, 0, 1], 8301).into(),
            tags: [("id".to_string(), Uuid::from_u128(number as u128 + 1).to_string())].into(),
            status: if *answers { MemberStatus::Alive } else { MemberStatus::Failed },
            incarnation: 1,
        };
        answers.iter().enumerate().map(member).collect()
    }

    #[test]
    fn no_server_goes_whose_vote_is_needed() {
        for (answers, gone, goes) in [
            (&[true, true, true][..], 2, Ok(())),
            (&[true, true, false], 3, Ok(())),
            (&[true, true, false], 2, Err("1 of 2 voting servers would be alive, fewer than the 2")),
            (&[true, false], 2, Ok(())),
            (&[true, true, true], 1, Err("is the leader")),
            (&[true], 1, Err("is the leader")),
            (&[true, true, false, false, true], 2, Err("2 of 4 voting servers would be alive, fewer than the 3")),
        ] {
            let found = may_go(Uuid::from_u128(gone), &report(answers), Duration::ZERO);
            match goes {
                Ok(()) => assert_eq!(found, Ok(()), "{answers:?} without {gone}"),
                Err(reason) => assert!(found.unwrap_err().contains(reason), "{answers:?} without {gone}"),
            }
        }
    }

    #[test]
    fn a_dead_server_is_removed_when_that_helps_or_it_is_gone_for_long() {
        let (long, keeps) = (DEAD_AFTER, Autopilot { cleanup_dead_servers: false, ..Autopilot::default() });
        let default = Autopilot::default();
        let wants_three = Autopilot { min_quorum: 3, ..Autopilot::default() };
        for (answers, autopilot, gone_for, removed) in [
            (&[true, true, false][..], &default, Duration::ZERO, None),
            (&[true, true, false], &default, long, Some(3)),
            (&[true, true, false], &wants_three, long, None),
            (&[true, true, false], &keeps, long, None),
            (&[true, true, true, false], &default, Duration::ZERO, Some(4)),
            (&[true, true, true, false], &wants_three, Duration::ZERO, Some(4)),
            (&[true, true, true, false, false], &default, Duration::ZERO, None),
            (&[true, true, true, false, false], &default, long, Some(4)),
            (&[true, false], &default, long, Some(2)),
            (&[true, true, true], &default, long, None),
        ] {
            let now = Time(NOW.0 + u64::try_from(gone_for.as_millis()).unwrap());
            let found = dead(&report(answers), &members(answers), autopilot, now);
            assert_eq!(found, removed.map(Uuid::from_u128), "{answers:?} {gone_for:?}");
        }
        let mut unmet = members(&[true, true, false]);
        unmet.pop();
        assert_eq!(dead(&report(&[true, true, false]), &unmet, &default, Time(u64::MAX)), None);
    }
}
