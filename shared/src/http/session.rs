//! `/v1/session/...`: the holders of locks.
//!
//! Creating and destroying one is a command. Renewing is none: the leader alone keeps the time. A sidecar holds no
//! sessions, and has a server answer what is asked about them (`remote`).

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::{
    Context, Failure,
    answer::{Answer, encode},
    catalog::named,
    context::datacenter_asked,
    json::session::{SessionRow, created, session},
    params::{Mode, uuid},
    read::{Question, Rows, freshen, read},
    remote,
    route::Request,
};
use crate::{
    catalog::{State, Topic},
    command::{Command, Outcome, SessionCommand},
    model::{Key, Session},
};

pub(super) async fn create(context: &Context, request: &Request) -> Result<Answer, Failure> {
    context.refuse_other_datacenter(datacenter_asked(&request.query))?;
    let session = session(&request.body, context.agent_asked(request))?;
    let session = Session { id: Uuid::new_v4(), ..session };
    let id = session.id;
    match context.propose(request, Command::Session(SessionCommand::Create(Box::new(session)))).await?.outcome {
        Outcome::Refused(refusal) => Err(Failure::Rejected(format!("apply failed: {refusal}"))),
        _ => Ok(Answer::json(encode(&created(id), request.query.has("pretty")))),
    }
}

pub(super) async fn destroy(context: &Context, request: &Request) -> Result<Answer, Failure> {
    context.refuse_other_datacenter(datacenter_asked(&request.query))?;
    let id = asked(request)?.map_err(Failure::Rejected)?;
    context.write(request, Command::Session(SessionCommand::Destroy(id))).await
}

pub(super) async fn renew(context: &Context, request: &Request) -> Result<Answer, Failure> {
    context.refuse_other_datacenter(datacenter_asked(&request.query))?;
    let id = asked(request)?.map_err(Failure::Rejected)?;
    if !context.holds_keys() {
        return remote::fetch(context, request).await;
    }
    let known = context.backend.renew(id, &request.token).await?;
    // What the leader has just seen.
    freshen(context, Mode::Leader).await?;
    match context.reader.load_full().session(id).filter(|_| known) {
        Some(session) => Ok(Answer::json(encode(&[SessionRow::new(session)], request.query.has("pretty")))),
        None => Err(Failure::NotFound(format!("Session id '{id}' not found"))),
    }
}

pub(super) async fn info(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let id = asked(request)?;
    let topic = Topic::Session(id.clone().unwrap_or_default());
    ask(context, request, topic, |state, rows| match &id {
        Ok(id) => list(rows, state.session(*id).into_iter()).into(),
        Err(reason) => Failure::Rejected(reason.clone()).into(),
    })
    .await
}

pub(super) async fn node(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let node = named(&request.parameter, "Missing node name")?;
    ask(context, request, Topic::SessionsOf(Key::new(node)), |state, rows| {
        list(rows, state.node_sessions(node).iter()).into()
    })
    .await
}

pub(super) async fn all(context: &Context, request: &Request) -> Result<Answer, Failure> {
    ask(context, request, Topic::Sessions, |state, rows| list(rows, state.sessions()).into()).await
}

async fn ask(
    context: &Context,
    request: &Request,
    topic: Topic,
    answer: impl Fn(&State, &Rows) -> Answer,
) -> Result<Answer, Failure> {
    if !context.holds_keys() {
        return remote::fetch(context, request).await;
    }
    let question =
        Question { topics: vec![topic], besides: None, schema: None, headers_on_failure: true, insists: true };
    read(context, request, question, answer).await
}

fn list<'a>(rows: &Rows, sessions: impl Iterator<Item = &'a Arc<Session>>) -> Bytes {
    rows.list(sessions.map(|session| SessionRow::new(session)))
}

/// The session that the path names, or why that is no ID.
fn asked(request: &Request) -> Result<Result<Uuid, String>, Failure> {
    Ok(id(named(&request.parameter, "Missing session")?))
}

/// A session's ID as text.
pub(super) fn id(text: &str) -> Result<Uuid, String> {
    uuid(text).map_err(|reason| format!("failed session lookup: index error: {reason}"))
}
