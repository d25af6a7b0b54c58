//! A prepared query that has no instance here is asked of other datacenters, one after the other: the nearest, then those
//! that it names, until one has an instance (`Failover`).
//!
//! They need not have the query: it goes along as it is, under a path ([`PATH`]) that is no endpoint. Only a server knows
//! the way; a sidecar has one of its servers answer the whole. Who is asked this way asks nobody else.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use smol_str::SmolStr;

use super::{
    Context, Failure,
    answer::{Answer, WHOLE_BYTES, encode},
    json::prepared::{ExecutionRow, FreshnessRow},
    params::{Mode, Options, switch},
    read::{finish, freshen},
    remote,
    route::{Origin, Request},
    translate::{translate, translate_of_others},
};
use crate::{
    acl::Credential,
    backend::Fetch,
    datacenters::by_distance,
    model::{Index, PreparedQuery, ServiceQuery},
    prepared::{Asked, execute},
};

/// What is asked of a server of another datacenter.
pub(super) const PATH: &str = "/internal/query";
/// How long one datacenter may take that answers at all.
const LIMIT: Duration = Duration::from_secs(5);
/// The most datacenters that are asked.
const MAX_DATACENTERS: usize = 16;

/// The query, and what its caller wants of the answer.
#[derive(Debug, Deserialize, Serialize)]
struct Question {
    service: ServiceQuery,
    dns_ttl: SmolStr,
    passing: bool,
    connect: bool,
    limit: usize,
    stale: bool,
}

/// What other datacenters answer to a query that has no instance here. `None` where that says nothing new: nobody is
/// to be asked, or nobody has answered.
pub(super) async fn failover(
    context: &Context,
    request: &Request,
    query: &PreparedQuery,
    limit: usize,
) -> Option<Answer> {
    if !query.service.failover.names_others() || request.origin == Origin::OtherDatacenter {
        return None;
    }
    let translates = context.settings.access.translates_wan;
    if !context.holds_keys() {
        let answer = remote::fetch_from_any(context, request).await.ok();
        let answer = answer.filter(|answer| answer.status() == StatusCode::OK)?;
        let change = |body| if translates { translate_of_others(body, context.datacenter()) } else { body };
        return answer.map_body(change).await.ok();
    }
    let question = Question {
        service: query.service.clone(),
        dns_ttl: query.dns_ttl.clone(),
        passing: switch(&request.query, "passing").ok()?,
        connect: switch(&request.query, "connect").ok()?,
        limit,
        stale: matches!(Options::parse(&request.query).ok()?.mode, Mode::Stale(_) | Mode::Cached),
    };
    let body: Bytes = serde_json::to_vec(&question).ok()?.into();
    let mut last = None;
    for (failovers, datacenter) in (1..).zip(candidates(context, query)) {
        match ask(context, request, &datacenter, body.clone()).await {
            Ok(mut answer) => {
                answer["Failovers"] = failovers.into();
                let is_empty = answer["Nodes"].as_array().is_none_or(Vec::is_empty);
                last = Some(answer);
                if !is_empty {
                    break;
                }
            }
            Err(reason) => {
                tracing::debug!(datacenter, reason, "a datacenter was asked in vain for a prepared query");
            }
        }
    }
    let body = encode(&last?, request.query.has("pretty"));
    let body = if translates { translate(body) } else { body };
    Some(Answer::json(body))
}

/// Whom to ask: so many of the nearest, then those that are named; or those targets that are datacenters.
fn candidates(context: &Context, query: &PreparedQuery) -> Vec<String> {
    let failover = &query.service.failover;
    let known = context.wan.as_ref().map(by_distance).unwrap_or_default();
    let known = known.into_iter().filter(|name| !context.is_own_datacenter(name));
    let nearest = known.take(usize::try_from(failover.nearest).unwrap_or(usize::MAX));
    let named = failover.datacenters.iter().chain(failover.targets.iter().map(|target| &target.datacenter));
    let mut all: Vec<String> = Vec::new();
    for name in nearest.chain(named.map(ToString::to_string)) {
        let is_new = all.iter().all(|known| !known.eq_ignore_ascii_case(&name));
        if is_new && !name.is_empty() && !context.is_own_datacenter(&name) && all.len() < MAX_DATACENTERS {
            all.push(name);
        }
    }
    all
}

async fn ask(context: &Context, request: &Request, datacenter: &str, body: Bytes) -> Result<Value, String> {
    let fetch = Fetch {
        method: "PUT".into(),
        path_and_query: PATH.into(),
        body,
        datacenter: datacenter.into(),
        token: request.token.clone(),
        limit: LIMIT,
        ..Fetch::default()
    };
    let fetched = context.backend.fetch(fetch).await.map_err(|error| error.to_string())?;
    let status = fetched.status;
    let body = fetched.whole(WHOLE_BYTES).await.map_err(|error| error.to_string())?;
    if status != 200 {
        return Err(format!("{status}: {}", String::from_utf8_lossy(&body)));
    }
    let answer: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
    if answer.is_object() { Ok(answer) } else { Err("the answer is none".into()) }
}

/// Answers a server of another datacenter.
pub(super) async fn answer(context: &Context, body: &[u8], token: &Credential) -> Result<Answer, Failure> {
    let caller = context.authority.identify(token)?;
    let question: Question =
        serde_json::from_slice(body).map_err(|error| Failure::BadRequest(format!("Request decode failed: {error}")))?;
    let mode = if question.stale { Mode::Stale(None) } else { Mode::Leader };
    let freshness = freshen(context, mode).await?;
    let asked = Asked {
        passing: question.passing,
        connect: question.connect,
        limit: question.limit,
        protection: context.settings.protection,
        rights: Some(&caller.rights),
        ..Asked::default()
    };
    // The agent from which to measure is none of this datacenter.
    let service = ServiceQuery { near: SmolStr::default(), ..question.service };
    let query = PreparedQuery { service, dns_ttl: question.dns_ttl, ..PreparedQuery::default() };
    let state = context.reader.load_full();
    let instances = execute(&state, &query, &asked, &mut rand::rng());
    let instances = instances.into_iter().map(|instance| &**instance);
    let row = FreshnessRow::new(Index(state.index().0.max(1)), freshness.contact, freshness.level);
    let body = encode(&ExecutionRow::new(&query, instances, context.datacenter(), row), false);
    Ok(finish(Answer::json(body), mode, freshness))
}
