//! `/v1/internal/ui/...`: what a web page shows, each page in one answer.

use http::StatusCode;

use super::{
    Context, Failure,
    answer::Answer,
    catalog::{named, seen},
    json::{
        rows::InstanceRow,
        ui::{NodeDumpRow, ServiceSummaryRow},
    },
    read::{Question, read},
    route::Request,
};
use crate::{catalog::Topic, filter::schema, model::Key};

pub(super) async fn nodes(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let question = Question { topics: everything(), ..Question::about(Topic::Nodes, &schema::NODE_DUMP) };
    read(context, request, question, |state, rows| {
        rows.list(state.nodes().map(|node| NodeDumpRow::new(node, state, rows.rights())))
    })
    .await
}

pub(super) async fn node(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let name = named(&request.parameter, "Missing node name")?;
    let question = Question { schema: None, ..Question::about(Topic::Node(Key::new(name)), &schema::NODE_DUMP) };
    read(context, request, question, |state, rows| match seen(state, rows, name) {
        Some(node) => Answer::json(rows.value(&NodeDumpRow::new(node, state, rows.rights()))),
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
