//! What this node does not hold: a server answers the request as it came, and this node passes the answer on.
//!
//! Both ends are here. [`fetch`] is the asking one; [`Interface`] the one that answers, with the handlers of the HTTP
//! interface and the server's own view. Only requests that change nothing in the registry go this way, so that one may be
//! put to another server when the first is gone; what is answered is never passed on once more.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use tokio_util::sync::CancellationToken;

use super::{
    Context, Failure,
    answer::Answer,
    params::{Mode, Options},
    query::Query,
    read::with_jitter,
    route::{Request, Router},
};
use crate::backend::{Fetch, Fetched};

/// How long an answer may take, beside the time that its caller wants it to wait.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// What other nodes may ask here. All else is about the node that is asked.
const ANSWERED: [(Method, &str); 4] = [
    (Method::GET, "/v1/kv/"),
    (Method::GET, "/v1/session/"),
    (Method::PUT, "/v1/session/renew/"),
    (Method::PUT, "/v1/txn"),
];

/// Has a server answer the request.
pub(super) async fn fetch(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let options = Options::parse(&request.query)?;
    let wait = if options.index.0 > 0 { with_jitter(options.wait) } else { Duration::ZERO };
    let fetch = Fetch {
        method: request.method.to_string(),
        path_and_query: request.target.path_and_query().map(ToString::to_string).unwrap_or_default(),
        body: request.body.clone(),
        any_server: matches!(options.mode, Mode::Stale(_) | Mode::Cached),
        limit: wait + ANSWER_LIMIT,
    };
    let fetched = tokio::select! {
        fetched = context.backend.fetch(fetch) => fetched?,
        () = request.stopping.cancelled() => return Err(Failure::Rejected("this node is stopping".into())),
    };
    Ok(Answer::from(fetched))
}

impl From<Fetched> for Answer {
    fn from(fetched: Fetched) -> Self {
        // What a server of a later version may say and this one cannot is left out.
        let header = |(name, value): (String, bytes::Bytes)| {
            Some((HeaderName::try_from(name).ok()?, HeaderValue::from_maybe_shared(value).ok()?))
        };
        let headers: HeaderMap = fetched.headers.into_iter().filter_map(header).collect();
        let status = StatusCode::from_u16(fetched.status).unwrap_or(StatusCode::BAD_GATEWAY);
        Self::of_parts(status, headers, fetched.body)
    }
}

/// Answers requests that come from other nodes. Cheap to clone; it answers once it is opened.
#[derive(Clone, Default)]
pub struct Interface {
    inner: Arc<OnceLock<Inner>>,
}

struct Inner {
    context: Arc<Context>,
    router: Router,
    stopping: CancellationToken,
}

impl Interface {
    /// From now on it answers, until `stopping`.
    pub fn open(&self, context: Arc<Context>, stopping: CancellationToken) {
        let inner = Inner { context, router: Router::new(), stopping };
        if self.inner.set(inner).is_err() {
            tracing::debug!("the interface for other nodes was opened already");
        }
    }

    /// Answers a request. `None` where this node is not ready to.
    pub async fn answer(&self, fetch: Fetch) -> Option<Fetched> {
        let inner = self.inner.get()?;
        let answer = inner.answer(fetch).await.unwrap_or_else(Answer::from);
        let (status, headers, body) = answer.into_parts()?;
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec().into()));
        Some(Fetched { status: status.as_u16(), headers: headers.collect(), body })
    }
}

impl Inner {
    async fn answer(&self, fetch: Fetch) -> Result<Answer, Failure> {
        let method = Method::try_from(fetch.method.as_str()).map_err(|_| Failure::NoEndpoint)?;
        let target = Uri::try_from(fetch.path_and_query).map_err(|_| Failure::NoEndpoint)?;
        if !self.context.holds_keys() || !is_answered(&method, target.path()) {
            return Err(Failure::NoEndpoint);
        }
        let found = self.router.find(&method, target.path())?;
        let request = Request {
            parameter: found.parameter.clone(),
            query: Query::parse(target.query().unwrap_or_default()),
            method,
            target,
            body: fetch.body,
            stopping: self.stopping.clone(),
        };
        found.handle(&self.context, &request).await
    }
}

fn is_answered(method: &Method, path: &str) -> bool {
    ANSWERED.iter().any(|(allowed, prefix)| method == *allowed && path.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_nothing_and_is_about_no_node_is_answered() {
        for (method, path, answered) in [
            (Method::GET, "/v1/kv/a", true),
            (Method::GET, "/v1/session/list", true),
            (Method::PUT, "/v1/session/renew/x", true),
            (Method::PUT, "/v1/txn", true),
            (Method::PUT, "/v1/kv/a", false),
            (Method::DELETE, "/v1/kv/a", false),
            (Method::PUT, "/v1/session/create", false),
            (Method::GET, "/v1/agent/self", false),
            (Method::PUT, "/v1/agent/leave", false),
        ] {
            assert_eq!(is_answered(&method, path), answered, "{method} {path}");
        }
    }
}
