//! `/v1/health/...`: checks, and instances with their checks; with `?since`, each check has since when it has its status.

use http::HeaderName;

use super::{
    Context, Failure,
    answer::Answer,
    catalog::{Wanted, named},
    json::rows::{CheckRow, InstanceRow},
    params::{NodeMeta, switch},
    read::{Question, read},
    route::Request,
};
use crate::{
    catalog::{State, Topic},
    filter::schema,
    model::{Check, Key, Status},
};

/// Has checks say since when they have their statuses.
pub(super) const SINCE: &str = "since";
/// How many of the instances are of nodes that vanished.
const PROTECTED: HeaderName = HeaderName::from_static("x-lictor-protected");

pub(super) async fn node(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let name = named(&request.parameter, "Missing node name")?;
    let since = request.query.has(SINCE);
    let question = Question::about(Topic::Node(Key::new(name)), &schema::HEALTH_CHECK);
    read(context, request, question, |state, rows| {
        rows.list(state.node_checks(name).map(|check| CheckRow::in_state(check, state).since_if(since, check)))
    })
    .await
}

pub(super) async fn checks(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let name = named(&request.parameter, "Missing service name")?;
    let (meta, near, since) = (NodeMeta::parse(&request.query), context.near(request), request.query.has(SINCE));
    let question = Question::about(Topic::Service(Key::new(name)), &schema::HEALTH_CHECK);
    let question = question.besides_if(!near.is_empty(), Topic::Coordinates);
    read(context, request, question, |state, rows| {
        let instances = state.instances(name).filter(|instance| meta.matches(&instance.node));
        let instances = near.sort(state, instances, |instance| &instance.node.name);
        let checks = instances.into_iter().flat_map(|instance| {
            let own = instance.checks.iter().filter(|check| !check.service_id.is_empty());
            own.map(|check| CheckRow::new(check, &instance.service.tags).since_if(since, check))
        });
        rows.list(checks)
    })
    .await
}

pub(super) async fn service(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let name = named(&request.parameter, "Missing service name")?;
    let (wanted, near) = (Wanted::parse(request), context.near(request));
    let (passing, since) = (switch(&request.query, "passing")?, request.query.has(SINCE));
    let question = about_instances(name).besides_if(!near.is_empty(), Topic::Coordinates);
    read(context, request, question, |state, rows| {
        let worst = if passing { Status::Passing } else { Status::Critical };
        let mut instances = state.served(name, worst, context.settings.protection);
        instances.retain(|instance| wanted.matches(instance));
        let protected = instances.iter().filter(|instance| instance.is_protected(worst)).count();
        let instances = near.sort(state, instances.into_iter(), |instance| &instance.node.name).into_iter();
        let row = |instance| InstanceRow::new(instance, context.datacenter()).since_if(since, instance);
        let answer = Answer::json(rows.list(instances.map(|instance| row(instance))));
        if protected > 0 { answer.with_header(PROTECTED, protected) } else { answer }
    })
    .await
}

/// The mesh proxies of a service: there are none.
pub(super) async fn connect(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let name = named(&request.parameter, "Missing service name")?;
    read(context, request, about_instances(name), |_, rows| rows.value(&[(); 0])).await
}

fn about_instances(name: &str) -> Question {
    let question = Question::about(Topic::Service(Key::new(name)), &schema::HEALTH_SERVICE);
    Question { headers_on_failure: false, ..question }
}

pub(super) async fn state(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let name = named(&request.parameter, "Missing check state")?;
    let (meta, near) = (NodeMeta::parse(&request.query), context.near(request));
    let (any, status, since) = (name == "any", Status::parse(name), request.query.has(SINCE));
    let question = Question::about(status.map_or(Topic::Checks, Topic::Status), &schema::HEALTH_CHECK);
    // A check's row has its service's tags.
    let question = question.besides_if(true, Topic::Services);
    let mut question = question.besides_if(!near.is_empty(), Topic::Coordinates);
    if !meta.is_empty() {
        question.topics.push(Topic::Nodes);
    }
    let on_wanted_node = |state: &State, check: &Check| {
        meta.is_empty() || state.node(&check.node).is_some_and(|node| meta.matches(node))
    };
    read(context, request, question, |state, rows| {
        let checks = state.checks().filter(|check| any || Some(check.status) == status);
        let checks = checks.filter(|check| on_wanted_node(state, check));
        let checks = near.sort(state, checks, |check| &check.node);
        rows.list(checks.into_iter().map(|check| CheckRow::in_state(check, state).since_if(since, check)))
    })
    .await
}
