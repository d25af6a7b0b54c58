//! Why a step failed, and which process's log tells more.

use std::{io, process::ExitStatus, time::Duration};

/// What was seen instead of what is waited for.
#[derive(Clone, Debug)]
pub struct NotYet {
    /// The process that was looked at.
    pub process: String,
    /// What it said.
    pub seen: String,
}

impl NotYet {
    /// What `process` said instead.
    pub fn new(process: &str, seen: impl ToString) -> Self {
        Self { process: process.into(), seen: seen.to_string() }
    }
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What was waited for did not come.
    #[error("waited {} s until {what}; {}: {}", limit.as_secs(), not_yet.process, not_yet.seen)]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
        /// What was seen last.
        not_yet: NotYet,
    },
    /// A process that should run has ended.
    #[error("{process} ended by itself: {status}")]
    Ended {
        /// Its name.
        process: String,
        /// How.
        status: ExitStatus,
    },
    /// A process could not be started or ended.
    #[error("{process}")]
    Process {
        /// Its name.
        process: String,
        /// Why.
        source: io::Error,
    },
    /// Lookups failed while they should have gone on.
    #[error("{failed} of {asked} lookups failed; the first: {}: {}", first.process, first.seen)]
    Lookups {
        /// How many.
        failed: u64,
        /// Of how many.
        asked: u64,
        /// What was wrong with the first that failed.
        first: NotYet,
    },
    /// Nobody reads what is printed.
    #[error("cannot print")]
    Output(#[from] io::Error),
}

impl Failure {
    /// The process whose log tells more.
    pub fn process(&self) -> Option<&str> {
        match self {
            Self::TimedOut { not_yet, .. } => Some(&not_yet.process),
            Self::Ended { process, .. } | Self::Process { process, .. } => Some(process),
            Self::Lookups { first, .. } => Some(&first.process),
            Self::Output(_) => None,
        }
    }
}
