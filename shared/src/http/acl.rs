//! `/v1/acl/...`: tokens, policies and roles.
//!
//! Only servers know secrets, so that a sidecar has one of them answer, and the leader write, at most once. Policies, roles
//! and tokens that count everywhere are the primary datacenter's: elsewhere a request that writes one is passed on there.
//! Lists are not filtered: who may read any of it may read all (`acl:read`); secrets are for those who may write it.

use std::{fs, sync::Arc};

use bytes::Bytes;
use uuid::Uuid;

use super::{
    Context, Failure,
    answer::Answer,
    context::datacenter_asked,
    json::acl::{
        ExpandedTokenRow, PolicyListRow, PolicyRow, ReplicationRow, RoleRow, TokenBody, TokenRow,
        policy as policy_body, role as role_body, token as token_body,
    },
    params::{Mode, uuid},
    read::{Question, Rows, freshen, read},
    remote,
    route::Request,
};
use crate::{
    acl::{Credential, Denial, Level, Resource},
    backend::BackendError,
    catalog::{AccessRow, State, Topic},
    command::{AccessCommand, Command, Named, Outcome, Presence},
    model::{ANONYMOUS, AccessToken, Index, Policy, Role, Secret, Time},
};

/// The file in a server's data directory that allows a first token once more: the index that the refusal names.
const RESET_FILE: &str = "acl-bootstrap-reset";

/// Stops where there is no access control.
pub(super) fn enabled(context: &Context) -> Result<(), Failure> {
    if context.authority.is_enabled() { Ok(()) } else { Err(Failure::NoAccessControl) }
}

/// Stops where the write is the primary datacenter's, so that it is passed on there.
pub(super) fn in_primary(context: &Context) -> Result<(), Failure> {
    let settings = context.authority.settings();
    if settings.has_other_primary() {
        return Err(Failure::OtherDatacenter(settings.primary_datacenter.to_string()));
    }
    Ok(())
}

pub(super) async fn ask(
    context: &Context,
    request: &Request,
    answer: impl Fn(&State, &Rows) -> Answer,
) -> Result<Answer, Failure> {
    enabled(context)?;
    if !context.holds_keys() {
        return remote::fetch(context, request).await;
    }
    let topics = vec![Topic::Access];
    // Never kept: there are secrets in it.
    let question = Question { topics, besides: None, schema: None, headers_on_failure: true, insists: false };
    read(context, request, question, answer).await
}

/// Writes, and answers with what `row` makes of the state then.
pub(super) async fn write(
    context: &Context,
    request: &Request,
    command: AccessCommand,
    row: impl FnOnce(&State, &Rows) -> Option<Bytes>,
) -> Result<Answer, Failure> {
    write_as(context, request, &request.token, command, row).await
}

/// The same by another right than that of whoever asks.
pub(super) async fn write_as(
    context: &Context,
    request: &Request,
    by: &Credential,
    command: AccessCommand,
    row: impl FnOnce(&State, &Rows) -> Option<Bytes>,
) -> Result<Answer, Failure> {
    match context.backend.write(Command::Access(command), by).await?.outcome {
        Outcome::Refused(refusal) => Err(refusal.into()),
        _ => {
            let rows = Rows::wanted(request, None)?;
            let shown = row(&context.reader.load_full(), &rows);
            Ok(Answer::json(shown.ok_or_else(|| Failure::Rejected("it was written and is gone already".into()))?))
        }
    }
}

pub(super) fn done(_: &State, rows: &Rows) -> Option<Bytes> {
    Some(rows.value(&true))
}

pub(super) fn not_found() -> Answer {
    Failure::from(Denial::NotFound).into()
}

pub(super) async fn bootstrap(context: &Context, request: &Request) -> Result<Answer, Failure> {
    context.refuse_other_datacenter(datacenter_asked(&request.query))?;
    enabled(context)?;
    in_primary(context)?;
    if !context.holds_keys() {
        return remote::fetch_once(context, request).await;
    }
    freshen(context, Mode::Leader).await?;
    let given = if request.body.is_empty() {
        None
    } else {
        let body = super::json::parse(&request.body)?;
        let mut fields = crate::agent::definition::Fields::of(&body, crate::agent::definition::Strictness::Body)?;
        let secret = fields.text("bootstrapsecret")?;
        if !secret.is_empty() {
            uuid(&secret).map_err(|reason| Failure::BadRequest(format!("BootstrapSecret: {reason}")))?;
        }
        (!secret.is_empty()).then(|| Secret::new(secret))
    };
    // The leader's first duty; it is done at once.
    if context.reader.load().servers_secret().is_none() {
        return Err(BackendError::NoLeader.into());
    }
    let reset = reset_index(context);
    let secret = given.unwrap_or_else(new_secret);
    let token = AccessToken {
        description: "Bootstrap Token (Global Management)".into(),
        ..AccessToken::new(Uuid::new_v4(), secret)
    };
    let accessor = token.accessor;
    let command = AccessCommand::Bootstrap { token: Box::new(token), reset };
    // It takes no right: whoever comes first has it. But only a server lets him.
    let answer = write_as(context, request, &context.authority.own_credential(), command, |state, rows| {
        Some(rows.value(&TokenRow::new(state.access_token(accessor)?, state, true)))
    })
    .await?;
    if let (Some(dir), Some(_)) = (&context.settings.data_dir, reset)
        && let Err(error) = fs::remove_file(dir.join(RESET_FILE))
    {
        tracing::warn!(%error, "{RESET_FILE} has done its work and cannot be removed: remove it");
    }
    tracing::warn!(%accessor, "access control was bootstrapped: there is a token that allows everything");
    Ok(answer)
}

fn reset_index(context: &Context) -> Option<Index> {
    let text = fs::read_to_string(context.settings.data_dir.as_ref()?.join(RESET_FILE)).ok()?;
    text.trim().parse().ok().map(Index)
}

pub(super) fn new_secret() -> Secret {
    Secret::new(Uuid::new_v4().to_string())
}

pub(super) async fn replication(context: &Context, request: &Request) -> Result<Answer, Failure> {
    enabled(context)?;
    if !context.holds_keys() {
        return remote::fetch(context, request).await;
    }
    let settings = context.authority.settings();
    let report = context.authority.replication();
    let row = ReplicationRow::new(settings, &report);
    Ok(Answer::json(Rows::wanted(request, None)?.value(&row)))
}

pub(super) async fn tokens(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let id = |name: &str| request.query.filled(name).and_then(|text| Uuid::try_parse(text).ok());
    let (policy, role, method) = (id("policy"), id("role"), request.query.filled("authmethod"));
    let service = request.query.filled("servicename");
    let has = |token: &AccessToken| {
        policy.is_none_or(|policy| token.grants.policies.contains(&policy))
            && role.is_none_or(|role| token.grants.roles.contains(&role))
            && method.is_none_or(|method| token.auth_method == method)
            && service.is_none_or(|service| token.grants.services.iter().any(|own| own.service == service))
    };
    ask(context, request, |state, rows| {
        let tokens = state.access_tokens().filter(|token| has(token) && token.is_valid_at(Time::now()));
        rows.value(&tokens.map(|token| TokenRow::listed(token, state)).collect::<Vec<_>>()).into()
    })
    .await
}

pub(super) async fn token(context: &Context, request: &Request) -> Result<Answer, Failure> {
    enabled(context)?;
    let accessor =
        uuid(&request.parameter).map_err(|reason| Failure::Rejected(format!("failed acl token lookup: {reason}")))?;
    ask(context, request, |state, rows| {
        let token = state.access_token(accessor).filter(|token| token.is_valid_at(Time::now()));
        let Some(token) = token else { return not_found() };
        show(context, request, token, state, rows, rows.rights().allow(Resource::Acl, Level::Write, ""))
    })
    .await
}

/// The caller's own: whoever shows the secret may see what it is of.
pub(super) async fn own_token(context: &Context, request: &Request) -> Result<Answer, Failure> {
    ask(context, request, |state, rows| {
        let accessor = context.authority.identify(&request.token).ok().and_then(|known| known.accessor);
        match accessor.and_then(|accessor| state.access_token(accessor)) {
            Some(token) => show(context, request, token, state, rows, true),
            None => not_found(),
        }
    })
    .await
}

fn show(
    context: &Context,
    request: &Request,
    token: &AccessToken,
    state: &State,
    rows: &Rows,
    shows_secret: bool,
) -> Answer {
    let row = TokenRow::new(token, state, shows_secret);
    if request.query.has("expanded") {
        return rows.value(&ExpandedTokenRow::new(row, token, state, context.authority.settings())).into();
    }
    rows.value(&row).into()
}

pub(super) async fn create_token(context: &Context, request: &Request) -> Result<Answer, Failure> {
    enabled(context)?;
    let body = token_body(&request.body)?;
    if !body.is_local {
        in_primary(context)?;
    }
    if !context.holds_keys() {
        return remote::fetch_once(context, request).await;
    }
    let TokenBody { accessor, secret, description, grants, named, is_local, expires } = body;
    let token = AccessToken {
        accessor: accessor.unwrap_or_else(Uuid::new_v4),
        description,
        grants,
        is_local,
        expires,
        ..AccessToken::new(Uuid::new_v4(), secret.unwrap_or_else(new_secret))
    };
    put_token(context, request, token, named, Presence::Absent).await
}

async fn put_token(
    context: &Context,
    request: &Request,
    token: AccessToken,
    named: Named,
    presence: Presence,
) -> Result<Answer, Failure> {
    let accessor = token.accessor;
    let command = AccessCommand::Put { row: AccessRow::Token(Arc::new(token)), named, presence };
    write(context, request, command, |state, rows| {
        Some(rows.value(&TokenRow::new(state.access_token(accessor)?, state, true)))
    })
    .await
}

/// Changes the token of that accessor; with `/clone` behind it, makes another that allows the same.
pub(super) async fn change_token(context: &Context, request: &Request) -> Result<Answer, Failure> {
    enabled(context)?;
    let (text, clones) = match request.parameter.strip_suffix("/clone") {
        Some(text) => (text, true),
        None => (request.parameter.as_str(), false),
    };
    let accessor = uuid(text).map_err(|reason| Failure::BadRequest(format!("Invalid AccessorID: {reason}")))?;
    let body = if clones && request.body.is_empty() { None } else { Some(token_body(&request.body)?) };
    if !context.holds_keys() {
        return remote::fetch_once(context, request).await;
    }
    let token = its_token(context, accessor).await?.ok_or(Denial::NotFound)?;
    if clones {
        if accessor == ANONYMOUS {
            return Err(Failure::Rejected("Cannot clone the anonymous token".into()));
        }
        if !token.auth_method.is_empty() {
            return Err(Failure::Rejected("Cannot clone a token that a login made: log in again".into()));
        }
        if !token.is_valid_at(Time::now()) {
            return Err(Denial::NotFound.into());
        }
        let description = body.map(|body| body.description).filter(|text| !text.is_empty());
        let clone = AccessToken {
            description: description.unwrap_or_else(|| token.description.clone()),
            grants: token.grants.clone(),
            is_local: token.is_local,
            expires: token.expires,
            ..AccessToken::new(Uuid::new_v4(), new_secret())
        };
        return put_token(context, request, clone, Named::default(), Presence::Absent).await;
    }
    let Some(body) = body else { return Err(Failure::BadRequest("the body is empty".into())) };
    if body.accessor.is_some_and(|other| other != accessor) {
        return Err(Failure::BadRequest("Token Accessor ID in URL and payload do not match".into()));
    }
    let changed = AccessToken { description: body.description, grants: body.grants, ..(*token).clone() };
    put_token(context, request, changed, body.named, Presence::Present).await
}

/// The token of that accessor, as the leader has it; where it counts everywhere, this is its datacenter.
async fn its_token(context: &Context, accessor: Uuid) -> Result<Option<Arc<AccessToken>>, Failure> {
    freshen(context, Mode::Leader).await?;
    let token = context.reader.load().access_token(accessor).cloned();
    if token.as_ref().is_none_or(|token| !token.is_local) {
        in_primary(context)?;
    }
    Ok(token)
}

pub(super) async fn delete_token(context: &Context, request: &Request) -> Result<Answer, Failure> {
    enabled(context)?;
    let accessor =
        uuid(&request.parameter).map_err(|reason| Failure::BadRequest(format!("Invalid AccessorID: {reason}")))?;
    if !context.holds_keys() {
        return remote::fetch_once(context, request).await;
    }
    its_token(context, accessor).await?;
    write(context, request, AccessCommand::Remove(vec![AccessRow::TokenGone(accessor)]), done).await
}

pub(super) async fn policies(context: &Context, request: &Request) -> Result<Answer, Failure> {
    ask(context, request, |state, rows| {
        rows.value(&state.access_policies().map(|policy| PolicyListRow::new(policy)).collect::<Vec<_>>()).into()
    })
    .await
}

pub(super) async fn policy(context: &Context, request: &Request) -> Result<Answer, Failure> {
    enabled(context)?;
    let id =
        uuid(&request.parameter).map_err(|reason| Failure::Rejected(format!("failed acl policy lookup: {reason}")))?;
    ask(context, request, |state, rows| match state.access_policy(id) {
        Some(policy) => rows.value(&PolicyRow::new(policy)).into(),
        None => not_found(),
    })
    .await
}

pub(super) async fn policy_named(context: &Context, request: &Request) -> Result<Answer, Failure> {
    ask(context, request, |state, rows| match state.access_policy_named(&request.parameter) {
        Some(policy) => rows.value(&PolicyRow::new(policy)).into(),
        None => not_found(),
    })
    .await
}

pub(super) async fn create_policy(context: &Context, request: &Request) -> Result<Answer, Failure> {
    enabled(context)?;
    in_primary(context)?;
    let policy = policy_body(&request.body)?;
    if !policy.id.is_nil() {
        return Err(Failure::BadRequest("Cannot specify the ID when creating a new policy".into()));
    }
    put_policy(context, request, Policy { id: Uuid::new_v4(), ..policy }, Presence::Absent).await
}

pub(super) async fn change_policy(context: &Context, request: &Request) -> Result<Answer, Failure> {
    enabled(context)?;
    in_primary(context)?;
    let id = uuid(&request.parameter).map_err(|reason| Failure::BadRequest(format!("Invalid policy ID: {reason}")))?;
    let policy = policy_body(&request.body)?;
    if !policy.id.is_nil() && policy.id != id {
        return Err(Failure::BadRequest("Policy ID in URL and payload do not match".into()));
    }
    put_policy(context, request, Policy { id, ..policy }, Presence::Present).await
}

async fn put_policy(
    context: &Context,
    request: &Request,
    policy: Policy,
    presence: Presence,
) -> Result<Answer, Failure> {
    if !context.holds_keys() {
        return remote::fetch_once(context, request).await;
    }
    let id = policy.id;
    let command = AccessCommand::Put { row: AccessRow::Policy(Arc::new(policy)), named: Named::default(), presence };
    write(context, request, command, |state, rows| Some(rows.value(&PolicyRow::new(state.access_policy(id)?)))).await
}

pub(super) async fn delete_policy(context: &Context, request: &Request) -> Result<Answer, Failure> {
    remove(context, request, AccessRow::PolicyGone).await
}

async fn remove(context: &Context, request: &Request, gone: impl FnOnce(Uuid) -> AccessRow) -> Result<Answer, Failure> {
    enabled(context)?;
    in_primary(context)?;
    let id = uuid(&request.parameter).map_err(|reason| Failure::BadRequest(format!("Invalid ID: {reason}")))?;
    if !context.holds_keys() {
        return remote::fetch_once(context, request).await;
    }
    write(context, request, AccessCommand::Remove(vec![gone(id)]), done).await
}

pub(super) async fn roles(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let policy = request.query.filled("policy").and_then(|text| Uuid::try_parse(text).ok());
    ask(context, request, |state, rows| {
        let has = |role: &&Arc<Role>| policy.is_none_or(|policy| role.grants.policies.contains(&policy));
        let roles = state.access_roles().filter(has);
        rows.value(&roles.map(|role| RoleRow::new(role, state)).collect::<Vec<_>>()).into()
    })
    .await
}

pub(super) async fn role(context: &Context, request: &Request) -> Result<Answer, Failure> {
    enabled(context)?;
    let id =
        uuid(&request.parameter).map_err(|reason| Failure::Rejected(format!("failed acl role lookup: {reason}")))?;
    ask(context, request, |state, rows| match state.access_role(id) {
        Some(role) => rows.value(&RoleRow::new(role, state)).into(),
        None => not_found(),
    })
    .await
}

pub(super) async fn role_named(context: &Context, request: &Request) -> Result<Answer, Failure> {
    ask(context, request, |state, rows| match state.access_role_named(&request.parameter) {
        Some(role) => rows.value(&RoleRow::new(role, state)).into(),
        None => not_found(),
    })
    .await
}

pub(super) async fn create_role(context: &Context, request: &Request) -> Result<Answer, Failure> {
    enabled(context)?;
    in_primary(context)?;
    let (role, named) = role_body(&request.body)?;
    if !role.id.is_nil() {
        return Err(Failure::BadRequest("Cannot specify the ID when creating a new role".into()));
    }
    put_role(context, request, Role { id: Uuid::new_v4(), ..role }, named, Presence::Absent).await
}

pub(super) async fn change_role(context: &Context, request: &Request) -> Result<Answer, Failure> {
    enabled(context)?;
    in_primary(context)?;
    let id = uuid(&request.parameter).map_err(|reason| Failure::BadRequest(format!("Invalid role ID: {reason}")))?;
    let (role, named) = role_body(&request.body)?;
    if !role.id.is_nil() && role.id != id {
        return Err(Failure::BadRequest("Role ID in URL and payload do not match".into()));
    }
    put_role(context, request, Role { id, ..role }, named, Presence::Present).await
}

async fn put_role(
    context: &Context,
    request: &Request,
    role: Role,
    named: Named,
    presence: Presence,
) -> Result<Answer, Failure> {
    if !context.holds_keys() {
        return remote::fetch_once(context, request).await;
    }
    let id = role.id;
    let command = AccessCommand::Put { row: AccessRow::Role(Arc::new(role)), named, presence };
    write(context, request, command, |state, rows| Some(rows.value(&RoleRow::new(state.access_role(id)?, state)))).await
}

pub(super) async fn delete_role(context: &Context, request: &Request) -> Result<Answer, Failure> {
    remove(context, request, AccessRow::RoleGone).await
}
