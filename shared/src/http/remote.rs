//! What this node does not hold: a server answers the request as it came, and this node passes the answer on.
//!
//! Both ends are here. [`fetch`] and [`pass_on`] are the asking ones; [`Interface`] the one that answers, with the handlers
//! of the HTTP interface and the server's own view.
//!
//! **Within a datacenter** ([`fetch`]) only requests go this way that change nothing in the registry, or can be carried
//! out twice, so that one may be put to another server when the first is gone.
//!
//! **To another datacenter** ([`pass_on`]) goes all that is about one: writes as well, at most once. A sidecar gives the
//! request to a server of its own, who gives it to one over there. That one answers or refuses, and never passes it on:
//! so no request runs in circles, however datacenters are named.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio_util::sync::CancellationToken;

use super::{
    Context, Failure, Inside,
    answer::Answer,
    context::datacenter_asked,
    failover,
    params::{Mode, Options},
    read::with_jitter,
    route::{Origin, Request, takes_pieces},
    translate::{has_addresses, translate},
};
use crate::backend::{Fetch, Fetched};

/// How long an answer may take, beside the time that its caller wants it to wait.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// What other nodes of this datacenter may ask here. All else is about the node that is asked.
const ANSWERED: [(Method, &str); 15] = [
    (Method::GET, "/v1/kv/"),
    (Method::GET, "/v1/session/"),
    (Method::PUT, "/v1/session/renew/"),
    (Method::PUT, "/v1/txn"),
    (Method::GET, "/v1/query/"),
    (Method::GET, "/v1/catalog/datacenters"),
    (Method::GET, "/v1/coordinate/datacenters"),
    (Method::GET, "/v1/operator/keyring"),
    (Method::POST, "/v1/operator/keyring"),
    (Method::PUT, "/v1/operator/keyring"),
    (Method::DELETE, "/v1/operator/keyring"),
    (Method::GET, "/v1/acl/"),
    (Method::PUT, "/v1/acl/"),
    (Method::POST, "/v1/acl/"),
    (Method::DELETE, "/v1/acl/"),
];
/// What is passed on from one datacenter to another, whatever the method.
const CROSSING: [&str; 13] = [
    "/v1/catalog/",
    "/v1/health/",
    "/v1/internal/ui/",
    "/v1/kv/",
    "/v1/txn",
    "/v1/session/",
    "/v1/query",
    "/v1/event/fire/",
    "/v1/coordinate/node",
    "/v1/coordinate/update",
    "/v1/operator/",
    "/v1/status/",
    "/v1/acl/",
];

/// Has a server of this datacenter answer the request, if it is about this one.
pub(super) async fn fetch(context: &Context, request: &Request) -> Result<Answer, Failure> {
    context.refuse_other_datacenter(datacenter_asked(&request.query))?;
    ask(context, request, Fetch::default()).await
}

/// Has the leader answer the request, at most once.
pub(super) async fn fetch_once(context: &Context, request: &Request) -> Result<Answer, Failure> {
    context.refuse_other_datacenter(datacenter_asked(&request.query))?;
    ask(context, request, Fetch { once: true, ..Fetch::default() }).await
}

/// Has any server of this datacenter answer the request, whether there is a leader or not.
pub(super) async fn fetch_from_any(context: &Context, request: &Request) -> Result<Answer, Failure> {
    ask(context, request, Fetch { any_server: true, ..Fetch::default() }).await
}

/// Has a server of that other datacenter answer the request.
pub(super) async fn pass_on(context: &Context, request: &Request, datacenter: &str) -> Result<Answer, Failure> {
    if takes_pieces(request.endpoint) || !crosses(&request.target) {
        let problem = format!("This is not passed on to other datacenters: ask an agent of {datacenter:?}");
        return Err(Failure::BadRequest(problem));
    }
    if request.origin == Origin::OtherDatacenter {
        return Err(Failure::OtherDatacenter(datacenter.to_owned()));
    }
    let options = Options::parse(&request.query)?;
    let copy = context.copies.find(datacenter, request);
    if let Some(copy) = copy.filter(|copy| copy.comes_first(options.mode))
        && let Some(answer) = copy.answer(context, request, &options, false).await?
    {
        return Ok(answer);
    }
    let answered = cross(context, request, datacenter).await;
    let is_lost = answered.as_ref().map_or(true, |answer| answer.status().is_server_error());
    match copy.filter(|_| is_lost && options.mode != Mode::Consistent) {
        Some(copy) => match copy.answer(context, request, &options, true).await? {
            Some(answer) => Ok(answer),
            None => answered,
        },
        None => answered,
    }
}

async fn cross(context: &Context, request: &Request, datacenter: &str) -> Result<Answer, Failure> {
    let once = request.method != Method::GET;
    let answer = ask(context, request, Fetch { datacenter: datacenter.to_owned(), once, ..Fetch::default() }).await?;
    let translates = context.settings.access.translates_wan && !once && has_addresses(&request.target);
    // At the agent that was asked: what it is told is what it tells.
    if translates { answer.map_body(translate).await } else { Ok(answer) }
}

async fn ask(context: &Context, request: &Request, fetch: Fetch) -> Result<Answer, Failure> {
    let options = Options::parse(&request.query)?;
    let wait = if options.index.0 > 0 { with_jitter(options.wait) } else { Duration::ZERO };
    let fetch = Fetch {
        method: request.method.to_string(),
        path_and_query: request.target.to_string(),
        body: request.body.clone(),
        token: request.token.clone(),
        any_server: fetch.any_server || matches!(options.mode, Mode::Stale(_) | Mode::Cached),
        limit: wait + ANSWER_LIMIT,
        ..fetch
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
        let header = |(name, value): (String, Bytes)| {
            Some((HeaderName::try_from(name).ok()?, HeaderValue::from_maybe_shared(value).ok()?))
        };
        let headers: HeaderMap = fetched.headers.into_iter().filter_map(header).collect();
        let status = StatusCode::from_u16(fetched.status).unwrap_or(StatusCode::BAD_GATEWAY);
        Self::of_parts(status, headers, fetched.body, fetched.rest)
    }
}

/// Answers requests that come from other nodes. Cheap to clone; it answers once it is opened.
#[derive(Clone, Default)]
pub struct Interface {
    inside: Arc<OnceLock<Inside>>,
}

impl Interface {
    /// From now on it answers, until `stopping`.
    pub fn open(&self, context: Arc<Context>, stopping: CancellationToken) {
        self.inside.get_or_init(|| Inside::new(context, stopping));
    }

    /// Answers a request, or passes it on to the datacenter that it is for. `None` where this node is not ready to.
    pub async fn answer(&self, fetch: Fetch) -> Option<Fetched> {
        let inside = self.inside.get()?;
        let context = inside.context();
        let is_ours = fetch.datacenter.is_empty() || context.is_own_datacenter(&fetch.datacenter);
        if context.holds_keys() && !is_ours && crosses(&fetch.path_and_query) {
            if fetch.crossed {
                return fetched(Failure::OtherDatacenter(fetch.datacenter).into());
            }
            return match context.backend.fetch(fetch).await {
                Ok(fetched) => Some(fetched),
                Err(error) => fetched(Failure::from(error).into()),
            };
        }
        if is_ours && !fetch.datacenter.is_empty() && fetch.path_and_query == failover::PATH {
            return fetched(failover::answer(context, &fetch.body, &fetch.token).await.unwrap_or_else(Answer::from));
        }
        let is_allowed = |method: &Method| match fetch.datacenter.is_empty() {
            true => is_answered(method, &fetch.path_and_query),
            false => crosses(&fetch.path_and_query),
        };
        let origin = if fetch.crossed { Origin::OtherDatacenter } else { Origin::Here };
        let method = Method::try_from(fetch.method.as_str()).ok();
        fetched(match method.filter(|method| context.holds_keys() && is_allowed(method)) {
            Some(method) => inside.answer(origin, method, &fetch.path_and_query, fetch.body, fetch.token).await,
            None => Failure::NoEndpoint.into(),
        })
    }
}

fn fetched(answer: Answer) -> Option<Fetched> {
    let (status, headers, body) = answer.into_parts()?;
    let headers = headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec().into())).collect();
    Some(Fetched { status: status.as_u16(), headers, body, ..Fetched::default() })
}

fn is_answered(method: &Method, path: &str) -> bool {
    ANSWERED.iter().any(|(allowed, prefix)| method == *allowed && path.starts_with(prefix))
}

/// Whether a request of that path and query may be passed on to another datacenter.
pub(super) fn crosses(target: &str) -> bool {
    CROSSING.iter().any(|prefix| target.starts_with(prefix))
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
            (Method::DELETE, "/v1/operator/keyring", true),
            (Method::PUT, "/v1/operator/raft/transfer-leader", false),
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
