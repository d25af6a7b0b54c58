//! Tokens, policies, roles, ways to log in, and their writes.

use std::sync::Arc;

use lictor_shared::{
    catalog::AccessRow,
    command::{AccessCommand, Named, Presence},
    model::{
        AccessToken, AuthMethod, Bind, BindingRule, Grants, Index, NodeIdentity, Policy, Role, Secret, SecretDigest,
        ServiceIdentity, Time,
    },
};
use smol_str::SmolStr;
use uuid::Uuid;

use super::{
    DecodeError,
    coordination::{id, id_bytes},
    model::strings,
    required,
};
use crate::internal::{self, access_command, access_row};

fn ids(encoded: &[bytes::Bytes], field: &'static str) -> Result<Vec<Uuid>, DecodeError> {
    encoded.iter().map(|one| id(one, field)).collect()
}

fn names(texts: Vec<String>) -> Vec<SmolStr> {
    texts.into_iter().map(Into::into).collect()
}

impl From<&Grants> for internal::Grants {
    fn from(grants: &Grants) -> Self {
        let service = |identity: &ServiceIdentity| internal::ServiceIdentity {
            service: identity.service.to_string(),
            datacenters: strings(&identity.datacenters),
        };
        let node = |identity: &NodeIdentity| internal::NodeIdentity {
            node: identity.node.to_string(),
            datacenter: identity.datacenter.to_string(),
        };
        Self {
            policies: grants.policies.iter().map(|policy| id_bytes(*policy)).collect(),
            roles: grants.roles.iter().map(|role| id_bytes(*role)).collect(),
            services: grants.services.iter().map(service).collect(),
            nodes: grants.nodes.iter().map(node).collect(),
        }
    }
}

impl TryFrom<internal::Grants> for Grants {
    type Error = DecodeError;

    fn try_from(grants: internal::Grants) -> Result<Self, DecodeError> {
        let service = |identity: internal::ServiceIdentity| ServiceIdentity {
            service: identity.service.into(),
            datacenters: names(identity.datacenters),
        };
        let node = |identity: internal::NodeIdentity| NodeIdentity {
            node: identity.node.into(),
            datacenter: identity.datacenter.into(),
        };
        Ok(Self {
            policies: ids(&grants.policies, "Grants.policies")?,
            roles: ids(&grants.roles, "Grants.roles")?,
            services: grants.services.into_iter().map(service).collect(),
            nodes: grants.nodes.into_iter().map(node).collect(),
        })
    }
}

impl From<&AccessToken> for internal::AccessToken {
    fn from(token: &AccessToken) -> Self {
        let secret = token.secret.text();
        Self {
            accessor: id_bytes(token.accessor),
            secret: secret.unwrap_or_default().into(),
            secret_digest: match secret {
                Some(_) => bytes::Bytes::new(),
                None => token.secret.digest().0.to_vec().into(),
            },
            description: token.description.to_string(),
            grants: Some((&token.grants).into()),
            local: token.is_local,
            auth_method: token.auth_method.to_string(),
            expires_ms: token.expires.map(|time| time.0),
            created_ms: token.created.0,
            create_index: token.create_index.0,
            modify_index: token.modify_index.0,
        }
    }
}

impl TryFrom<internal::AccessToken> for AccessToken {
    type Error = DecodeError;

    fn try_from(token: internal::AccessToken) -> Result<Self, DecodeError> {
        let digest = || {
            let missing = |_| DecodeError::Missing { field: "AccessToken.secret" };
            <[u8; 32]>::try_from(&token.secret_digest[..]).map(SecretDigest).map_err(missing)
        };
        let secret =
            if token.secret.is_empty() { Secret::digested(digest()?) } else { Secret::new(token.secret.as_str()) };
        Ok(Self {
            accessor: id(&token.accessor, "AccessToken.accessor")?,
            secret,
            description: token.description.into(),
            grants: token.grants.unwrap_or_default().try_into()?,
            is_local: token.local,
            auth_method: token.auth_method.into(),
            expires: token.expires_ms.map(Time),
            created: Time(token.created_ms),
            create_index: Index(token.create_index),
            modify_index: Index(token.modify_index),
        })
    }
}

impl From<&Policy> for internal::AccessPolicy {
    fn from(policy: &Policy) -> Self {
        Self {
            id: id_bytes(policy.id),
            name: policy.name.to_string(),
            description: policy.description.to_string(),
            rules: policy.rules.to_string(),
            datacenters: strings(&policy.datacenters),
            create_index: policy.create_index.0,
            modify_index: policy.modify_index.0,
        }
    }
}

impl TryFrom<internal::AccessPolicy> for Policy {
    type Error = DecodeError;

    fn try_from(policy: internal::AccessPolicy) -> Result<Self, DecodeError> {
        Ok(Self {
            id: id(&policy.id, "AccessPolicy.id")?,
            name: policy.name.into(),
            description: policy.description.into(),
            rules: policy.rules.into(),
            datacenters: names(policy.datacenters),
            create_index: Index(policy.create_index),
            modify_index: Index(policy.modify_index),
        })
    }
}

impl From<&Role> for internal::AccessRole {
    fn from(role: &Role) -> Self {
        Self {
            id: id_bytes(role.id),
            name: role.name.to_string(),
            description: role.description.to_string(),
            grants: Some((&role.grants).into()),
            create_index: role.create_index.0,
            modify_index: role.modify_index.0,
        }
    }
}

impl TryFrom<internal::AccessRole> for Role {
    type Error = DecodeError;

    fn try_from(role: internal::AccessRole) -> Result<Self, DecodeError> {
        Ok(Self {
            id: id(&role.id, "AccessRole.id")?,
            name: role.name.into(),
            description: role.description.into(),
            grants: role.grants.unwrap_or_default().try_into()?,
            create_index: Index(role.create_index),
            modify_index: Index(role.modify_index),
        })
    }
}

impl From<&AuthMethod> for internal::AuthMethod {
    fn from(method: &AuthMethod) -> Self {
        Self {
            name: method.name.to_string(),
            kind: method.kind.to_string(),
            display_name: method.display_name.to_string(),
            description: method.description.to_string(),
            max_token_ttl_ns: method.max_token_ttl_ns,
            makes_global_tokens: method.makes_global_tokens,
            config: method.config.to_string(),
            create_index: method.create_index.0,
            modify_index: method.modify_index.0,
        }
    }
}

impl From<internal::AuthMethod> for AuthMethod {
    fn from(method: internal::AuthMethod) -> Self {
        Self {
            name: method.name.into(),
            kind: method.kind.into(),
            display_name: method.display_name.into(),
            description: method.description.into(),
            max_token_ttl_ns: method.max_token_ttl_ns,
            makes_global_tokens: method.makes_global_tokens,
            config: method.config.into(),
            create_index: Index(method.create_index),
            modify_index: Index(method.modify_index),
        }
    }
}

impl From<&BindingRule> for internal::BindingRule {
    fn from(rule: &BindingRule) -> Self {
        let bind = match rule.bind {
            Bind::Service => internal::Bind::Service,
            Bind::Node => internal::Bind::Node,
            Bind::Role => internal::Bind::Role,
        };
        Self {
            id: id_bytes(rule.id),
            description: rule.description.to_string(),
            auth_method: rule.auth_method.to_string(),
            selector: rule.selector.to_string(),
            bind: bind.into(),
            bind_name: rule.bind_name.to_string(),
            create_index: rule.create_index.0,
            modify_index: rule.modify_index.0,
        }
    }
}

impl TryFrom<internal::BindingRule> for BindingRule {
    type Error = DecodeError;

    fn try_from(rule: internal::BindingRule) -> Result<Self, DecodeError> {
        let bind = match rule.bind() {
            internal::Bind::Service => Bind::Service,
            internal::Bind::Node => Bind::Node,
            internal::Bind::Role => Bind::Role,
            internal::Bind::Unspecified => return Err(DecodeError::Missing { field: "BindingRule.bind" }),
        };
        Ok(Self {
            id: id(&rule.id, "BindingRule.id")?,
            description: rule.description.into(),
            auth_method: rule.auth_method.into(),
            selector: rule.selector.into(),
            bind,
            bind_name: rule.bind_name.into(),
            create_index: Index(rule.create_index),
            modify_index: Index(rule.modify_index),
        })
    }
}

impl From<&AccessRow> for internal::AccessRow {
    fn from(row: &AccessRow) -> Self {
        let row = match row {
            AccessRow::Token(token) => access_row::Row::Token((&**token).into()),
            AccessRow::TokenGone(accessor) => access_row::Row::TokenGone(id_bytes(*accessor)),
            AccessRow::Policy(policy) => access_row::Row::Policy((&**policy).into()),
            AccessRow::PolicyGone(policy) => access_row::Row::PolicyGone(id_bytes(*policy)),
            AccessRow::Role(role) => access_row::Row::Role((&**role).into()),
            AccessRow::RoleGone(role) => access_row::Row::RoleGone(id_bytes(*role)),
            AccessRow::AuthMethod(method) => access_row::Row::AuthMethod((&**method).into()),
            AccessRow::AuthMethodGone(name) => access_row::Row::AuthMethodGone(name.to_string()),
            AccessRow::BindingRule(rule) => access_row::Row::BindingRule((&**rule).into()),
            AccessRow::BindingRuleGone(rule) => access_row::Row::BindingRuleGone(id_bytes(*rule)),
            AccessRow::Bootstrapped(index) => access_row::Row::Bootstrapped(index.0),
            AccessRow::Servers(secret) => access_row::Row::Servers(secret.text().unwrap_or_default().into()),
        };
        Self { row: Some(row) }
    }
}

impl TryFrom<internal::AccessRow> for AccessRow {
    type Error = DecodeError;

    fn try_from(row: internal::AccessRow) -> Result<Self, DecodeError> {
        Ok(match required(row.row, "AccessRow.row")? {
            access_row::Row::Token(token) => Self::Token(Arc::new(token.try_into()?)),
            access_row::Row::TokenGone(accessor) => Self::TokenGone(id(&accessor, "AccessRow.token_gone")?),
            access_row::Row::Policy(policy) => Self::Policy(Arc::new(policy.try_into()?)),
            access_row::Row::PolicyGone(policy) => Self::PolicyGone(id(&policy, "AccessRow.policy_gone")?),
            access_row::Row::Role(role) => Self::Role(Arc::new(role.try_into()?)),
            access_row::Row::RoleGone(role) => Self::RoleGone(id(&role, "AccessRow.role_gone")?),
            access_row::Row::AuthMethod(method) => Self::AuthMethod(Arc::new(method.into())),
            access_row::Row::AuthMethodGone(name) => Self::AuthMethodGone(name.into()),
            access_row::Row::BindingRule(rule) => Self::BindingRule(Arc::new(rule.try_into()?)),
            access_row::Row::BindingRuleGone(rule) => Self::BindingRuleGone(id(&rule, "AccessRow.binding_rule_gone")?),
            access_row::Row::Bootstrapped(index) => Self::Bootstrapped(Index(index)),
            access_row::Row::Servers(secret) => Self::Servers(Secret::new(secret)),
        })
    }
}

fn rows(rows: Vec<internal::AccessRow>) -> Result<Vec<AccessRow>, DecodeError> {
    rows.into_iter().map(TryInto::try_into).collect()
}

impl From<&AccessCommand> for internal::AccessCommand {
    fn from(command: &AccessCommand) -> Self {
        let command = match command {
            AccessCommand::Initialise { management, accessor, servers } => {
                let management = management.as_ref().and_then(Secret::text).unwrap_or_default().into();
                let servers = servers.text().unwrap_or_default().into();
                let initialise = internal::InitialiseAccess { management, accessor: id_bytes(*accessor), servers };
                access_command::Command::Initialise(initialise)
            }
            AccessCommand::Bootstrap { token, reset } => {
                let (token, reset) = (Some((&**token).into()), reset.map(|index| index.0));
                access_command::Command::Bootstrap(internal::BootstrapAccess { token, reset })
            }
            AccessCommand::Put { row, named, presence } => access_command::Command::Put(internal::PutAccess {
                row: Some(row.into()),
                present: *presence == Presence::Present,
                policy_names: strings(&named.policies),
                role_names: strings(&named.roles),
            }),
            AccessCommand::Remove(rows) => {
                access_command::Command::Remove(internal::RemoveAccess { rows: rows.iter().map(Into::into).collect() })
            }
            AccessCommand::Replicate(rows) => {
                let rows = rows.iter().map(Into::into).collect();
                access_command::Command::Replicate(internal::ReplicateAccess { rows })
            }
        };
        Self { command: Some(command) }
    }
}

impl TryFrom<internal::AccessCommand> for AccessCommand {
    type Error = DecodeError;

    fn try_from(command: internal::AccessCommand) -> Result<Self, DecodeError> {
        Ok(match required(command.command, "AccessCommand.command")? {
            access_command::Command::Initialise(what) => Self::Initialise {
                management: (!what.management.is_empty()).then(|| Secret::new(what.management)),
                accessor: id(&what.accessor, "InitialiseAccess.accessor")?,
                servers: Secret::new(what.servers),
            },
            access_command::Command::Bootstrap(what) => Self::Bootstrap {
                token: Box::new(required(what.token, "BootstrapAccess.token")?.try_into()?),
                reset: what.reset.map(Index),
            },
            access_command::Command::Put(what) => Self::Put {
                row: required(what.row, "PutAccess.row")?.try_into()?,
                named: Named { policies: names(what.policy_names), roles: names(what.role_names) },
                presence: if what.present { Presence::Present } else { Presence::Absent },
            },
            access_command::Command::Remove(what) => Self::Remove(rows(what.rows)?),
            access_command::Command::Replicate(what) => Self::Replicate(rows(what.rows)?),
        })
    }
}
