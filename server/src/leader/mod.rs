//! What one server does for all: forms the cluster, and as the leader keeps the catalog and the set of servers in step
//! with the LAN pool.
//!
//! One task on every server. It looks at the pool when a member changes, when leadership changes, and every
//! five seconds; it acts only as the leader, except for forming the cluster. All it proposes is idempotent, so that
//! two leaders in a row may say the same.

pub mod access;
pub mod formation;
pub mod reaper;
pub mod reconcile;
pub mod replication;
pub mod servers;
pub mod sessions;
#[cfg(test)]
mod testing;
pub mod witness;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::PathBuf,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use lictor_shared::{
    backend::Consistency,
    command::{Command, Outcome},
    config::Acl,
    gossip::{Member, MemberStatus, Pool},
    model::{Autopilot, Index, Key, NodeName, Time},
    node::tags,
    tasks::Tasks,
    view::Reader,
};
use tokio::{
    sync::watch,
    time::{Instant as Deadline, timeout},
};

use self::{
    formation::{Agreement, Step},
    reconcile::Unmet,
    witness::{Brake, Witness},
};
use crate::raft::{BootstrapError, MembershipError, RaftNode, ServerAddress, ServerInfo};

/// The longest time between two looks at the pool.
const FULL_PASS: Duration = Duration::from_secs(5);
/// The same while somebody is in doubt: nothing tells when a watch stream ends elsewhere.
const DOUBTFUL_PASS: Duration = Duration::from_secs(1);
/// Changes of the pool within this time are dealt with together.
const GATHER: Duration = Duration::from_millis(20);
/// Commands proposed at once, so that they share a commit.
const PROPOSALS_AT_ONCE: usize = 64;
/// How long one pass waits for a server to catch up or for a change of the set to be agreed on; the next pass goes on
/// with it. Nobody's failure is overlooked because another server cannot be reached.
const SERVER_CHANGE: Duration = Duration::from_secs(1);
/// How long an agreement may wait for the others before the operator is told.
const AGREEMENT_PATIENCE: Duration = Duration::from_secs(30);

/// What the duties need to know of their server.
pub struct Duties {
    /// Its Raft ID.
    pub raft_id: u64,
    /// How the others reach it.
    pub address: ServerAddress,
    /// How many servers form the cluster; 0: wait to be added to one.
    pub expect: usize,
    /// Where an agreement is kept; none in `-dev`.
    pub data_dir: Option<PathBuf>,
    /// Its datacenter.
    pub datacenter: String,
    /// Its tags in the pool, without those of formation.
    pub tags: BTreeMap<String, String>,
    /// The LAN pool.
    pub pool: Pool,
    /// Its Raft node.
    pub raft: RaftNode,
    /// Its view.
    pub reader: Reader,
    /// Who is seen to be alive by the streams that hosts hold.
    pub witness: Witness,
    /// The share of all nodes that may turn critical at once; 1: all.
    pub failing_nodes_share: f64,
    /// What is set about access control.
    pub acl: Acl,
}

impl Duties {
    /// Starts the task.
    ///
    /// # Errors
    /// When an agreement is kept in the data directory and cannot be read.
    pub fn start(self, tasks: &Tasks) -> std::io::Result<()> {
        let agreed = match &self.data_dir {
            Some(dir) => Agreement::load(dir)?,
            None => None,
        };
        let agreed_at = agreed.as_ref().map(|_| Instant::now());
        let unmet = Unmet::default();
        let run = Run {
            duties: self,
            agreed,
            agreed_at,
            formed: false,
            unmet,
            shown: None,
            brake: Brake::default(),
            doubts: false,
        };
        let stopping = tasks.stopping();
        tasks.spawn("leader's duties", async move {
            tokio::select! {
                () = stopping.cancelled() => Ok(()),
                error = run.run() => Err(error),
            }
        });
        Ok(())
    }
}

struct Run {
    duties: Duties,
    agreed: Option<Agreement>,
    /// Since when the others of the agreement are waited for, until that is logged.
    agreed_at: Option<Instant>,
    formed: bool,
    unmet: Unmet,
    shown: Option<BTreeMap<String, String>>,
    brake: Brake,
    /// Somebody failed by the word of the pool and has not turned critical.
    doubts: bool,
}

impl Run {
    /// Ends only with an error.
    async fn run(mut self) -> String {
        let mut members = self.duties.pool.changes();
        let mut leadership = self.duties.raft.leadership();
        loop {
            self.find_servers();
            if !self.formed
                && let Err(error) = self.form().await
            {
                return error;
            }
            self.show_tags();
            if self.duties.raft.is_leader() {
                self.lead().await;
            } else {
                self.unmet.clear();
                self.doubts = false;
                // They are what a leader says.
                witness::note_no_leader();
            }
            let pause = if self.doubts { DOUBTFUL_PASS } else { FULL_PASS };
            if !next_change(&mut members, &mut leadership, pause).await {
                return "the pool or Raft has stopped".into();
            }
        }
    }

    /// Tells Raft where the servers are now, which may be elsewhere than where the log has them.
    fn find_servers(&self) {
        let members = self.duties.pool.members();
        let alive = members.iter().filter(|member| member.status == MemberStatus::Alive);
        let found = alive.filter_map(|member| {
            let rpc = tags::server_address(member, &self.duties.datacenter)?;
            Some((formation::raft_id(member)?, rpc.to_string()))
        });
        self.duties.raft.found(found.collect());
    }

    /// Tells the pool where this server stands in forming a cluster.
    fn show_tags(&mut self) {
        let mut tags = self.duties.tags.clone();
        tags.insert(formation::RAFT_ID.into(), format!("{:016x}", self.duties.raft_id));
        if self.formed {
            tags.insert(formation::FORMED.into(), "1".into());
        } else {
            tags.insert(formation::EXPECT.into(), self.duties.expect.to_string());
        }
        if let Some(agreed) = self.agreed.as_ref().filter(|agreed| !self.formed || self.is_the_cluster(agreed)) {
            tags.insert(formation::AGREED.into(), agreed.digest());
        }
        if self.shown.as_ref() != Some(&tags) {
            if let Err(error) = self.duties.pool.set_tags(tags.clone()) {
                tracing::error!(%error, "this server cannot tell the pool about itself");
            }
            self.shown = Some(tags);
        }
    }

    /// Whether the servers are those of the agreement, as far as this one has heard: another cluster may have taken it in.
    fn is_the_cluster(&self, agreed: &Agreement) -> bool {
        let servers: BTreeSet<u64> = self.duties.raft.servers().iter().map(|server| server.raft_id).collect();
        servers.is_empty() || servers.iter().eq(agreed.servers().keys())
    }

    async fn form(&mut self) -> Result<(), String> {
        let duties = &self.duties;
        self.formed = duties.raft.is_initialized().await.map_err(|error| error.to_string())?;
        if self.formed {
            return Ok(());
        }
        let step = if duties.expect == 1 {
            Step::Initialise(Agreement::alone(duties.raft_id, duties.address.clone()).servers().clone())
        } else {
            let members = duties.pool.members();
            formation::next(duties.raft_id, duties.expect, self.agreed.as_ref(), &members, &duties.datacenter)
        };
        match step {
            Step::Wait => self.wait_for_the_agreed(),
            Step::Agree(agreement) => {
                if let Some(dir) = &duties.data_dir {
                    agreement
                        .save(dir)
                        .map_err(|error| format!("{}: cannot keep agreed.json: {error}", dir.display()))?;
                }
                tracing::info!(servers = %names(&agreement), "agreed to form a cluster");
                (self.agreed, self.agreed_at) = (Some(agreement), Some(Instant::now()));
            }
            Step::Initialise(servers) => {
                match duties.raft.bootstrap(servers).await {
                    // Another of them was quicker, and has asked this one for its vote meanwhile.
                    Ok(()) | Err(BootstrapError::AlreadyInitialized) => tracing::info!("formed the cluster"),
                    Err(error) => return Err(error.to_string()),
                }
                self.formed = true;
            }
        }
        Ok(())
    }

    /// An agreement is never given up by itself; when that takes long, the operator has to know whom it is with.
    fn wait_for_the_agreed(&mut self) {
        let patience_is_over = self.agreed_at.is_some_and(|since| since.elapsed() >= AGREEMENT_PATIENCE);
        if let Some(agreed) = self.agreed.as_ref().filter(|_| patience_is_over) {
            self.agreed_at = None;
            tracing::warn!(
                servers = %names(agreed),
                "these servers agreed to form a cluster, and not all of them show it yet: start all, each with its \
                 data directory; if one of those is lost and no cluster was formed, stop all and remove agreed.json \
                 from each of the others"
            );
        }
    }

    async fn lead(&mut self) {
        // What an earlier leader has committed must be in the view before it is compared with the pool.
        let Ok(index) = self.duties.raft.read_index(Consistency::Quorum).await else { return };
        self.duties.reader.reach(index).await;
        let members = self.duties.pool.members();
        let lost = self.unmet.look(&members, &self.duties.reader.base(), Instant::now());
        let may_fail = self.may_fail(&members, &lost).await;
        let may_fail = |node: &str| may_fail.contains(&Key::new(node));
        let duties = &self.duties;
        // The second look is for what the first has made possible: a name that is free for another node.
        for _ in 0..2 {
            let state = duties.reader.base();
            let mut commands = reconcile::commands(&members, &state, &duties.datacenter, &lost, &may_fail);
            commands.extend(reaper::commands(&state, Time::now()));
            commands.extend(access::commands(&state, &duties.acl, Time::now()));
            if state.autopilot().is_none() {
                let autopilot = Box::new(Autopilot::default());
                commands.push(Command::SetAutopilot { autopilot, expected: Some(Index(0)) });
            }
            if commands.is_empty() {
                break;
            }
            let proposals = stream::iter(commands);
            proposals.for_each_concurrent(PROPOSALS_AT_ONCE, |command| propose(&duties.raft, command)).await;
        }
        self.keep_servers(&members).await;
        self.remove_the_dead(&members).await;
    }

    /// The nodes that turn critical now: the pool calls them failed, no server holds their stream, and not too many do.
    async fn may_fail(&mut self, members: &[Member], lost: &[NodeName]) -> HashSet<Key> {
        let duties = &self.duties;
        let failing = reconcile::failing(members, &duties.reader.base(), &duties.datacenter, lost);
        let own = &duties.address.rpc;
        let alive = members.iter().filter(|member| member.status == MemberStatus::Alive);
        let servers = alive.filter_map(|member| tags::server_address(member, &duties.datacenter));
        let others: Vec<String> = servers.map(|rpc| rpc.to_string()).filter(|rpc| rpc != own).collect();
        let witnessed = if failing.is_empty() { HashSet::new() } else { duties.witness.alive(&failing, others).await };
        witness::note_witnessed(witnessed.len());
        if !witnessed.is_empty() && !self.doubts {
            tracing::warn!(nodes = ?witnessed, "gossip calls these failed, and they hold watch streams: not critical yet");
        }
        let unseen: Vec<Key> = failing.iter().map(NodeName::key).filter(|node| !witnessed.contains(node)).collect();
        let nodes = members.iter().filter(|member| tags::is_of(member, &duties.datacenter)).count();
        let allowed = self.brake.allow(unseen.len(), nodes, duties.failing_nodes_share, Instant::now());
        self.doubts = allowed < failing.len();
        unseen.into_iter().take(allowed).collect()
    }

    /// Removes a server that is gone for good, one in a pass.
    async fn remove_the_dead(&self, members: &[Member]) {
        let raft = &self.duties.raft;
        let Some(report) = raft.report() else { return };
        let autopilot = self.duties.reader.base().autopilot().cloned().unwrap_or_default();
        let Some(dead) = servers::dead(&report, members, &autopilot, Time::now()) else { return };
        let Some(server) = raft.servers().into_iter().find(|server| server.address.node_id == dead) else { return };
        let name = &server.address.name;
        match timeout(SERVER_CHANGE, raft.remove_server(server.raft_id)).await {
            Ok(Ok(())) => tracing::info!(server = %name, "removed a server that has failed (CleanupDeadServers)"),
            Ok(Err(error)) => tracing::warn!(server = %name, %error, "could not remove a server that has failed"),
            Err(_) => tracing::debug!(server = %name, "the removal of a server that has failed is not over yet"),
        }
    }

    /// Adds servers that have appeared, follows those that moved, removes those that left.
    async fn keep_servers(&self, members: &[Member]) {
        for member in members {
            let Ok(changed) = timeout(SERVER_CHANGE, self.keep_server(member)).await else {
                tracing::debug!(server = %member.name, "a change of the set of servers is not over yet");
                continue;
            };
            match changed {
                Ok(false) => {}
                Ok(true) => {
                    tracing::info!(server = %member.name, status = ?member.status, "changed the set of servers")
                }
                Err(error) => tracing::warn!(server = %member.name, %error, "could not change the set of servers"),
            }
        }
    }

    /// True when something had to be changed.
    async fn keep_server(&self, member: &Member) -> Result<bool, MembershipError> {
        let duties = &self.duties;
        let Some(rpc) = tags::server_address(member, &duties.datacenter) else { return Ok(false) };
        let Some(id) = formation::raft_id(member) else { return Ok(false) };
        let present = duties.raft.servers();
        let known = present.iter().find(|server| server.raft_id == id);
        let address = formation::address(member, rpc);
        match (member.status, known) {
            (MemberStatus::Alive, None) => {
                for former in former_lives(&present, &address, id) {
                    duties.raft.remove_server(former).await?;
                }
                duties.raft.add_server(id, address, true).await?;
            }
            // Its promotion was cut short: by the time it took to catch up, or by the end of a leader.
            (MemberStatus::Alive, Some(known)) if !known.voter => duties.raft.add_server(id, address, true).await?,
            (MemberStatus::Alive, Some(known)) if known.address.rpc != address.rpc => {
                duties.raft.update_server(id, address).await?;
            }
            (MemberStatus::Left, Some(_)) if id != duties.raft_id => duties.raft.remove_server(id).await?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// The servers of the set that had the name of the one that has appeared as `id`: names are unique in the pool, so
/// these have lost their data directories and will never be back. They would count for every majority.
fn former_lives(present: &[ServerInfo], address: &ServerAddress, id: u64) -> Vec<u64> {
    let same_name = present.iter().filter(|server| server.address.name.key() == address.name.key());
    same_name.map(|server| server.raft_id).filter(|former| *former != id).collect()
}

async fn propose(raft: &RaftNode, command: Command) {
    match raft.propose(command.clone()).await {
        Ok(written) => {
            if let Outcome::Refused(refusal) = written.outcome {
                tracing::warn!(%refusal, ?command, "a member does not fit into the catalog");
            }
        }
        Err(error) => tracing::debug!(%error, "could not bring the catalog up to date; it is tried again"),
    }
}

/// Waits for a change of the pool or of leadership, at most `pause`. False when either is gone for good.
async fn next_change(
    members: &mut watch::Receiver<u64>,
    leadership: &mut watch::Receiver<Option<u64>>,
    pause: Duration,
) -> bool {
    let changed = async {
        tokio::select! {
            changed = members.changed() => changed.is_ok(),
            changed = leadership.changed() => changed.is_ok(),
        }
    };
    match timeout(pause, changed).await {
        Err(_) => true,
        Ok(false) => false,
        Ok(true) => {
            tokio::time::sleep_until(Deadline::now() + GATHER).await;
            members.borrow_and_update();
            leadership.borrow_and_update();
            true
        }
    }
}

fn names(agreement: &Agreement) -> String {
    let names: Vec<&str> = agreement.servers().values().map(|server| server.name.as_str()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_former_life_is_one_of_the_same_name_and_another_id() {
        let address =
            |name: &str| ServerAddress { rpc: "127.0.0.1:8300".into(), node_id: Uuid::nil(), name: name.into() };
        let present = [(1, "one"), (2, "two"), (3, "Three")].map(|(raft_id, name)| ServerInfo {
            raft_id,
            address: address(name),
            voter: true,
            leader: raft_id == 1,
        });
        for (name, id, former) in [("three", 9, &[3][..]), ("three", 3, &[]), ("four", 4, &[])] {
            assert_eq!(former_lives(&present, &address(name), id), former, "{name} {id}");
        }
    }
}
