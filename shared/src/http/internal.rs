//! `/v1/internal/ui/...`: what a web page shows, each page in one answer.

use http::StatusCode;
use serde_json::json;

use super::{
    Context, Failure,
    answer::Answer,
    catalog::{named, seen},
    health::SINCE,
    json::{
        rows::InstanceRow,
        ui::{NodeDumpRow, NodeSummaryRow, Overview, ServiceSummaryRow},
    },
    read::{Question, Rows, read},
    route::Request,
};
use crate::{catalog::Topic, filter::schema, model::Key};

/// What the page says of the agent that serves it.
pub(super) async fn agent(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let (settings, (domain, dns_port)) = (&context.settings, &context.settings.dns);
    let answer = json!({
        "NodeName": settings.identity.node_name,
        "Datacenter": settings.identity.datacenter,
        "Server": settings.identity.server_address.is_some(),
        "Version": settings.versions.own,
        "Access": context.authority.is_enabled(),
        "Domain": domain,
        "DNSPort": dns_port,
        "DashboardURL": settings.page.dashboard,
    });
    Ok(Answer::json(Rows::wanted(request, None)?.value(&answer)))
}

/// How many services, instances, nodes and checks there are in each state.
pub(super) async fn overview(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let question = Question { topics: everything(), schema: None, ..Question::about(Topic::Nodes, &schema::NODE_DUMP) };
    read(context, request, question, |state, rows| rows.value(&Overview::new(state, rows))).await
}

/// Every node with all that is on it; with `?summary`, how much that is and how it is.
pub(super) async fn nodes(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let question = Question { topics: everything(), ..Question::about(Topic::Nodes, &schema::NODE_DUMP) };
    let (is_summary, since) = (request.query.has("summary"), request.query.has(SINCE));
    read(context, request, question, |state, rows| match is_summary {
        // The filter is about what is told without `summary`, too.
        true => {
            let kept = state.nodes().filter(|node| rows.keeps(&NodeDumpRow::new(node, state, rows.rights(), since)));
            let summaries = kept.map(|node| NodeSummaryRow::new(node, state, rows.rights()));
            rows.value(&summaries.collect::<Vec<_>>())
        }
        false => rows.list(state.nodes().map(|node| NodeDumpRow::new(node, state, rows.rights(), since))),
    })
    .await
}

pub(super) async fn node(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let name = named(&request.parameter, "Missing node name")?;
    let since = request.query.has(SINCE);
    let question = Question { schema: None, ..Question::about(Topic::Node(Key::new(name)), &schema::NODE_DUMP) };
    read(context, request, question, |state, rows| match seen(state, rows, name) {
        Some(node) => Answer::json(rows.value(&NodeDumpRow::new(node, state, rows.rights(), since))),
        None => Answer::empty().with_status(StatusCode::NOT_FOUND),
    })
    .await
}

pub(super) async fn services(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let question = Question { topics: everything(), ..Question::about(Topic::Services, &schema::HEALTH_SERVICE) };
    read(context, request, question, |state, rows| {
        let kept = |instance: &&_| rows.keeps(&InstanceRow::new(instance, context.datacenter()));
        let instances = state.all_instances().map(|instance| &**instance).filter(kept);
        rows.value(&ServiceSummaryRow::all(instances, state, context.datacenter()))
    })
    .await
}

fn everything() -> Vec<Topic> {
    vec![Topic::Nodes, Topic::Services, Topic::Checks]
}
