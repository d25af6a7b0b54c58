//! What a server says instead of an answer, as the errors of `lictor_shared::forward`.
//!
//! Replies have a case for each refusal; a status stands for what failed before or beside them. Never says what to do
//! about it.

use std::error::Error;

use lictor_shared::forward::AskError;
use tonic::{Code, ConnectError, Status};

use crate::{DecodeError, internal};

impl From<internal::NotLeader> for AskError {
    fn from(hint: internal::NotLeader) -> Self {
        Self::NotLeader { leader: Some(hint.leader).filter(|leader| !leader.is_empty()) }
    }
}

impl From<internal::Unsent> for AskError {
    fn from(unsent: internal::Unsent) -> Self {
        Self::Unsent(unsent.reason)
    }
}

impl From<internal::Unknown> for AskError {
    fn from(unknown: internal::Unknown) -> Self {
        Self::Unknown(unknown.reason)
    }
}

impl From<internal::Rejected> for AskError {
    fn from(rejected: internal::Rejected) -> Self {
        Self::Rejected(rejected.reason)
    }
}

impl From<internal::Denied> for AskError {
    fn from(denied: internal::Denied) -> Self {
        Self::Denied(denied.reason)
    }
}

/// An answer that is not what it should be; what was asked for may have been done.
pub(super) fn unreadable(error: DecodeError) -> AskError {
    AskError::Unknown(format!("the answer cannot be read: {error}"))
}

/// The same, without that field.
pub(super) fn missing(field: &'static str) -> AskError {
    unreadable(DecodeError::Missing { field })
}

/// What a status says.
#[allow(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
pub(super) fn refused(status: Status) -> AskError {
    let reason = status.message().to_owned();
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<ConnectError>() {
            return AskError::Unsent(reason);
        }
        source = error.source();
    }
    match status.code() {
        // What this crate's server side says before it does anything.
        Code::ResourceExhausted | Code::Unimplemented => AskError::Unsent(reason),
        Code::InvalidArgument | Code::FailedPrecondition => AskError::Rejected(reason),
        Code::PermissionDenied => AskError::Denied(reason),
        code => AskError::Unknown(format!("{code:?}: {reason}")),
    }
}
