//! Binding rules: whom one is for, and what it gives.
//!
//! A rule's selector is the language of `?filter=` over `value.NAME` and `list.NAME`, every name one that the method maps.
//! If the method's mappings have changed since, a selector that names what is not mapped any more is for nobody; a name
//! that cannot be made ends the login, as in Consul: somebody who would get less than was meant learns it at once.

use serde_json::json;
use smol_str::SmolStr;

use super::{Identity, Jwt, LoginError, name::interpolate};
use crate::{
    acl::{is_node_identity_name, is_service_identity_name},
    catalog::State,
    filter::{Expression, Filter, FilterError, Selector, schema},
    model::{Bind, BindingRule, Grants, NodeIdentity, ServiceIdentity},
};

/// The most roles and identities of one token.
const MAX_GRANTS: usize = 256;
/// The longest name of a role, in bytes.
const MAX_ROLE_NAME_BYTES: usize = 256;
/// The longest `BindName` as it is written, in bytes.
const MAX_TEMPLATE_BYTES: usize = 1024;

/// Why a rule cannot be used. `Display` is the sentence that a client sees.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Its selector.
    #[error("Invalid Binding Rule: Selector: {0}")]
    Selector(FilterError),
    /// Its name.
    #[error("Invalid Binding Rule: BindName: {0}")]
    Name(String),
}

/// Looks a rule over that is about to be written, for that method.
///
/// # Errors
/// [`RuleError`].
pub fn check_rule(rule: &BindingRule, method: &Jwt) -> Result<(), RuleError> {
    let mut blank = method.blank();
    selector(&rule.selector, &blank).map_err(RuleError::Selector)?;
    // Whatever will stand there, something plain must do.
    blank.values.values_mut().for_each(|value| *value = "x".into());
    bound_name(rule, &blank).map(drop).map_err(RuleError::Name)
}

/// What the rules give somebody of that datacenter.
///
/// # Errors
/// [`LoginError::NoRule`]: nothing; or a rule is for this one and cannot be followed.
pub fn grants<'a>(
    identity: &Identity,
    rules: impl Iterator<Item = &'a BindingRule>,
    state: &State,
    datacenter: &str,
) -> Result<Grants, LoginError> {
    let mut grants = Grants::default();
    let row = json!({"value": identity.values, "list": identity.lists});
    for rule in rules {
        if !selector(&rule.selector, identity).is_ok_and(|selector| selector.matches(&row)) {
            continue;
        }
        let name = bound_name(rule, identity).map_err(|problem| LoginError::Name { rule: rule.id, problem })?;
        match rule.bind {
            Bind::Service => {
                let service = ServiceIdentity { service: name, datacenters: Vec::new() };
                if !grants.services.contains(&service) {
                    grants.services.push(service);
                }
            }
            Bind::Node => {
                let node = NodeIdentity { node: name, datacenter: datacenter.into() };
                if !grants.nodes.contains(&node) {
                    grants.nodes.push(node);
                }
            }
            Bind::Role => match state.access_role_named(&name) {
                Some(role) if !grants.roles.contains(&role.id) => grants.roles.push(role.id),
                _ => {}
            },
        }
        if grants.roles.len() + grants.services.len() + grants.nodes.len() > MAX_GRANTS {
            return Err(LoginError::TooMany(MAX_GRANTS));
        }
    }
    if grants == Grants::default() { Err(LoginError::NoRule) } else { Ok(grants) }
}

/// The selector, all of whose names must be mapped.
fn selector(text: &str, identity: &Identity) -> Result<Filter, FilterError> {
    if text.is_empty() {
        return Filter::parse(text, &schema::LOGIN);
    }
    let expression: Expression = text.parse()?;
    let filter = Filter::of(&expression, &schema::LOGIN)?;
    check_selectors(&expression, identity)?;
    Ok(filter)
}

fn check_selectors(expression: &Expression, identity: &Identity) -> Result<(), FilterError> {
    match expression {
        Expression::Or(operands) | Expression::And(operands) => {
            operands.iter().try_for_each(|operand| check_selectors(operand, identity))
        }
        Expression::Not(operand) => check_selectors(operand, identity),
        Expression::Match(comparison) => check_selector(&comparison.selector, identity),
    }
}

fn check_selector(selector: &Selector, identity: &Identity) -> Result<(), FilterError> {
    let is_mapped = match &selector.path[..] {
        [table, name] if table == "value" => identity.values.contains_key(name.as_str()),
        [table, name] if table == "list" => identity.lists.contains_key(name.as_str()),
        _ => false,
    };
    if is_mapped { Ok(()) } else { Err(FilterError::Selector { selector: selector.dotted() }) }
}

/// The name that a rule gives somebody. Names of services and nodes are lower case, and so is what is put into them.
fn bound_name(rule: &BindingRule, identity: &Identity) -> Result<SmolStr, String> {
    if rule.bind_name.len() > MAX_TEMPLATE_BYTES {
        return Err(format!("it is longer than {MAX_TEMPLATE_BYTES} bytes"));
    }
    let name = interpolate(&rule.bind_name, |variable| {
        let value = identity.values.get(variable.strip_prefix("value.")?)?;
        Some(if rule.bind == Bind::Role { value.clone() } else { value.to_lowercase() })
    })?;
    let (is_name, what) = match rule.bind {
        Bind::Service => (is_service_identity_name(&name), "service"),
        Bind::Node => (is_node_identity_name(&name), "node"),
        Bind::Role => (is_role_name(&name), "role"),
    };
    if is_name {
        return Ok(name.into());
    }
    let shown: String = name.chars().take(64).collect();
    Err(format!("it makes {shown:?}, which cannot be the name of a {what}"))
}

fn is_role_name(name: &str) -> bool {
    (1..=MAX_ROLE_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
