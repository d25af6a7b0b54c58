//! `/v1/agent/...`: this node's own services and checks, and its place in the pool.
//!
//! Nothing here asks the servers: the agent answers for itself, and writes what it is told to the registry by its own
//! anti-entropy.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};

use super::{
    Context, Failure,
    answer::Answer,
    catalog::named,
    json::{
        agent::{AgentServiceRow, Counts, MemberRow, itself},
        parse,
        registration::status,
        rows::CheckRow,
    },
    params::{Options, switch},
    read::{Rows, with_jitter},
    route::{Request, admit_again},
};
use crate::{
    acl::{Level, Resource},
    agent::definition::{CheckRegistration, Fields, ServiceDefinition, Strictness},
    catalog::Topic,
    filter::schema,
    gossip::Pool,
    model::{CheckId, Service, ServiceId, Status},
};

const CONTENT_HASH: HeaderName = HeaderName::from_static("x-consul-contenthash");

pub(super) async fn this(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let (own, members) = (context.members.own(), context.members.members());
    let counts = Counts {
        services: context.agent.services().len(),
        checks: context.agent.checks().len(),
        servers: members.iter().filter(|m| m.tags.get("role").is_some_and(|role| role == "consul")).count(),
        members: members.len(),
    };
    let leader = context.backend.leader();
    let answer =
        itself(&context.settings, context.agent.node(), &own, context.members.coordinate(), leader.as_deref(), counts);
    Ok(Answer::json(Rows::wanted(request, None)?.value(&answer)))
}

/// The members of a pool; a node that is not in the WAN pool knows nobody there.
pub(super) async fn members(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let members = context.pool(wants_wan(request)).map(Pool::members).unwrap_or_default();
    Ok(Answer::json(Rows::wanted(request, None)?.list(members.iter().map(MemberRow::new))))
}

fn wants_wan(request: &Request) -> bool {
    request.query.filled("wan").is_some()
}

/// The pool that is to be changed, and the port that its members have unless told.
fn pool<'a>(context: &'a Context, request: &Request) -> Result<(&'a Pool, u16), Failure> {
    let settings = &context.settings;
    let port = if wants_wan(request) { settings.serf_wan_port } else { settings.serf_lan_port };
    let pool = context.pool(wants_wan(request));
    Ok((pool.ok_or_else(|| Failure::Rejected("This agent is not in the WAN pool".into()))?, port))
}

pub(super) async fn join(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let address = named(&request.parameter, "Missing address to join")?;
    let (pool, port) = pool(context, request)?;
    let found = crate::resolve::addresses(address, port).await;
    let found = found.map_err(|reason| Failure::Rejected(format!("1 error occurred:\n\t* {reason}\n\n")))?;
    pool.join(&found).await.map_err(|error| Failure::Rejected(error.to_string()))?;
    Ok(Answer::empty())
}

pub(super) async fn force_leave(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let name = named(&request.parameter, "Missing node name")?;
    let (pool, _) = pool(context, request)?;
    let left = pool.force_leave(name, request.query.has("prune"));
    left.map_err(|error| Failure::Rejected(format!("agent: {error}")))?;
    Ok(Answer::empty())
}

pub(super) async fn leave(context: &Context, _: &Request) -> Result<Answer, Failure> {
    context.control.leave().await.map_err(Failure::Rejected)?;
    Ok(Answer::empty())
}

pub(super) async fn reload(context: &Context, _: &Request) -> Result<Answer, Failure> {
    context.control.reload().await.map_err(Failure::Rejected)?;
    Ok(Answer::empty())
}

pub(super) async fn services(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let rows = Rows::wanted(request, Some(&schema::AGENT_SERVICE))?;
    let services = context.agent.services();
    let row = |service: &'_ Service| -> bool { rows.keeps(&AgentServiceRow::new(service, context.datacenter())) };
    let kept = services.iter().filter(|service| row(service));
    let by_id: BTreeMap<&str, _> =
        kept.map(|service| (service.id.as_str(), AgentServiceRow::new(service, context.datacenter()))).collect();
    Ok(Answer::json(rows.value(&by_id)))
}

/// One service; with `?hash=`, held until its content has another hash.
pub(super) async fn service(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let id = named(&request.parameter, "Missing service ID")?;
    let (rows, options) = (Rows::wanted(request, None)?, Options::parse(&request.query)?);
    // The registry is told of every change, so a change of the node there is the time to look again.
    let changes = context.reader.wait_for(&Topic::Node(context.agent.node().name.key()));
    let time_out = tokio::time::sleep(with_jitter(options.wait));
    tokio::pin!(time_out);
    let mut waits = request.query.filled("hash").is_some();
    loop {
        let next = changes.next();
        let service = context.agent.service(id);
        let service = service.ok_or_else(|| Failure::NotFound(format!("unknown service ID: {id}")))?;
        admit_again(context, request)?.rights.require(Resource::Service, Level::Read, &service.name)?;
        let (row, hash) = AgentServiceRow::new(&service, context.datacenter()).with_hash();
        if !waits || request.query.filled("hash") != Some(hash.as_str()) {
            let header = HeaderValue::from_str(&hash).expect("hexadecimal digits");
            return Ok(Answer::json(rows.value(&row)).with_header(CONTENT_HASH, header));
        }
        tokio::select! {
            () = next => {}
            () = &mut time_out => waits = false,
            () = request.stopping.cancelled() => waits = false,
        }
    }
}

pub(super) async fn checks(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let rows = Rows::wanted(request, Some(&schema::AGENT_CHECK))?;
    let (checks, services) = (context.agent.checks(), context.agent.services());
    let services: BTreeMap<_, _> = services.iter().map(|service| (service.id.key(), service)).collect();
    let row = |check| {
        let check: &crate::model::Check = check;
        let tags = services.get(&check.service_id.key()).map_or(&[][..], |service| &service.tags);
        (check.id.as_str(), CheckRow::of_agent(check, tags))
    };
    let by_id: BTreeMap<&str, _> = checks.iter().map(|check| row(check)).filter(|(_, row)| rows.keeps(row)).collect();
    Ok(Answer::json(rows.value(&by_id)))
}

fn writes_service(request: &Request, name: &str) -> Result<(), Failure> {
    Ok(request.caller.rights.require(Resource::Service, Level::Write, name)?)
}

/// Whether the caller may write the service of that ID here; with an empty one, the node. One that is not there is
/// nobody's.
pub(super) fn writes_service_of(context: &Context, request: &Request, id: &str) -> Result<(), Failure> {
    if id.is_empty() {
        let node = &context.settings.identity.node_name;
        return Ok(request.caller.rights.require(Resource::Node, Level::Write, node)?);
    }
    context.agent.service(id).map_or(Ok(()), |service| writes_service(request, &service.name))
}

/// The same of what the check of that ID is about.
fn writes_check(context: &Context, request: &Request, id: &str) -> Result<(), Failure> {
    let check = context.agent.check(id);
    check.map_or(Ok(()), |check| writes_service_of(context, request, &check.service_id))
}

pub(super) async fn register_service(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let definition = ServiceDefinition::from_json(&parse(&request.body)?)?;
    writes_service(request, &definition.service.name)?;
    writes_service_of(context, request, &definition.service.id)?;
    // One that is about something else would be taken from it.
    let own = &definition.service.id;
    for check in &definition.checks {
        if context.agent.check(&check.id).is_some_and(|old| old.service_id.key() != own.key()) {
            writes_check(context, request, &check.id)?;
        }
    }
    let replace = switch(&request.query, "replace-existing-checks")?;
    context.agent.register_service(definition, replace, &request.token).await?;
    Ok(Answer::empty())
}

pub(super) async fn deregister_service(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let id = named(&request.parameter, "Missing service ID")?;
    writes_service_of(context, request, id)?;
    context.agent.deregister_service(&ServiceId::from(id)).await?;
    Ok(Answer::empty())
}

pub(super) async fn register_check(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let registration = CheckRegistration::from_json(&parse(&request.body)?)?;
    writes_check(context, request, &registration.id)?;
    writes_service_of(context, request, &registration.service_id)?;
    context.agent.register_check(registration, &request.token).await?;
    Ok(Answer::empty())
}

pub(super) async fn deregister_check(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let id = named(&request.parameter, "Missing check ID")?;
    writes_check(context, request, id)?;
    context.agent.deregister_check(&CheckId::from(id)).await?;
    Ok(Answer::empty())
}

pub(super) async fn pass(context: &Context, request: &Request) -> Result<Answer, Failure> {
    report(context, request, Status::Passing)
}

pub(super) async fn warn(context: &Context, request: &Request) -> Result<Answer, Failure> {
    report(context, request, Status::Warning)
}

pub(super) async fn fail(context: &Context, request: &Request) -> Result<Answer, Failure> {
    report(context, request, Status::Critical)
}

fn report(context: &Context, request: &Request, status: Status) -> Result<Answer, Failure> {
    let id = named(&request.parameter, "Missing check ID")?;
    writes_check(context, request, id)?;
    context.agent.report(&CheckId::from(id), status, request.query.get("note").unwrap_or_default())?;
    Ok(Answer::empty())
}

pub(super) async fn update(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let id = named(&request.parameter, "Missing check ID")?;
    writes_check(context, request, id)?;
    let body = parse(&request.body)?;
    let mut fields = Fields::of(&body, Strictness::Body)?;
    let (status, output) = (status(&fields.text("status")?)?, fields.text("output")?);
    context.agent.report(&CheckId::from(id), status, &output)?;
    Ok(Answer::empty())
}
