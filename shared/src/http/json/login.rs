//! Auth methods and binding rules as Consul shows them, and the bodies that write them and log somebody in.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use serde_json::Value;
use smol_str::SmolStr;
use uuid::Uuid;

use super::acl::{TOKEN_LIFE, bounded, optional_id, refuse_name};
use crate::{
    acl::login::JWT,
    agent::{
        definition::{Fields, Strictness},
        duration,
    },
    http::Failure,
    model::{AuthMethod, Bind, BindingRule, Index},
};

/// What the description of a token begins with that comes from a login, in Consul's words.
const DESCRIPTION: &str = "token created via login";
/// The largest body of a login, in bytes: a JWT of 16 KiB, and what its bearer wants to be noted beside it.
const MAX_LOGIN_BYTES: usize = 64 * 1024;
/// The longest description of a token that comes from a login, in bytes.
const MAX_DESCRIPTION_BYTES: usize = 4 * 1024;
/// The longest description or shown name of a method or rule, in bytes.
const MAX_TEXT_BYTES: usize = 4 * 1024;

fn locality(method: &AuthMethod) -> &'static str {
    if method.makes_global_tokens { "global" } else { "local" }
}

fn life(method: &AuthMethod) -> Option<String> {
    (method.max_token_ttl_ns > 0).then(|| duration::show(Duration::from_nanos(method.max_token_ttl_ns)))
}

/// A method in a list: how it knows somebody is left out.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AuthMethodListRow<'a> {
    name: &'a str,
    #[serde(rename = "Type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    display_name: &'a str,
    description: &'a str,
    #[serde(rename = "MaxTokenTTL", skip_serializing_if = "Option::is_none")]
    max_token_ttl: Option<String>,
    token_locality: &'static str,
    create_index: u64,
    modify_index: u64,
}

impl<'a> AuthMethodListRow<'a> {
    /// The row of a method.
    #[must_use]
    pub fn new(method: &'a AuthMethod) -> Self {
        Self {
            name: &method.name,
            kind: &method.kind,
            display_name: &method.display_name,
            description: &method.description,
            max_token_ttl: life(method),
            token_locality: locality(method),
            create_index: method.create_index.0,
            modify_index: method.modify_index.0,
        }
    }
}

/// A method.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AuthMethodRow<'a> {
    #[serde(flatten)]
    row: AuthMethodListRow<'a>,
    config: Value,
}

impl<'a> AuthMethodRow<'a> {
    /// The row of a method.
    #[must_use]
    pub fn new(method: &'a AuthMethod) -> Self {
        let config = serde_json::from_str(&method.config).unwrap_or_default();
        Self { row: AuthMethodListRow::new(method), config }
    }
}

/// A binding rule.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct BindingRuleRow<'a> {
    #[serde(rename = "ID")]
    id: Uuid,
    description: &'a str,
    auth_method: &'a str,
    selector: &'a str,
    bind_type: &'static str,
    bind_name: &'a str,
    create_index: u64,
    modify_index: u64,
}

impl<'a> BindingRuleRow<'a> {
    /// The row of a rule.
    #[must_use]
    pub fn new(rule: &'a BindingRule) -> Self {
        let bind_type = match rule.bind {
            Bind::Service => "service",
            Bind::Node => "node",
            Bind::Role => "role",
        };
        Self {
            id: rule.id,
            description: &rule.description,
            auth_method: &rule.auth_method,
            selector: &rule.selector,
            bind_type,
            bind_name: &rule.bind_name,
            create_index: rule.create_index.0,
            modify_index: rule.modify_index.0,
        }
    }
}

/// Reads the body that writes the method of that name; where the path names none, the body must. Its configuration is
/// taken as it is: `acl::login` reads that.
///
/// # Errors
/// 400 where it cannot be read, 500 (as Consul) where it makes no sense.
pub fn auth_method(body: &[u8], in_path: &str) -> Result<AuthMethod, Failure> {
    let refuse = |problem: String| Err(Failure::Rejected(format!("Invalid Auth Method: {problem}")));
    let body = bounded(body)?;
    let mut fields = Fields::of(&body, Strictness::Body)?;
    let name = fields.text("name")?;
    if !in_path.is_empty() && !name.is_empty() && name != in_path {
        return Err(Failure::BadRequest("AuthMethod Name in URL and payload do not match".into()));
    }
    let name = if name.is_empty() { in_path.into() } else { name };
    refuse_name("Auth Method", &name)?;
    let kind = fields.text("type")?;
    if kind != JWT {
        return refuse(format!("Type should be one of: [{JWT}]"));
    }
    let life = fields.duration("maxtokenttl")?;
    if !life.is_zero() && !TOKEN_LIFE.contains(&life) {
        let (least, most) = (duration::show(*TOKEN_LIFE.start()), duration::show(*TOKEN_LIFE.end()));
        return refuse(format!("MaxTokenTTL {} is not between {least} and {most}", duration::show(life)));
    }
    let makes_global_tokens = match fields.text("tokenlocality")?.as_str() {
        "" | "local" => false,
        "global" => true,
        other => return refuse(format!("TokenLocality {other:?} should be one of 'local' or 'global'")),
    };
    let Some((_, config @ Value::Object(_))) = fields.take("config") else {
        return refuse("Config is missing: an object that says how a login is looked at".into());
    };
    Ok(AuthMethod {
        name,
        kind,
        display_name: short(fields.text("displayname")?, "Auth Method: DisplayName")?,
        description: short(fields.text("description")?, "Auth Method: Description")?,
        max_token_ttl_ns: u64::try_from(life.as_nanos()).unwrap_or(u64::MAX),
        makes_global_tokens,
        config: config.to_string().into(),
        create_index: Index(0),
        modify_index: Index(0),
    })
}

/// Reads the body that writes a binding rule; its ID is nil where none is given.
///
/// # Errors
/// 400 where it cannot be read, 500 (as Consul) where it makes no sense.
pub fn binding_rule(body: &[u8]) -> Result<BindingRule, Failure> {
    let refuse = |problem: String| Err(Failure::Rejected(format!("Invalid Binding Rule: {problem}")));
    let body = bounded(body)?;
    let mut fields = Fields::of(&body, Strictness::Body)?;
    let id = optional_id(&fields.text("id")?, "Binding Rule: ID")?.unwrap_or_default();
    let auth_method = fields.text("authmethod")?;
    if auth_method.is_empty() {
        return refuse("no AuthMethod is set".into());
    }
    let bind = match fields.text("bindtype")?.as_str() {
        "service" => Bind::Service,
        "node" => Bind::Node,
        "role" => Bind::Role,
        "" => return refuse("no BindType is set".into()),
        other => return refuse(format!("BindType {other:?} should be one of service, node, role")),
    };
    let bind_name = fields.text("bindname")?;
    if bind_name.is_empty() {
        return refuse("no BindName is set".into());
    }
    Ok(BindingRule {
        id,
        description: short(fields.text("description")?, "Binding Rule: Description")?,
        auth_method,
        selector: fields.text("selector")?,
        bind,
        bind_name,
        create_index: Index(0),
        modify_index: Index(0),
    })
}

fn short(text: SmolStr, what: &str) -> Result<SmolStr, Failure> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(Failure::Rejected(format!("Invalid {what} has more than {MAX_TEXT_BYTES} bytes")));
    }
    Ok(text)
}

/// What a body says of a login. It has no `Debug`: whoever has the bearer token can log in with it.
pub struct LoginBody {
    /// The name of the method.
    pub method: SmolStr,
    /// What somebody else has given the caller.
    pub bearer: SmolStr,
    /// What the description of its token will be.
    pub description: SmolStr,
}

/// Reads the body of a login.
///
/// # Errors
/// 400 where it cannot be read or something is missing, 413 where it is too long.
pub fn login(body: &[u8]) -> Result<LoginBody, Failure> {
    if body.len() > MAX_LOGIN_BYTES {
        return Err(Failure::TooLarge(MAX_LOGIN_BYTES));
    }
    let body = super::parse(body)?;
    let mut fields = Fields::of(&body, Strictness::Body)?;
    let (method, bearer, meta) = (fields.text("authmethod")?, fields.text("bearertoken")?, fields.map("meta")?);
    for (what, text) in [("AuthMethod", &method), ("BearerToken", &bearer)] {
        if text.is_empty() {
            return Err(Failure::BadRequest(format!("Invalid Login request: no {what} is set")));
        }
    }
    Ok(LoginBody { method, bearer, description: description(&meta)? })
}

fn description(meta: &BTreeMap<SmolStr, SmolStr>) -> Result<SmolStr, Failure> {
    if meta.is_empty() {
        return Ok(DESCRIPTION.into());
    }
    let noted: serde_json::Map<String, Value> =
        meta.iter().map(|(key, value)| (key.to_string(), Value::from(value.as_str()))).collect();
    let description = format!("{DESCRIPTION}: {}", Value::Object(noted));
    if description.len() > MAX_DESCRIPTION_BYTES {
        let problem = format!("Meta would make a description of more than {MAX_DESCRIPTION_BYTES} bytes");
        return Err(Failure::BadRequest(format!("Invalid Login request: {problem}")));
    }
    Ok(description.into())
}
