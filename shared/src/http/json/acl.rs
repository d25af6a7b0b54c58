//! Tokens, policies and roles as Consul shows them, and the bodies that write them.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::digest::{SHA256, digest};
use serde::Serialize;
use serde_json::Value;
use smol_str::SmolStr;
use uuid::Uuid;

use super::{parse, time::moment};
use crate::{
    acl::{Replication, Rules, Settings, is_node_identity_name, is_service_identity_name},
    agent::definition::{DefinitionError, Fields, Strictness},
    catalog::State,
    command::Named,
    http::Failure,
    model::{AccessToken, Grants, Index, NodeIdentity, Policy, Role, Secret, ServiceIdentity, Time, Token},
};

/// The longest name of a policy or role, in bytes.
const MAX_NAME_BYTES: usize = 128;
/// The largest body, in bytes: every node holds all tokens and policies.
const MAX_BODY_BYTES: usize = 128 << 10;
/// The most policies, roles or identities of one token or role.
const MAX_GRANTS: usize = 256;
/// How long a token that ends may count, at least and at most (Consul's `acl.token_min_expiration_ttl` and its kin).
pub(super) const TOKEN_LIFE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

/// Something by ID and name.
#[derive(Serialize)]
struct Link<'a> {
    #[serde(rename = "ID")]
    id: Uuid,
    #[serde(rename = "Name")]
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ServiceIdentityRow<'a> {
    service_name: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    datacenters: &'a [SmolStr],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NodeIdentityRow<'a> {
    node_name: &'a str,
    datacenter: &'a str,
}

/// What is granted; what is gone is left out.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GrantRows<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    policies: Vec<Link<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<Link<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    service_identities: Vec<ServiceIdentityRow<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    node_identities: Vec<NodeIdentityRow<'a>>,
}

impl<'a> GrantRows<'a> {
    fn new(grants: &'a Grants, state: &'a State) -> Self {
        let policies = grants.policies.iter().filter_map(|id| state.access_policy(*id));
        let roles = grants.roles.iter().filter_map(|id| state.access_role(*id));
        let service = |identity: &'a ServiceIdentity| ServiceIdentityRow {
            service_name: &identity.service,
            datacenters: &identity.datacenters,
        };
        let node = |identity: &'a NodeIdentity| NodeIdentityRow {
            node_name: &identity.node,
            datacenter: &identity.datacenter,
        };
        Self {
            policies: policies.map(|policy| Link { id: policy.id, name: &policy.name }).collect(),
            roles: roles.map(|role| Link { id: role.id, name: &role.name }).collect(),
            service_identities: grants.services.iter().map(service).collect(),
            node_identities: grants.nodes.iter().map(node).collect(),
        }
    }
}

/// A token.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TokenRow<'a> {
    #[serde(rename = "AccessorID")]
    accessor: Uuid,
    #[serde(rename = "SecretID", skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
    description: &'a str,
    #[serde(flatten)]
    grants: GrantRows<'a>,
    local: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    auth_method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_time: Option<String>,
    create_time: String,
    hash: String,
    create_index: u64,
    modify_index: u64,
}

impl<'a> TokenRow<'a> {
    /// The row of a token, with its secret for those who may see it.
    #[must_use]
    pub fn new(token: &'a AccessToken, state: &'a State, shows_secret: bool) -> Self {
        let secret = token.secret.text().filter(|_| shows_secret).unwrap_or(Token::HIDDEN);
        Self { secret: Some(secret), ..Self::listed(token, state) }
    }

    /// Its row in a list.
    #[must_use]
    pub fn listed(token: &'a AccessToken, state: &'a State) -> Self {
        Self {
            accessor: token.accessor,
            secret: None,
            description: &token.description,
            grants: GrantRows::new(&token.grants, state),
            local: token.is_local,
            auth_method: &token.auth_method,
            expiration_time: token.expires.map(moment),
            create_time: moment(token.created),
            hash: hash(&[token.description.as_bytes(), format!("{:?}", token.grants).as_bytes()]),
            create_index: token.create_index.0,
            modify_index: token.modify_index.0,
        }
    }
}

/// A token with all that its grants mean.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ExpandedTokenRow<'a> {
    #[serde(flatten)]
    token: TokenRow<'a>,
    expanded_policies: Vec<PolicyRow<'a>>,
    expanded_roles: Vec<RoleRow<'a>>,
    #[serde(rename = "AgentACLDefaultPolicy")]
    default_policy: &'static str,
    #[serde(rename = "AgentACLDownPolicy")]
    down_policy: &'static str,
    resolved_by_agent: &'a str,
}

impl<'a> ExpandedTokenRow<'a> {
    /// The row of a token, as it counts at that agent.
    #[must_use]
    pub fn new(token: TokenRow<'a>, of: &'a AccessToken, state: &'a State, settings: &'a Settings) -> Self {
        let roles: Vec<&Arc<Role>> = of.grants.roles.iter().filter_map(|id| state.access_role(*id)).collect();
        let mut policies: Vec<Uuid> = of.grants.policies.clone();
        policies.extend(roles.iter().flat_map(|role| role.grants.policies.iter().copied()));
        policies.sort_unstable();
        policies.dedup();
        let policies = policies.into_iter().filter_map(|id| state.access_policy(id));
        Self {
            token,
            expanded_policies: policies.map(|policy| PolicyRow::new(policy)).collect(),
            expanded_roles: roles.into_iter().map(|role| RoleRow::new(role, state)).collect(),
            default_policy: if settings.allowed_otherwise { "allow" } else { "deny" },
            down_policy: settings.down_policy.as_str(),
            resolved_by_agent: &settings.node_name,
        }
    }
}

/// A policy.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PolicyRow<'a> {
    #[serde(rename = "ID")]
    id: Uuid,
    name: &'a str,
    description: &'a str,
    rules: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    datacenters: &'a [SmolStr],
    hash: String,
    create_index: u64,
    modify_index: u64,
}

impl<'a> PolicyRow<'a> {
    /// The row of a policy.
    #[must_use]
    pub fn new(policy: &'a Policy) -> Self {
        Self {
            id: policy.id,
            name: &policy.name,
            description: &policy.description,
            rules: &policy.rules,
            datacenters: &policy.datacenters,
            hash: policy_hash(policy),
            create_index: policy.create_index.0,
            modify_index: policy.modify_index.0,
        }
    }
}

/// Its row in a list.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PolicyListRow<'a> {
    #[serde(rename = "ID")]
    id: Uuid,
    name: &'a str,
    description: &'a str,
    datacenters: Option<&'a [SmolStr]>,
    hash: String,
    create_index: u64,
    modify_index: u64,
}

impl<'a> PolicyListRow<'a> {
    /// The row of a policy.
    #[must_use]
    pub fn new(policy: &'a Policy) -> Self {
        Self {
            id: policy.id,
            name: &policy.name,
            description: &policy.description,
            datacenters: (!policy.datacenters.is_empty()).then_some(&policy.datacenters),
            hash: policy_hash(policy),
            create_index: policy.create_index.0,
            modify_index: policy.modify_index.0,
        }
    }
}

/// A role.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RoleRow<'a> {
    #[serde(rename = "ID")]
    id: Uuid,
    name: &'a str,
    description: &'a str,
    #[serde(flatten)]
    grants: GrantRows<'a>,
    hash: String,
    create_index: u64,
    modify_index: u64,
}

impl<'a> RoleRow<'a> {
    /// The row of a role.
    #[must_use]
    pub fn new(role: &'a Role, state: &'a State) -> Self {
        Self {
            id: role.id,
            name: &role.name,
            description: &role.description,
            grants: GrantRows::new(&role.grants, state),
            hash: hash(&[role.name.as_bytes(), role.description.as_bytes(), format!("{:?}", role.grants).as_bytes()]),
            create_index: role.create_index.0,
            modify_index: role.modify_index.0,
        }
    }
}

/// How far a copy of the primary datacenter's policies, roles and tokens is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReplicationRow<'a> {
    enabled: bool,
    running: bool,
    source_datacenter: &'a str,
    replication_type: &'a str,
    replicated_index: u64,
    replicated_role_index: u64,
    replicated_token_index: u64,
    last_success: String,
    last_error: String,
    last_error_message: &'a str,
}

impl<'a> ReplicationRow<'a> {
    /// The row of a node with these settings.
    #[must_use]
    pub fn new(settings: &'a Settings, report: &'a Replication) -> Self {
        Self {
            enabled: settings.has_other_primary(),
            running: report.running,
            source_datacenter: &settings.primary_datacenter,
            replication_type: report.kind,
            replicated_index: report.policies.0,
            replicated_role_index: report.roles.0,
            replicated_token_index: report.tokens.0,
            last_success: moment(report.last_success),
            last_error: moment(report.last_error),
            last_error_message: &report.error,
        }
    }
}

fn policy_hash(policy: &Policy) -> String {
    let datacenters = policy.datacenters.join(",");
    hash(&[policy.name.as_bytes(), policy.description.as_bytes(), policy.rules.as_bytes(), datacenters.as_bytes()])
}

/// A text that is another whenever the content is.
fn hash(parts: &[&[u8]]) -> String {
    let digests: Vec<u8> = parts.iter().flat_map(|part| digest(&SHA256, part).as_ref().to_vec()).collect();
    STANDARD.encode(digest(&SHA256, &digests))
}

/// What a body says of a token.
pub struct TokenBody {
    /// Given for a new one, or repeated from the path.
    pub accessor: Option<Uuid>,
    /// Given for a new one.
    pub secret: Option<Secret>,
    /// What it is for.
    pub description: SmolStr,
    /// What it allows, by ID.
    pub grants: Grants,
    /// ... and by name.
    pub named: Named,
    /// Whether it counts in this datacenter only.
    pub is_local: bool,
    /// When it ends.
    pub expires: Option<Time>,
}

/// Reads the body that writes a token.
///
/// # Errors
/// 400 where it cannot be read, 500 (as Consul) where it makes no sense.
pub fn token(body: &[u8]) -> Result<TokenBody, Failure> {
    let body = bounded(body)?;
    let mut fields = Fields::of(&body, Strictness::Body)?;
    let accessor = optional_id(&fields.text("accessorid")?, "AccessorID")?;
    let secret = fields.text("secretid")?;
    // A secret that can be guessed is none.
    optional_id(&secret, "SecretID")?;
    let time = fields.text("expirationtime")?;
    let ttl = fields.duration("expirationttl")?;
    let expires = match (time.as_str(), ttl) {
        ("", Duration::ZERO) => None,
        ("", ttl) => Some(Time(Time::now().0.saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)))),
        (text, Duration::ZERO) => Some(super::time::parse_moment(text).ok_or_else(|| {
            Failure::BadRequest(format!("Request decode failed: ExpirationTime: {text:?} is no time (RFC 3339)"))
        })?),
        _ => {
            return Err(Failure::Rejected("Invalid Token: ExpirationTTL and ExpirationTime cannot both be set".into()));
        }
    };
    if let Some(expires) = expires {
        let left = Duration::from_millis(expires.0.saturating_sub(Time::now().0));
        // A moment has passed since it was asked for.
        if left + Duration::from_secs(1) < *TOKEN_LIFE.start() || left > *TOKEN_LIFE.end() + Duration::from_secs(1) {
            let problem =
                format!("ExpirationTime must be between {:?} and {:?} from now", TOKEN_LIFE.start(), TOKEN_LIFE.end());
            return Err(Failure::Rejected(format!("Invalid Token: {problem}")));
        }
    }
    let (grants, named) = grants(&mut fields, true)?;
    Ok(TokenBody {
        accessor,
        secret: (!secret.is_empty()).then(|| Secret::new(secret)),
        description: fields.text("description")?,
        grants,
        named,
        is_local: fields.flag("local")?,
        expires,
    })
}

/// Reads the body that writes a policy; its ID is nil where none is given.
///
/// # Errors
/// 400 where it cannot be read, 500 (as Consul) where it makes no sense.
pub fn policy(body: &[u8]) -> Result<Policy, Failure> {
    let body = bounded(body)?;
    let mut fields = Fields::of(&body, Strictness::Body)?;
    let name = fields.text("name")?;
    refuse_name("Policy", &name)?;
    let rules = fields.text("rules")?;
    Rules::parse(&rules).map_err(|error| Failure::Rejected(error.to_string()))?;
    Ok(Policy {
        id: optional_id(&fields.text("id")?, "ID")?.unwrap_or_default(),
        name,
        description: fields.text("description")?,
        rules,
        datacenters: fields.texts("datacenters")?,
        create_index: Index(0),
        modify_index: Index(0),
    })
}

/// Reads the body that writes a role; its ID is nil where none is given.
///
/// # Errors
/// 400 where it cannot be read, 500 (as Consul) where it makes no sense.
pub fn role(body: &[u8]) -> Result<(Role, Named), Failure> {
    let body = bounded(body)?;
    let mut fields = Fields::of(&body, Strictness::Body)?;
    let name = fields.text("name")?;
    refuse_name("Role", &name)?;
    let (grants, named) = grants(&mut fields, false)?;
    let id = optional_id(&fields.text("id")?, "ID")?.unwrap_or_default();
    let role = Role { id, name, description: fields.text("description")?, grants, ..Role::default() };
    Ok((role, named))
}

/// What a token's row says that it grants.
///
/// # Errors
/// 400 where it cannot be read, 500 where it makes no sense.
pub fn granted(row: &Value) -> Result<Grants, Failure> {
    Ok(grants(&mut Fields::of(row, Strictness::Body)?, true)?.0)
}

pub(super) fn bounded(body: &[u8]) -> Result<Value, Failure> {
    if body.len() > MAX_BODY_BYTES {
        return Err(Failure::TooLarge(MAX_BODY_BYTES));
    }
    parse(body)
}

pub(super) fn refuse_name(what: &str, name: &str) -> Result<(), Failure> {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if name.is_empty() {
        return Err(Failure::Rejected(format!("Invalid {what}: no Name is set")));
    }
    if !is_plain || name.len() > MAX_NAME_BYTES {
        let problem = "invalid Name. Only alphanumeric characters, '-' and '_' are allowed";
        return Err(Failure::Rejected(format!("Invalid {what}: {problem}")));
    }
    Ok(())
}

pub(super) fn optional_id(text: &str, what: &str) -> Result<Option<Uuid>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    let id =
        crate::http::params::uuid(text).map_err(|reason| Failure::Rejected(format!("Invalid {what}: {reason}")))?;
    Ok(Some(id))
}

fn grants(fields: &mut Fields<'_>, of_token: bool) -> Result<(Grants, Named), Failure> {
    let (mut grants, mut named) = (Grants::default(), Named::default());
    links(fields, "policies", &mut grants.policies, &mut named.policies)?;
    if of_token {
        links(fields, "roles", &mut grants.roles, &mut named.roles)?;
    }
    for value in list(fields, "serviceidentities")? {
        let mut identity = Fields::of(value, Strictness::Body)?;
        let (service, datacenters) = (identity.text("servicename")?, identity.texts("datacenters")?);
        if !is_service_identity_name(&service) {
            let problem = "has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed";
            return Err(Failure::Rejected(format!("Service identity {service:?} {problem}")));
        }
        grants.services.push(ServiceIdentity { service, datacenters });
    }
    for value in list(fields, "nodeidentities")? {
        let mut identity = Fields::of(value, Strictness::Body)?;
        let (node, datacenter) = (identity.text("nodename")?, identity.text("datacenter")?);
        if !is_node_identity_name(&node) {
            let problem = "has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed";
            return Err(Failure::Rejected(format!("Node identity {node:?} {problem}")));
        }
        if datacenter.is_empty() {
            return Err(Failure::Rejected(format!("Node identity {node:?} is missing the datacenter field")));
        }
        grants.nodes.push(NodeIdentity { node, datacenter });
    }
    Ok((grants, named))
}

fn links(fields: &mut Fields<'_>, key: &str, ids: &mut Vec<Uuid>, names: &mut Vec<SmolStr>) -> Result<(), Failure> {
    for value in list(fields, key)? {
        let mut link = Fields::of(value, Strictness::Body)?;
        let (id, name) = (optional_id(&link.text("id")?, key)?, link.text("name")?);
        match id {
            Some(id) if !ids.contains(&id) => ids.push(id),
            Some(_) => {}
            None if !names.contains(&name) => names.push(name),
            None => {}
        }
    }
    Ok(())
}

fn list<'a>(fields: &mut Fields<'a>, key: &str) -> Result<&'a [Value], Failure> {
    match fields.take(key) {
        None => Ok(&[]),
        Some((_, Value::Array(list))) if list.len() <= MAX_GRANTS => Ok(list),
        Some((key, Value::Array(list))) => {
            Err(Failure::BadRequest(format!("{key}: it has {} items, and may have {MAX_GRANTS}", list.len())))
        }
        Some((key, _)) => Err(DefinitionError::invalid(format!("{key}: expected a list")).into()),
    }
}
