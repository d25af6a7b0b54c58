//! `/v1/acl/auth-method...`, `/v1/acl/binding-rule...`, `/v1/acl/login` and `/v1/acl/logout`.
//!
//! Who logs in needs no token: it shows what somebody else has given it, a server looks at that (`acl::login`) and writes
//! the token in its own name. Why somebody was not let in stands in that server's log and in no answer.
//!
//! Methods and rules are the primary datacenter's, which the others have copies of. The token of a login is made where
//! that happens and counts there, unless its method makes tokens that count everywhere: those the primary makes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::Value;
use uuid::Uuid;

use super::{
    Context, Failure,
    acl::{ask, done, enabled, in_primary, new_secret, not_found, write, write_as},
    answer::Answer,
    context::datacenter_asked,
    json::{
        acl::TokenRow,
        login::{
            AuthMethodListRow, AuthMethodRow, BindingRuleRow, LoginBody, auth_method, binding_rule, login as login_body,
        },
    },
    params::{Mode, uuid},
    read::freshen,
    remote,
    route::Request,
};
use crate::{
    acl::{
        Denial,
        login::{Jwt, LoginError, check_rule, grants},
    },
    catalog::{AccessRow, State, Topic},
    command::{AccessCommand, Named, Presence},
    model::{AccessToken, AuthMethod, BindingRule, Time},
};

/// What somebody is told who is not let in, whatever the reason.
const DENIED: Failure = Failure::Forbidden("Permission denied");
/// How long an answer waits at most until this node knows that the token has come or gone.
const KNOWN_LIMIT: Duration = Duration::from_secs(2);
/// Reasons come to the log at most this often, in milliseconds: anybody may try.
const LOG_INTERVAL_MS: u64 = 1000;

/// What is true of a login and a logout: there is access control, and it is about this datacenter.
fn here(context: &Context, request: &Request) -> Result<(), Failure> {
    enabled(context)?;
    context.refuse_other_datacenter(datacenter_asked(&request.query))
}

pub(super) async fn methods(context: &Context, request: &Request) -> Result<Answer, Failure> {
    ask(context, request, |state, rows| {
        rows.value(&state.auth_methods().map(|method| AuthMethodListRow::new(method)).collect::<Vec<_>>()).into()
    })
    .await
}

pub(super) async fn method(context: &Context, request: &Request) -> Result<Answer, Failure> {
    ask(context, request, |state, rows| match state.auth_method(&request.parameter) {
        Some(method) => rows.value(&AuthMethodRow::new(method)).into(),
        None => not_found(),
    })
    .await
}

/// Makes the method of that name, or changes it, as Consul: with and without a name in the path.
pub(super) async fn put_method(context: &Context, request: &Request) -> Result<Answer, Failure> {
    enabled(context)?;
    in_primary(context)?;
    let method = auth_method(&request.body, &request.parameter)?;
    Jwt::parse(&method.config).map_err(|error| Failure::Rejected(error.to_string()))?;
    if !context.holds_keys() {
        return remote::fetch_once(context, request).await;
    }
    freshen(context, Mode::Leader).await?;
    let is_there = context.reader.load().auth_method(&method.name).is_some();
    let presence = if is_there { Presence::Present } else { Presence::Absent };
    let name = method.name.clone();
    let row = AccessRow::AuthMethod(Arc::new(method));
    let command = AccessCommand::Put { row, named: Named::default(), presence };
    write(context, request, command, |state, rows| Some(rows.value(&AuthMethodRow::new(state.auth_method(&name)?))))
        .await
}

/// Ends the tokens that it has made, too.
pub(super) async fn delete_method(context: &Context, request: &Request) -> Result<Answer, Failure> {
    enabled(context)?;
    in_primary(context)?;
    if request.parameter.is_empty() {
        return Err(Failure::BadRequest("Missing auth method name".into()));
    }
    if !context.holds_keys() {
        return remote::fetch_once(context, request).await;
    }
    let gone = AccessRow::AuthMethodGone(request.parameter.as_str().into());
    write(context, request, AccessCommand::Remove(vec![gone]), done).await
}

pub(super) async fn rules(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let method = request.query.filled("authmethod");
    ask(context, request, |state, rows| {
        let rules = state.binding_rules().filter(|rule| method.is_none_or(|method| rule.auth_method == method));
        rows.value(&rules.map(|rule| BindingRuleRow::new(rule)).collect::<Vec<_>>()).into()
    })
    .await
}

pub(super) async fn rule(context: &Context, request: &Request) -> Result<Answer, Failure> {
    enabled(context)?;
    let id = uuid(&request.parameter)
        .map_err(|reason| Failure::Rejected(format!("failed acl binding rule lookup: {reason}")))?;
    ask(context, request, |state, rows| match state.binding_rule(id) {
        Some(rule) => rows.value(&BindingRuleRow::new(rule)).into(),
        None => not_found(),
    })
    .await
}

pub(super) async fn create_rule(context: &Context, request: &Request) -> Result<Answer, Failure> {
    enabled(context)?;
    in_primary(context)?;
    let rule = binding_rule(&request.body)?;
    if !rule.id.is_nil() {
        return Err(Failure::BadRequest("Cannot specify the ID when creating a new binding rule".into()));
    }
    put_rule(context, request, BindingRule { id: Uuid::new_v4(), ..rule }, Presence::Absent).await
}

pub(super) async fn change_rule(context: &Context, request: &Request) -> Result<Answer, Failure> {
    enabled(context)?;
    in_primary(context)?;
    let id = rule_id(request)?;
    let rule = binding_rule(&request.body)?;
    if !rule.id.is_nil() && rule.id != id {
        return Err(Failure::BadRequest("BindingRule ID in URL and payload do not match".into()));
    }
    put_rule(context, request, BindingRule { id, ..rule }, Presence::Present).await
}

fn rule_id(request: &Request) -> Result<Uuid, Failure> {
    uuid(&request.parameter).map_err(|reason| Failure::BadRequest(format!("Invalid binding rule ID: {reason}")))
}

async fn put_rule(
    context: &Context,
    request: &Request,
    rule: BindingRule,
    presence: Presence,
) -> Result<Answer, Failure> {
    if !context.holds_keys() {
        return remote::fetch_once(context, request).await;
    }
    freshen(context, Mode::Leader).await?;
    let method = context.reader.load().auth_method(&rule.auth_method).cloned();
    let unknown = || Failure::Rejected(format!("Invalid Binding Rule: auth method {:?} not found", rule.auth_method));
    let method =
        Jwt::parse(&method.ok_or_else(unknown)?.config).map_err(|error| Failure::Rejected(error.to_string()))?;
    check_rule(&rule, &method).map_err(|error| Failure::Rejected(error.to_string()))?;
    let id = rule.id;
    let row = AccessRow::BindingRule(Arc::new(rule));
    let command = AccessCommand::Put { row, named: Named::default(), presence };
    write(context, request, command, |state, rows| Some(rows.value(&BindingRuleRow::new(state.binding_rule(id)?))))
        .await
}

pub(super) async fn delete_rule(context: &Context, request: &Request) -> Result<Answer, Failure> {
    enabled(context)?;
    in_primary(context)?;
    let id = rule_id(request)?;
    if !context.holds_keys() {
        return remote::fetch_once(context, request).await;
    }
    write(context, request, AccessCommand::Remove(vec![AccessRow::BindingRuleGone(id)]), done).await
}

pub(super) async fn login(context: &Context, request: &Request) -> Result<Answer, Failure> {
    here(context, request)?;
    let body = login_body(&request.body)?;
    if !context.holds_keys() {
        return known_here(context, remote::fetch_once(context, request).await?).await;
    }
    freshen(context, Mode::Leader).await?;
    let state = context.reader.load_full();
    let method = state.auth_method(&body.method).ok_or(Denial::NotFound)?;
    if method.makes_global_tokens {
        in_primary(context)?;
    }
    let token = match token_of(context, &state, method, body) {
        Ok(token) => token,
        Err(reason) => {
            log_refused(&method.name, &reason);
            return Err(DENIED);
        }
    };
    let accessor = token.accessor;
    let row = AccessRow::Token(Arc::new(token));
    let command = AccessCommand::Put { row, named: Named::default(), presence: Presence::Absent };
    write_as(context, request, &context.authority.own_credential(), command, |state, rows| {
        Some(rows.value(&TokenRow::new(state.access_token(accessor)?, state, true)))
    })
    .await
}

/// The token that somebody gets by that method.
fn token_of(context: &Context, state: &State, method: &AuthMethod, body: LoginBody) -> Result<AccessToken, LoginError> {
    let now = Time::now();
    let identity = Jwt::parse(&method.config)?.identify(&body.bearer, now)?;
    let rules = state.binding_rules().filter(|rule| rule.auth_method == method.name).map(|rule| &**rule);
    let grants = grants(&identity, rules, state, context.datacenter())?;
    let life_ms = method.max_token_ttl_ns.div_ceil(1_000_000);
    Ok(AccessToken {
        description: body.description,
        grants,
        is_local: !method.makes_global_tokens,
        auth_method: method.name.clone(),
        expires: (life_ms > 0).then(|| Time(now.0.saturating_add(life_ms))),
        ..AccessToken::new(Uuid::new_v4(), new_secret())
    })
}

/// Says why somebody was not let in, and not more often than an operator can read.
fn log_refused(method: &str, reason: &LoginError) {
    static LAST_MS: AtomicU64 = AtomicU64::new(0);
    let (now, last) = (Time::now().0, LAST_MS.load(Relaxed));
    if now.abs_diff(last) >= LOG_INTERVAL_MS && LAST_MS.compare_exchange(last, now, Relaxed, Relaxed).is_ok() {
        tracing::warn!(method, "a login was refused: {reason}");
    } else {
        tracing::debug!(method, "a login was refused: {reason}");
    }
}

/// Ends the token that the caller shows, which must come from a login.
pub(super) async fn logout(context: &Context, request: &Request) -> Result<Answer, Failure> {
    here(context, request)?;
    if !context.holds_keys() {
        let answer = remote::fetch_once(context, request).await?;
        if let Some(accessor) = request.caller.accessor.filter(|_| answer.status().is_success()) {
            wait_until(context, |state| state.access_token(accessor).is_none()).await;
        }
        return Ok(answer);
    }
    freshen(context, Mode::Leader).await?;
    let state = context.reader.load_full();
    let accessor = context.authority.identify(&request.token)?.accessor.ok_or(DENIED)?;
    let token = state.access_token(accessor).ok_or(Denial::NotFound)?;
    if token.auth_method.is_empty() {
        return Err(DENIED);
    }
    if !token.is_local {
        in_primary(context)?;
    }
    let gone = AccessCommand::Remove(vec![AccessRow::TokenGone(accessor)]);
    write_as(context, request, &context.authority.own_credential(), gone, done).await
}

/// The answer of a server to a login, as soon as this node knows the token too: it will be shown here next.
async fn known_here(context: &Context, answer: Answer) -> Result<Answer, Failure> {
    if !answer.status().is_success() {
        return Ok(answer);
    }
    let mut accessor = None;
    let answer = answer
        .map_body(|body| {
            let token: Value = serde_json::from_slice(&body).unwrap_or_default();
            accessor = token["AccessorID"].as_str().and_then(|text| Uuid::try_parse(text).ok());
            body
        })
        .await?;
    if let Some(accessor) = accessor {
        wait_until(context, |state| state.access_token(accessor).is_some()).await;
    }
    Ok(answer)
}

/// Waits until this node's own view is so, but not for long.
async fn wait_until(context: &Context, is_so: impl Fn(&State) -> bool) {
    let waiting = context.reader.wait_for(&Topic::Access);
    let becomes_so = async {
        loop {
            // Made before the look at the state, so that no change falls between the two.
            let next = waiting.next();
            if is_so(&context.reader.load()) {
                return;
            }
            next.await;
        }
    };
    if tokio::time::timeout(KNOWN_LIMIT, becomes_so).await.is_err() {
        tracing::debug!("a login or logout was answered before this node knew of it");
    }
}
