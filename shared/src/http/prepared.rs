//! `/v1/query/...`: prepared queries, and their answers.
//!
//! Every node has them all, and answers them from its own view. What follows the ID or name in the path says what is
//! wanted: `/execute` the answer, `/explain` the query that a name leads to, nothing the query as it was written.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::{
    Context, Failure,
    answer::Answer,
    context::datacenter_asked,
    failover::failover,
    json::{
        prepared::{ExecutionRow, ExplanationRow, FreshnessRow, QueryRow, query},
        session::created,
    },
    params::{Options, switch, uuid},
    read::{Guarded, INDEX, Question, Rows, finish, freshen, read},
    remote,
    route::Request,
};
use crate::{
    acl::{Credential, Denial, Known, Level, Resource},
    catalog::{State, Topic},
    command::{Command, Outcome, QueryCommand, Refusal},
    model::{Index, Key, PreparedQuery},
    prepared::{Asked, execute},
};

pub(super) async fn create(context: &Context, request: &Request) -> Result<Answer, Failure> {
    context.refuse_other_datacenter(datacenter_asked(&request.query))?;
    let (query, given) = query(&request.body)?;
    if !given.is_empty() {
        return Err(Failure::Rejected("ID must be empty when creating a new prepared query".into()));
    }
    let id = Uuid::new_v4();
    write(context, request, QueryCommand::Create(Box::new(PreparedQuery { id, ..query }))).await?;
    Ok(Answer::json(Rows::wanted(request, None)?.value(&created(id))))
}

pub(super) async fn update(context: &Context, request: &Request) -> Result<Answer, Failure> {
    context.refuse_other_datacenter(datacenter_asked(&request.query))?;
    let (query, _) = query(&request.body)?;
    let id = id(&request.parameter)?;
    write(context, request, QueryCommand::Update(Box::new(PreparedQuery { id, ..query }))).await?;
    Ok(Answer::empty())
}

pub(super) async fn delete(context: &Context, request: &Request) -> Result<Answer, Failure> {
    context.refuse_other_datacenter(datacenter_asked(&request.query))?;
    write(context, request, QueryCommand::Delete(id(&request.parameter)?)).await?;
    Ok(Answer::empty())
}

async fn write(context: &Context, request: &Request, command: QueryCommand) -> Result<(), Failure> {
    match context.propose(request, Command::Query(command)).await?.outcome {
        Outcome::Refused(refusal @ Refusal::NoQuery(_)) => Err(refusal.into()),
        Outcome::Refused(refusal) => Err(Failure::Rejected(format!("raft apply failed: {refusal}"))),
        _ => Ok(()),
    }
}

pub(super) async fn all(context: &Context, request: &Request) -> Result<Answer, Failure> {
    read(context, request, about(Topic::Queries), |state, rows| {
        rows.list(state.queries().map(|query| QueryRow::new(query)))
    })
    .await
}

pub(super) async fn get(context: &Context, request: &Request) -> Result<Answer, Failure> {
    if let Some(name) = request.parameter.strip_suffix("/execute") {
        return answer(context, request, name).await;
    }
    if let Some(name) = request.parameter.strip_suffix("/explain") {
        return explain(context, request, name).await;
    }
    let id = id(&request.parameter)?;
    read(context, request, about(Topic::Query(id)), |state, rows| match state.query(id) {
        Some(query) => row(query, rows).map_or_else(Answer::from, |row| rows.value(&[row]).into()),
        None => Answer::from(not_found()),
    })
    .await
}

/// The row of a query, for one who may see it: who knows the ID of one without a name may.
fn row<'a>(query: &'a PreparedQuery, rows: &Rows) -> Result<QueryRow<'a>, Failure> {
    let row = QueryRow::new(query);
    if query.is_only_known_by_id() || row.is_visible(rows.rights()) { Ok(row) } else { Err(denied(query)) }
}

fn about(topic: Topic) -> Question {
    Question { topics: vec![topic], besides: Some(Vec::new()), schema: None, headers_on_failure: true, insists: false }
}

/// Never kept: the order is drawn for each. Where there is no instance here, others may be asked.
async fn answer(context: &Context, request: &Request, name: &str) -> Result<Answer, Failure> {
    let parameters = &request.query;
    let limit = parameters.filled("limit").map(limit).transpose()?;
    let (passing, connect) = (switch(parameters, "passing")?, switch(parameters, "connect")?);
    let (mut unanswered, mut is_secret) = (None, false);
    let answer = find(context, request, name, |state, rows, query, freshness| {
        let caller = match by_own_token(context, request, query)? {
            Some(caller) => caller,
            None => {
                is_secret = true;
                return Ok(Bytes::new());
            }
        };
        let asked = Asked {
            near: parameters.get("near").unwrap_or_default(),
            own_node: context.agent_asked(request),
            asker: request.client,
            passing,
            connect,
            limit: limit.unwrap_or_default(),
            protection: context.settings.protection,
            rights: Some(&caller.rights),
        };
        let instances = execute(state, query, &asked, &mut rand::rng());
        unanswered = instances.is_empty().then(|| query.clone());
        let instances = instances.into_iter().map(|instance| &**instance);
        Ok(rows.value(&ExecutionRow::new(query, instances, context.datacenter(), freshness)))
    })
    .await?;
    if is_secret {
        return remote::fetch_from_any(context, request).await;
    }
    let Some(query) = unanswered else { return Ok(answer) };
    Ok(failover(context, request, &query, limit.unwrap_or_default()).await.unwrap_or(answer))
}

async fn explain(context: &Context, request: &Request, name: &str) -> Result<Answer, Failure> {
    find(context, request, name, |_, rows, query, freshness| {
        Ok(rows.value(&ExplanationRow { query: row(query, rows)?, freshness }))
    })
    .await
}

/// Finds the query that is meant, in a view as fresh as the caller wants it.
async fn find(
    context: &Context,
    request: &Request,
    name: &str,
    encode: impl FnOnce(&State, &Rows, &PreparedQuery, FreshnessRow) -> Result<Bytes, Failure>,
) -> Result<Answer, Failure> {
    let options = Options::parse(&request.query)?;
    context.refuse_other_datacenter(datacenter_asked(&request.query))?;
    let rows = Rows::wanted(request, None)?;
    let freshness = freshen(context, options.mode).await?;
    let state = context.reader.load_full();
    let found = state.find_query(name).map_err(|error| Failure::Rejected(error.to_string()))?;
    let query = found.ok_or_else(not_found)?;
    let index = index(&state, &query);
    let body = encode(&state, &rows, &query, FreshnessRow::new(index, freshness.contact, freshness.level))?;
    Ok(finish(rows.told(body).with_header(INDEX, index.0), options.mode, freshness))
}

/// When the query or its service last changed.
fn index(state: &State, query: &PreparedQuery) -> Index {
    let topics = [Topic::Query(query.id), Topic::Service(Key::new(&query.service.service))];
    topics.iter().map(|topic| state.index_of(topic)).max().unwrap_or_default()
}

/// By whose rights a query is answered: those of the token that it has, or else the caller's. `None`: of a token that only
/// servers know.
fn by_own_token(context: &Context, request: &Request, query: &PreparedQuery) -> Result<Option<Arc<Known>>, Failure> {
    if query.token.0.is_empty() || !context.authority.is_enabled() {
        return Ok(Some(request.caller.clone()));
    }
    if !context.holds_keys() {
        return Ok(None);
    }
    Ok(Some(context.authority.identify(&Credential::new(&query.token.0))?))
}

fn denied(query: &PreparedQuery) -> Failure {
    Denial::missing(Resource::Query, Level::Read, &query.name).into()
}

fn not_found() -> Failure {
    Failure::NotFound("Query not found".into())
}

fn id(text: &str) -> Result<Uuid, Failure> {
    let failed = |reason| format!("Prepared Query lookup failed: failed prepared query lookup: index error: {reason}");
    uuid(text).map_err(|reason| Failure::Rejected(failed(reason)))
}

/// A number of instances; one below 0 counts as none given.
fn limit(text: &str) -> Result<usize, Failure> {
    let number: i64 = text.parse().map_err(|_| Failure::Rejected(format!("Bad limit: {text:?} is no number")))?;
    Ok(usize::try_from(number).unwrap_or_default())
}
