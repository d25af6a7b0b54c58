//! What a Raft node is started with, and how it becomes openraft's configuration.

use std::{path::PathBuf, sync::Arc, time::Duration};

use lictor_shared::tls::Tls;
use openraft::{Config, ConfigError, SnapshotPolicy};

use crate::raft::ServerAddress;

/// At a multiplier of 1: how often a leader says that it is there.
const HEARTBEAT_MS: u64 = 100;
/// At a multiplier of 1: how long a follower's word holds that it will elect nobody else, and a leader's lease with
/// it. As many heartbeats as fit into an ordinary stall of a disk or a scheduler.
const LEASE_MS: u64 = 800;
/// At a multiplier of 1: how long a follower then waits at least before it stands for election; at most a second
/// lease. All together 1.2 to 1.6 seconds of silence: no election from an fsync, writes again within two seconds.
const ELECTION_MS: u64 = 400;
/// At a multiplier of 1: the longest that one replication request may take.
const APPEND_MS: u64 = 1000;
/// Entries in one replication request, at most; their bytes are bounded by the log.
const REQUEST_ENTRIES: u64 = 1024;
/// Delays between two tries to reach a peer that is not there.
const BACKOFF: &str = "50ms 100ms 200ms ..500ms";

/// How a Raft node is set up.
#[derive(Clone, Debug)]
pub struct RaftSettings {
    /// The data directory, taken with [`DataDir`](crate::raft::data_dir::DataDir); none: nothing is kept on disk.
    pub data_dir: Option<PathBuf>,
    /// This server's ID in Raft: the data directory's, or a random one where there is none. Never a used one.
    pub raft_id: u64,
    /// This server, as the others are to know it.
    pub server: ServerAddress,
    /// Multiplies all times: Consul's `performance.raft_multiplier`, 1 to 10.
    pub raft_multiplier: u32,
    /// A snapshot is made after so many log entries.
    pub snapshot_entries: u64,
    /// So many entries are kept before a snapshot, for followers that are a little behind.
    pub kept_entries: u64,
    /// How the others are asked.
    pub tls: Arc<Tls>,
    /// The datacenter of all of them.
    pub datacenter: String,
    /// How long a proposal waits to be applied before its outcome is given up as unknown.
    pub propose_limit: Duration,
}

impl RaftSettings {
    /// The defaults: nothing on disk.
    #[must_use]
    pub fn new(raft_id: u64, server: ServerAddress) -> Self {
        Self {
            data_dir: None,
            raft_id,
            server,
            raft_multiplier: 1,
            snapshot_entries: 16_384,
            kept_entries: 4096,
            tls: Arc::default(),
            datacenter: String::new(),
            propose_limit: Duration::from_secs(10),
        }
    }

    fn times(&self, ms: u64) -> u64 {
        ms * u64::from(self.raft_multiplier.clamp(1, 10))
    }

    /// The longest that one replication request may take.
    pub(in crate::raft) fn append_limit(&self) -> Duration {
        Duration::from_millis(self.times(APPEND_MS))
    }

    /// How often leadership is looked at.
    pub(super) fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.times(HEARTBEAT_MS))
    }

    /// After so long without confirmation by a majority, this server no longer leads.
    pub(super) fn lease(&self) -> Duration {
        Duration::from_millis(self.times(LEASE_MS))
    }

    /// After so long without a word from the leader there is none: an election is on.
    pub(super) fn leader_limit(&self) -> Duration {
        2 * self.lease()
    }

    pub(super) fn config(&self) -> Result<Config, ConfigError> {
        Config {
            cluster_name: "lictor".into(),
            heartbeat_interval: self.times(HEARTBEAT_MS),
            election_timeout_min: self.times(ELECTION_MS),
            election_timeout_max: self.times(LEASE_MS),
            enable_pre_vote: Some(true),
            // A leader that restarts must be elected anew. Taken back at once, it would lead the same term with a commit
            // mark that may be behind what it had acknowledged (its reads would miss that), and perhaps without entries
            // that only the others had on disk.
            enable_leader_restore: Some(false),
            max_payload_entries: REQUEST_ENTRIES,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_entries),
            max_in_snapshot_log_to_keep: self.kept_entries,
            purge_batch_size: (self.kept_entries / 4).max(1),
            replication_lag_threshold: self.snapshot_entries + self.kept_entries,
            install_snapshot_timeout: self.times(LEASE_MS),
            backoff: BACKOFF.into(),
            ..Config::default()
        }
        .validate()
    }
}
