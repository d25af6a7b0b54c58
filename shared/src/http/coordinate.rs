//! `/v1/coordinate/...`: where nodes are in the network.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

use super::{
    Context, Failure,
    answer::Answer,
    catalog::named,
    json::coordinate::{DatacenterRow, NodeCoordinateRow, update as read_update},
    read::{Question, Rows, read},
    remote::fetch_from_any,
    route::Request,
};
use crate::{
    catalog::Topic,
    command::{Command, Outcome},
    gossip::MemberStatus,
    model::Coordinate,
};

fn about_coordinates() -> Question {
    Question {
        topics: vec![Topic::Coordinates],
        besides: Some(Vec::new()),
        schema: None,
        headers_on_failure: true,
        insists: false,
    }
}

pub(super) async fn nodes(context: &Context, request: &Request) -> Result<Answer, Failure> {
    read(context, request, about_coordinates(), |state, rows| {
        rows.list(state.coordinates().map(|row| NodeCoordinateRow::new(&row.node, row.coordinate)))
    })
    .await
}

pub(super) async fn node(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let name = named(&request.parameter, "Missing node name")?;
    let found = AtomicBool::new(false);
    // Never given again: what becomes of an answer is decided after it was made.
    let question = Question { besides: None, ..about_coordinates() };
    let answer = read(context, request, question, |state, rows| {
        let row = state.coordinate(name);
        found.store(row.is_some(), Ordering::Relaxed);
        rows.list(row.into_iter().map(|row| NodeCoordinateRow::new(&row.node, row.coordinate)))
    })
    .await?;
    if answer.status().is_success() && !found.load(Ordering::Relaxed) {
        Err(Failure::NotFound(String::new()))
    } else {
        Ok(answer)
    }
}

/// The servers of each datacenter: at a server all that the WAN pool knows, else those of the own one.
pub(super) async fn datacenters(context: &Context, request: &Request) -> Result<Answer, Failure> {
    if !context.holds_keys()
        && let Ok(answer) = fetch_from_any(context, request).await
    {
        return Ok(answer);
    }
    let pool = context.wan.as_ref().unwrap_or(&context.members);
    let (members, coordinates) = (pool.members(), pool.coordinates());
    let coordinates: BTreeMap<&str, Coordinate> =
        coordinates.iter().map(|(name, coordinate)| (name.as_str(), *coordinate)).collect();
    let mut datacenters: BTreeMap<&str, Vec<NodeCoordinateRow<'_>>> = BTreeMap::new();
    for member in members.iter().filter(|member| member.status == MemberStatus::Alive) {
        let is_server = member.tags.get("role").is_some_and(|role| role == "consul");
        let Some(datacenter) = member.tags.get("dc").filter(|_| is_server) else { continue };
        let coordinate = coordinates.get(member.name.as_str()).copied().unwrap_or_default();
        let node = member.name.strip_suffix(&format!(".{datacenter}")).unwrap_or(&member.name);
        datacenters.entry(datacenter).or_default().push(NodeCoordinateRow::new(node, coordinate));
    }
    let row = |(datacenter, coordinates)| DatacenterRow { datacenter, area: "wan", coordinates };
    Ok(Answer::json(Rows::wanted(request, None)?.value(&datacenters.into_iter().map(row).collect::<Vec<_>>())))
}

pub(super) async fn update(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let (datacenter, update) = read_update(&request.body)?;
    context.refuse_other_datacenter(&datacenter)?;
    match context.propose(request, Command::UpdateCoordinates(vec![update])).await?.outcome {
        Outcome::Refused(refusal) => Err(refusal.into()),
        _ => Ok(Answer::empty()),
    }
}
