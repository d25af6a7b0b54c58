//! What one server does for all: forms the cluster, and as the leader keeps the catalog and the set of servers in step
//! with the LAN pool.
//!
//! One task on every server. It looks at the pool when a member changes, when leadership changes, and every
//! five seconds; it acts only as the leader, except for forming the cluster. All it proposes is idempotent, so that
//! two leaders in a row may say the same.

pub mod formation;
pub mod reconcile;
#[cfg(test)]
mod testing;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use lictor_shared::{
    backend::Consistency,
    command::{Command, Outcome},
    gossip::{Member, MemberStatus, Pool},
    node::tags,
    tasks::Tasks,
    view::Reader,
};
use tokio::{sync::watch, time::Instant as Deadline};

use self::{
    formation::{Agreement, Step},
    reconcile::Unmet,
};
use crate::raft::{RaftNode, ServerAddress};

/// The longest time between two looks at the pool.
const FULL_PASS: Duration = Duration::from_secs(5);
/// Changes of the pool within this time are dealt with together.
const GATHER: Duration = Duration::from_millis(20);
/// Commands proposed at once, so that they share a commit.
const PROPOSALS_AT_ONCE: usize = 64;

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
        let run = Run { duties: self, agreed, formed: false, unmet: Unmet::default(), shown: None };
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
    formed: bool,
    unmet: Unmet,
    shown: Option<BTreeMap<String, String>>,
}

impl Run {
    /// Ends only with an error.
    async fn run(mut self) -> String {
        let mut members = self.duties.pool.changes();
        let mut leadership = self.duties.raft.leadership();
        loop {
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
            }
            if !next_change(&mut members, &mut leadership).await {
                return "the pool or Raft has stopped".into();
            }
        }
    }

    /// Tells the pool where this server stands in forming a cluster.
    fn show_tags(&mut self) {
        let mut tags = self.duties.tags.clone();
        tags.insert(formation::RAFT_ID.into(), format!("{:016x}", self.duties.raft_id));
        if self.formed {
            tags.insert(formation::FORMED.into(), "1".into());
        } else {
            tags.insert(formation::EXPECT.into(), self.duties.expect.to_string());
            if let Some(agreed) = &self.agreed {
                tags.insert(formation::AGREED.into(), agreed.digest());
            }
        }
        if self.shown.as_ref() != Some(&tags) {
            if let Err(error) = self.duties.pool.set_tags(tags.clone()) {
                tracing::error!(%error, "this server cannot tell the pool about itself");
            }
            self.shown = Some(tags);
        }
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
            Step::Wait => {}
            Step::Agree(agreement) => {
                if let Some(dir) = &duties.data_dir {
                    agreement
                        .save(dir)
                        .map_err(|error| format!("{}: cannot keep agreed.json: {error}", dir.display()))?;
                }
                tracing::info!(servers = %names(&agreement), "agreed to form a cluster");
                self.agreed = Some(agreement);
            }
            Step::Initialise(servers) => {
                duties.raft.bootstrap(servers).await.map_err(|error| error.to_string())?;
                self.formed = true;
                tracing::info!("formed the cluster");
            }
        }
        Ok(())
    }

    async fn lead(&mut self) {
        let duties = &self.duties;
        // What an earlier leader has committed must be in the view before it is compared with the pool.
        let Ok(index) = duties.raft.read_index(Consistency::Quorum).await else { return };
        duties.reader.reach(index).await;
        let members = duties.pool.members();
        let state = duties.reader.load_full();
        let lost = self.unmet.look(&members, &state, Instant::now());
        let commands = reconcile::commands(&members, &state, &duties.datacenter, &lost);
        stream::iter(commands).for_each_concurrent(PROPOSALS_AT_ONCE, |command| propose(&duties.raft, command)).await;
        self.keep_servers(&members).await;
    }

    /// Adds servers that have appeared, follows those that moved, removes those that left.
    async fn keep_servers(&self, members: &[Member]) {
        let duties = &self.duties;
        let present = duties.raft.servers();
        for member in members {
            let Some(rpc) = tags::server_address(member, &duties.datacenter) else { continue };
            let Some(id) = formation::raft_id(member) else { continue };
            let known = present.iter().find(|server| server.raft_id == id);
            let address = formation::address(member, rpc);
            let changed = match (member.status, known) {
                (MemberStatus::Alive, None) => duties.raft.add_server(id, address, true).await,
                (MemberStatus::Alive, Some(known)) if known.address.rpc != address.rpc => {
                    duties.raft.update_server(id, address).await
                }
                (MemberStatus::Left, Some(_)) if id != duties.raft_id => duties.raft.remove_server(id).await,
                _ => continue,
            };
            match changed {
                Ok(()) => tracing::info!(server = %member.name, status = ?member.status, "changed the set of servers"),
                Err(error) => tracing::warn!(server = %member.name, %error, "could not change the set of servers"),
            }
        }
    }
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

/// Waits for a change of the pool or of leadership, at most [`FULL_PASS`]. False when either is gone for good.
async fn next_change(members: &mut watch::Receiver<u64>, leadership: &mut watch::Receiver<Option<u64>>) -> bool {
    let changed = async {
        tokio::select! {
            changed = members.changed() => changed.is_ok(),
            changed = leadership.changed() => changed.is_ok(),
        }
    };
    match tokio::time::timeout(FULL_PASS, changed).await {
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
