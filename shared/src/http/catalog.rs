//! `/v1/catalog/...`: nodes and services as they are registered, and registration from outside.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

use super::{
    Context, Failure,
    answer::Answer,
    json::{
        registration::{self, Addressed},
        rows::{NodeRow, NodeServiceListRow, NodeServicesRow, ServiceOnNodeRow, ServiceRow},
    },
    params::NodeMeta,
    read::{Question, Rows, read},
    remote::fetch_from_any,
    route::Request,
};
use crate::{
    acl::{Level, Resource},
    catalog::{Instance, State, Topic},
    command::Command,
    datacenters::by_distance,
    filter::schema,
    model::{Key, Node, Service},
};

pub(super) async fn register(context: &Context, request: &Request) -> Result<Answer, Failure> {
    write(context, request, registration::register(&request.body)?).await
}

pub(super) async fn deregister(context: &Context, request: &Request) -> Result<Answer, Failure> {
    write(context, request, registration::deregister(&request.body)?).await
}

async fn write(
    context: &Context,
    request: &Request,
    addressed: Addressed<Result<Command, Failure>>,
) -> Result<Answer, Failure> {
    context.refuse_other_datacenter(&addressed.datacenter)?;
    context.write(request, addressed.write?).await
}

/// The nearest first. Only servers know others; without one a node still knows its own.
pub(super) async fn datacenters(context: &Context, request: &Request) -> Result<Answer, Failure> {
    if !context.holds_keys()
        && let Ok(answer) = fetch_from_any(context, request).await
    {
        return Ok(answer);
    }
    let known = context.wan.as_ref().map(by_distance);
    let known = known.unwrap_or_else(|| vec![context.datacenter().to_owned()]);
    Ok(Answer::json(Rows::wanted(request, None)?.value(&known)))
}

pub(super) async fn nodes(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let (meta, near) = (NodeMeta::parse(&request.query), context.near(request));
    let question = Question::about(Topic::Nodes, &schema::CATALOG_NODE);
    let question = question.besides_if(!near.is_empty(), Topic::Coordinates);
    read(context, request, question, |state, rows| {
        let nodes = state.nodes().filter(|node| meta.matches(node));
        let nodes = near.sort(state, nodes, |node| &node.name);
        rows.list(nodes.into_iter().map(|node| NodeRow::new(node, context.datacenter())))
    })
    .await
}

pub(super) async fn services(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let meta = NodeMeta::parse(&request.query);
    let question = Question::about(Topic::Services, &schema::CATALOG_SERVICE);
    // A filter sees the instances' nodes.
    let mut question = question.besides_if(request.query.has("filter"), Topic::Nodes);
    if !meta.is_empty() {
        question.topics.push(Topic::Nodes);
    }
    read(context, request, question, |state, rows| {
        let mut services: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for instance in state.all_instances().filter(|instance| meta.matches(&instance.node)) {
            if rows.keeps(&ServiceOnNodeRow::new(instance, context.datacenter())) {
                let name = state.service(&instance.service.name).map_or(&instance.service.name, |entry| &entry.name);
                services.entry(name).or_default().extend(instance.service.tags.iter().map(|tag| tag.as_str()));
            }
        }
        rows.value(&services)
    })
    .await
}

pub(super) async fn service(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let name = named(&request.parameter, "Missing service name")?;
    let (wanted, near) = (Wanted::parse(request), context.near(request));
    let question = Question::about(Topic::Service(Key::new(name)), &schema::CATALOG_SERVICE);
    let question = question.besides_if(!near.is_empty(), Topic::Coordinates);
    read(context, request, question, |state, rows| {
        let instances = state.instances(name).filter(|instance| wanted.matches(instance));
        let instances = near.sort(state, instances, |instance| &instance.node.name);
        rows.list(instances.into_iter().map(|instance| ServiceOnNodeRow::new(instance, context.datacenter())))
    })
    .await
}

/// The mesh proxies of a service: there are none.
pub(super) async fn connect(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let name = named(&request.parameter, "Missing service name")?;
    let question = Question::about(Topic::Service(Key::new(name)), &schema::CATALOG_SERVICE);
    read(context, request, question, |_, rows| rows.value(&[(); 0])).await
}

pub(super) async fn node(context: &Context, request: &Request) -> Result<Answer, Failure> {
    of_node(context, request, |state, rows, name| {
        let node = seen(state, rows, name);
        rows.value(&node.map(|node| NodeServicesRow::new(node, kept(state, rows, name), context.datacenter())))
    })
    .await
}

pub(super) async fn node_services(context: &Context, request: &Request) -> Result<Answer, Failure> {
    of_node(context, request, |state, rows, name| {
        let row = |node| NodeServiceListRow::new(node, kept(state, rows, name), context.datacenter());
        let node = seen(state, rows, name);
        rows.value(&node.map(|node| row(node)).unwrap_or_default())
    })
    .await
}

async fn of_node(
    context: &Context,
    request: &Request,
    encode: impl Fn(&State, &Rows, &str) -> bytes::Bytes,
) -> Result<Answer, Failure> {
    let name = named(&request.parameter, "Missing node name")?;
    let question = Question::about(Topic::Node(Key::new(name)), &schema::NODE_SERVICE);
    read(context, request, question, |state, rows| encode(state, rows, name)).await
}

/// The node of that name, where the caller may see it.
pub(super) fn seen<'a>(state: &'a State, rows: &Rows, name: &str) -> Option<&'a Arc<Node>> {
    state.node(name).filter(|node| rows.sees(rows.rights().allow(Resource::Node, Level::Read, &node.name)))
}

fn kept<'a>(state: &'a State, rows: &Rows, node: &str) -> impl Iterator<Item = &'a Service> {
    let services = state.node_services(node).map(|service| &**service);
    services.filter(|service| {
        rows.sees(rows.rights().allow(Resource::Service, Level::Read, &service.name))
            && rows.passes(&ServiceRow::new(service))
    })
}

/// A path parameter that must be there.
pub(super) fn named<'a>(parameter: &'a str, missing: &str) -> Result<&'a str, Failure> {
    if parameter.is_empty() { Err(Failure::BadRequest(missing.into())) } else { Ok(parameter) }
}

/// Which instances of a service are wanted: all of these tags, on a node with all of these pairs.
pub(super) struct Wanted {
    tags: Vec<String>,
    meta: NodeMeta,
}

impl Wanted {
    pub fn parse(request: &Request) -> Self {
        let tags = request.query.all("tag").filter(|tag| !tag.is_empty()).map(str::to_string).collect();
        Self { tags, meta: NodeMeta::parse(&request.query) }
    }

    /// The same of a row as it is written.
    pub fn matches_row(&self, row: &Value) -> bool {
        let tags = row["Service"]["Tags"].as_array();
        let has = |wanted: &String| {
            tags.into_iter().flatten().filter_map(Value::as_str).any(|tag| tag.eq_ignore_ascii_case(wanted))
        };
        self.tags.iter().all(has) && self.meta.matches_row(&row["Node"]["Meta"])
    }

    pub fn matches(&self, instance: &Instance) -> bool {
        self.tags.iter().all(|tag| instance.has_tag(tag)) && self.meta.matches(&instance.node)
    }
}
