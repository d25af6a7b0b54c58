//! Commands on their way into the log: all that came together go to openraft together, in their order.
//!
//! openraft's core takes them with one message, writes them with one sync and sends them to each follower with one request;
//! what they cost each is little more than their bytes.

use futures_util::StreamExt;
use lictor_shared::{
    command::{Command, Written},
    metrics::RAFT_COMMIT_SECONDS,
    traces::{Kind, Span},
};
use openraft::{
    errors::RaftError,
    raft::{WriteResponse, WriteResult},
};
use tokio::time::{Instant, timeout_at};

use super::{ProposeError, RaftNode, errors};
use crate::raft::{MAX_PROPOSAL_BYTES, TypeConfig, proposal::Proposal, surroundings};

/// What may be on its way at once, in KiB of commands; who comes later waits within its time limit.
pub(super) const IN_FLIGHT_KIB: usize = 64 << 10;
/// A small command counts for as much, so that no more than 4096 are on their way.
const SMALL_KIB: usize = 16;

type Outcome = Result<Written, ProposeError>;

impl RaftNode {
    /// Writes a command: returns when it is committed, applied, and visible in this node's view.
    ///
    /// # Errors
    /// [`ProposeError`], which says whether it may have happened all the same.
    pub async fn propose(&self, command: Command) -> Result<Written, ProposeError> {
        let outcome = self.propose_all(vec![command]).await.pop();
        outcome.unwrap_or_else(|| Err(ProposeError::Stopped("a command without an outcome".into())))
    }

    /// Writes commands in their order, with others perhaps between them: returns when all that can be are committed,
    /// applied, and visible in this node's view. Gives the outcome of each, in the same order; an error of one says
    /// nothing of the others.
    pub async fn propose_all(&self, commands: Vec<Command>) -> Vec<Result<Written, ProposeError>> {
        let now = surroundings::now();
        let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(commands.len());
        let (mut proposals, mut kib) = (Vec::with_capacity(commands.len()), 0);
        for command in commands {
            let proposal = Proposal::new(now, command);
            let bytes = proposal.encoded().len();
            if bytes > MAX_PROPOSAL_BYTES {
                outcomes.push(Some(Err(ProposeError::TooLarge(bytes))));
                continue;
            }
            kib += (bytes >> 10).max(SMALL_KIB);
            outcomes.push(None);
            proposals.push(proposal);
        }
        let mut written = self.write(proposals, kib).await.into_iter();
        let ended = || Err(ProposeError::Stopped("fewer outcomes than commands".into()));
        outcomes.into_iter().map(|outcome| outcome.or_else(|| written.next()).unwrap_or_else(ended)).collect()
    }

    /// The outcome of each of the proposals, which are `kib` large together.
    async fn write(&self, proposals: Vec<Proposal>, kib: usize) -> Vec<Outcome> {
        let (count, limit) = (proposals.len(), self.inner.settings.propose_limit);
        if count == 0 {
            return Vec::new();
        }
        let _measured = RAFT_COMMIT_SECONDS.time();
        let mut span = Span::inside(Kind::Internal, "raft.commit");
        span.set("lictor.commands", count);
        let mut outcomes = Vec::with_capacity(count);
        let end = Instant::now() + limit;
        if timeout_at(end, self.write_into(proposals, kib, &mut outcomes)).await.is_err() {
            outcomes.resize(count, Err(ProposeError::TimedOut(limit)));
        }
        outcomes
    }

    async fn write_into(&self, proposals: Vec<Proposal>, kib: usize, outcomes: &mut Vec<Outcome>) {
        let count = proposals.len();
        let stopped = |error: &dyn std::fmt::Display| Err(ProposeError::Stopped(errors::stopped(error)));
        let places = u32::try_from(kib.min(IN_FLIGHT_KIB)).unwrap_or(u32::MAX);
        let _places = match self.inner.in_flight.acquire_many(places).await {
            Ok(places) => places,
            Err(error) => return outcomes.resize(count, stopped(&error)),
        };
        let mut writes = match self.inner.raft.client_write_many(proposals).await {
            Ok(writes) => writes,
            Err(error) => return outcomes.resize(count, stopped(&error)),
        };
        while let Some(write) = writes.next().await {
            match write {
                Ok(result) => outcomes.push(self.outcome(result)),
                Err(error) => outcomes.resize(count, stopped(&error)),
            }
        }
    }

    fn outcome(&self, result: WriteResult<TypeConfig>) -> Outcome {
        match result {
            Ok(WriteResponse { response, .. }) => Ok(response),
            Err(error) => Err(match RaftError::APIError(error).into() {
                ProposeError::NotLeader { leader } => ProposeError::NotLeader { leader: self.heard(leader) },
                error => error,
            }),
        }
    }
}
