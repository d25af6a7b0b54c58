//! Why a request is not done, and the status each reason has. The one place where failures become statuses.

use http::{HeaderValue, StatusCode, header};

use super::answer::Answer;
use crate::{
    acl::Denial,
    agent::AgentError,
    backend::BackendError,
    command::{Refusal, sizes::TooLarge},
    filter::FilterError,
};

/// When a caller is asked to come again, in seconds: an election takes less.
const RETRY_AFTER_S: u64 = 5;

/// Why a request is not done. `Display` is the body of the answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The request is wrong: 400.
    #[error("{0}")]
    BadRequest(String),
    /// Nothing has that name: 404. Some of Consul's come without a word.
    #[error("{0}")]
    NotFound(String),
    /// The configuration does not let this caller do that: 403.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The caller's token does not let it, or is none: 403.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// There is no access control that it could be about: 401, as Consul.
    #[error("ACL support disabled")]
    NoAccessControl,
    /// No endpoint has that path: 404 without a word, as Consul.
    #[error("")]
    NoEndpoint,
    /// The endpoint has other methods (comma-separated): 405.
    #[error("method {method} not allowed")]
    Method {
        /// The one that was asked.
        method: String,
        /// Those it has, for the `Allow` header.
        allowed: String,
    },
    /// The body is longer than this many bytes: 413.
    #[error("Request body too large, max size is {0} bytes")]
    TooLarge(usize),
    /// A transaction has more operations than one may: 413.
    #[error("Transaction contains too many operations ({found} > {limit}, limits.txn_max_ops)")]
    TooMany {
        /// What it has.
        found: usize,
        /// What it may have.
        limit: usize,
    },
    /// The body did not come in time: 408.
    #[error("The request's body did not arrive in time")]
    TooSlow,
    /// The path and query are longer than this many bytes: 414.
    #[error("The request's path and query are too long (at most {0} bytes)")]
    LongTarget(usize),
    /// The headers are longer than this many bytes: 431.
    #[error("The request's headers are too large (at most {0} bytes, http_config.max_header_bytes)")]
    LargeHead(usize),
    /// The caller asks more often than the setting allows: 429.
    #[error("Too many requests ({setting}); come again in {retry_after_s} s")]
    TooOften {
        /// The setting that says how often.
        setting: &'static str,
        /// When the next one is taken, in seconds.
        retry_after_s: u64,
    },
    /// As many reads of this caller as are allowed wait for a change: 429.
    #[error("This address has {0} blocking queries open, as many as it may (limits.http_max_watches_per_client)")]
    TooManyWatches(usize),
    /// The bodies of the requests that are under way take all the memory they may: 503.
    #[error("This agent is busy with large requests, which may take {0} bytes together; come again")]
    NoRoom(usize),
    /// A profile of this process is being taken, which only one caller can have: 503.
    #[error("A profile is being taken already, and there can be one at a time; come again")]
    ProfileUnderWay,
    /// Nothing in this program takes profiles: 501.
    #[error("This program has no profiler; `lictor agent` has one")]
    NoProfiler,
    /// What Consul says with status 500 although the request is to blame.
    #[error("{0}")]
    Rejected(String),
    /// It is about that other datacenter, to which this request is passed on; what cannot be is 500.
    #[error("No path to datacenter")]
    OtherDatacenter(String),
    /// The agent does not do it: 400 for a check of a kind it cannot run, 404 for a service it does not have, else 500,
    /// as in Consul; 503 for a registration that the servers cannot be given and that is not to wait for them.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The servers could not be asked: 500; those of another datacenter that is known: 503.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The filter cannot be used: 500, as in Consul.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// Something that is to be registered is larger than it may be: 400.
    #[error(transparent)]
    Size(#[from] TooLarge),
    /// The registry refused the write: 500.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Failure {
    /// The status it has.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) | Self::Size(_) | Self::Agent(AgentError::Unsupported(_)) => StatusCode::BAD_REQUEST,
            Self::Forbidden(_)
            | Self::Denied(_)
            | Self::Backend(BackendError::Denied(_))
            | Self::Refused(Refusal::Bootstrapped(_)) => StatusCode::FORBIDDEN,
            Self::NoAccessControl => StatusCode::UNAUTHORIZED,
            Self::NotFound(_) | Self::NoEndpoint | Self::Agent(AgentError::NoService(_)) => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge(_) | Self::TooMany { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::LongTarget(_) => StatusCode::URI_TOO_LONG,
            Self::LargeHead(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TooOften { .. } | Self::TooManyWatches(_) | Self::Backend(BackendError::RateExceeded) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::NoProfiler => StatusCode::NOT_IMPLEMENTED,
            Self::NoRoom(_)
            | Self::ProfileUnderWay
            | Self::Agent(AgentError::NoServers | AgentError::TooManyUnsent(_))
            | Self::Backend(BackendError::DatacenterUnavailable { .. }) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Rejected(_)
            | Self::OtherDatacenter(_)
            | Self::Agent(_)
            | Self::Backend(_)
            | Self::Filter(_)
            | Self::Refused(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Self {
        let sentence = failure.to_string();
        if sentence.is_empty() {
            return Self::empty().with_status(failure.status());
        }
        let answer = Self::text(sentence).with_status(failure.status());
        match &failure {
            Failure::Method { allowed, .. } => match HeaderValue::from_str(allowed) {
                Ok(allowed) => answer.with_header(header::ALLOW, allowed),
                Err(_) => answer,
            },
            Failure::TooOften { retry_after_s, .. } => answer.with_header(header::RETRY_AFTER, *retry_after_s),
            _ if matches!(failure.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) => {
                answer.with_header(header::RETRY_AFTER, RETRY_AFTER_S)
            }
            _ => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_be_served_now_is_told_when_to_come_again() {
        let unavailable =
            BackendError::DatacenterUnavailable { datacenter: "dc2".into(), reason: "nobody answers".into() };
        let agent = [AgentError::NoServers, AgentError::TooManyUnsent(7)].map(Failure::from);
        for refused in agent.into_iter().chain([unavailable.into()]) {
            let response = Answer::from(refused).into_response(false);
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()[header::RETRY_AFTER], "5");
        }
    }
}
