//! `/v1/operator/...`: the set of servers, for those who look after it.

use http::StatusCode;

use super::{
    Context, Failure,
    answer::{Answer, encode},
    json::{
        operator::{AutopilotRow, HealthRow, RaftConfigurationRow, StateRow, autopilot},
        usage::UsageRow,
    },
    params::{Mode, Options},
    read::{Question, Rows, freshen, read},
    route::Request,
};
use crate::{
    backend::{ServerName, ServersChange},
    catalog::Topic,
    command::Command,
    model::Index,
};

pub(super) async fn raft_configuration(context: &Context, request: &Request) -> Result<Answer, Failure> {
    // On the day on which there is no leader, who the servers were is what must be known.
    let any_server = matches!(Options::parse(&request.query)?.mode, Mode::Stale(_) | Mode::Cached);
    let report = context.backend.servers(any_server, &request.token).await?;
    Ok(Answer::json(Rows::wanted(request, None)?.value(&RaftConfigurationRow::new(&report))))
}

/// The leader hands over, to the server of that `?id=` or to the fittest.
pub(super) async fn transfer_leader(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let id = request.query.get("id").filter(|id| !id.is_empty());
    let to = id.map(|id| ServerName::Id(id.into()));
    context.backend.change_servers(ServersChange::TransferLeader(to), &request.token).await?;
    Ok(Answer::json(encode(&serde_json::json!({"Success": true}), request.query.has("pretty"))))
}

/// A server that is gone for good counts no more: the one of that `?id=` or `?address=`.
pub(super) async fn remove_peer(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let name = |name| request.query.get(name).filter(|text| !text.is_empty());
    let server = match (name("id"), name("address")) {
        (Some(id), None) => ServerName::Id(id.into()),
        (None, Some(address)) => ServerName::Address(address.into()),
        (None, None) => {
            return Err(Failure::BadRequest(
                "Must specify either ?id with the server's ID or ?address with IP:port of peer to remove".into(),
            ));
        }
        (Some(_), Some(_)) => return Err(Failure::BadRequest("Must specify only one of ?id or ?address".into())),
    };
    context.backend.change_servers(ServersChange::Remove(server), &request.token).await?;
    Ok(Answer::empty())
}

pub(super) async fn autopilot_configuration(context: &Context, request: &Request) -> Result<Answer, Failure> {
    freshen(context, Mode::Leader).await?;
    let autopilot = context.reader.load_full().autopilot().cloned().unwrap_or_default();
    Ok(Answer::json(Rows::wanted(request, None)?.value(&AutopilotRow::new(&autopilot))))
}

pub(super) async fn set_autopilot_configuration(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let wrong = |text: &str| Failure::BadRequest(format!("Error parsing cas value: {text:?} is no index"));
    let cas = request.query.get("cas").map(|text| text.parse().map(Index).map_err(|_| wrong(text)));
    let (autopilot, expected) = (Box::new(autopilot(&request.body)?), cas.transpose()?);
    context.write(request, Command::SetAutopilot { autopilot, expected }).await
}

/// 429 while a server is not healthy.
pub(super) async fn autopilot_health(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let (report, members) = (context.backend.servers(false, &request.token).await?, context.members.members());
    let autopilot = context.reader.load_full().autopilot().cloned().unwrap_or_default();
    let health = HealthRow::new(&report, &members, &autopilot);
    let answer = Answer::json(Rows::wanted(request, None)?.value(&health));
    Ok(if health.healthy { answer } else { answer.with_status(StatusCode::TOO_MANY_REQUESTS) })
}

/// The same with the part that each server has; 200 however they are.
pub(super) async fn autopilot_state(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let (report, members) = (context.backend.servers(false, &request.token).await?, context.members.members());
    let state = context.reader.load_full();
    let autopilot = state.autopilot().cloned().unwrap_or_default();
    let health = HealthRow::new(&report, &members, &autopilot);
    Ok(Answer::json(Rows::wanted(request, None)?.value(&StateRow::new(&health, &report, &state))))
}

/// How much is registered in this datacenter.
pub(super) async fn usage(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let topics = || vec![Topic::Nodes, Topic::Services];
    let level = match Options::parse(&request.query)?.mode {
        Mode::Leader => "leader",
        Mode::Consistent => "consistent",
        Mode::Stale(_) | Mode::Cached => "stale",
    };
    // Never given again: the body says too how the leader is known.
    let question = Question { topics: topics(), besides: None, schema: None, headers_on_failure: true, insists: false };
    read(context, request, question, |state, rows| {
        let index = topics().iter().map(|topic| state.index_of(topic)).max().unwrap_or_default();
        let known_leader = context.backend.contact().known_leader;
        rows.value(&UsageRow::new(context.datacenter(), state, index, known_leader, level))
    })
    .await
}
