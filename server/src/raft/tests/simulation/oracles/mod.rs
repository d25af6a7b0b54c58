//! What must never happen, whatever fails: a file for each rule. An oracle is told what was seen and keeps what is wrong.
//!
//! | file | rule |
//! |---|---|
//! | `linear` | what clients see of a key could have come of one copy that does one thing at a time |
//! | `lost` | what was acknowledged is there at the end, from the entry that was named |
//! | `applied` | a server applies each entry once, in order, and all come to the same at the same index |
//! | `leaders` | no two servers lead at once, and a leader's majority has its vote on the disk |
//! | `equal` | at the end all servers hold the same, to the byte |

mod applied;
mod equal;
mod leaders;
mod linear;
mod lost;

pub(super) use self::equal::bytes;
pub(super) fn remembered(
    server: usize,
    leader: &crate::raft::Vote,
    votes: &[Option<crate::raft::Vote>],
) -> Result<(), String> {
    Leaders::remembered(server, leader, votes)
}
use self::{applied::Applied, leaders::Leaders, linear::Linear, lost::Lost};

/// All of them.
pub(crate) struct Oracles {
    pub applied: Applied,
    pub leaders: Leaders,
    pub linear: Linear,
    pub lost: Lost,
    /// What is wrong.
    pub violations: Vec<String>,
}

impl Oracles {
    /// For so many servers.
    pub fn new(servers: usize) -> Self {
        Self {
            applied: Applied::new(servers),
            leaders: Leaders::new(servers),
            linear: Linear::default(),
            lost: Lost::default(),
            violations: Vec::new(),
        }
    }

    /// Keeps what an oracle has to say.
    pub fn hear(&mut self, verdict: Result<(), String>) {
        self.violations.extend(verdict.err());
    }
}
