//! Tokens, policies, roles, ways to log in: their tables, and the meaning of each [`AccessCommand`].
//!
//! Every node has them, so that each decides by itself. Secrets stay on the servers: the rows that others are sent have
//! their digests ([`AccessToken::without_secret`]), and so have archives.
//!
//! What a token or role grants is kept by ID. A policy or role that is deleted is left in the grants and counts for
//! nothing. All of it shares one topic: whoever may do something may do something else after any change.

use std::sync::Arc;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use uuid::Uuid;

use super::{Row, State, Topic, Touched, apply::Changes};
use crate::{
    acl::MANAGEMENT_RULES,
    command::{AccessCommand, Named, Presence, Refusal},
    model::{
        ANONYMOUS, ANONYMOUS_SECRET, AccessToken, AuthMethod, BindingRule, Grants, Index, MANAGEMENT_POLICY,
        MANAGEMENT_POLICY_NAME, Policy, Role, Secret, SecretDigest,
    },
};

/// The most rows of each table: every node holds them all.
const MAX_ROWS: usize = 64 * 1024;

/// A row of one of the tables, or its removal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccessRow {
    /// A token as it is now; in a change, without its secret.
    Token(Arc<AccessToken>),
    /// A token is gone.
    TokenGone(Uuid),
    /// A policy as it is now.
    Policy(Arc<Policy>),
    /// A policy is gone.
    PolicyGone(Uuid),
    /// A role as it is now.
    Role(Arc<Role>),
    /// A role is gone.
    RoleGone(Uuid),
    /// A way to log in as it is now.
    AuthMethod(Arc<AuthMethod>),
    /// A way to log in is gone.
    AuthMethodGone(SmolStr),
    /// A binding rule as it is now.
    BindingRule(Arc<BindingRule>),
    /// A binding rule is gone.
    BindingRuleGone(Uuid),
    /// There was a first token, at this index.
    Bootstrapped(Index),
    /// By what servers know each other. It is told to nobody else.
    Servers(Secret),
}

impl AccessRow {
    /// The same as others may have it; none where they may not have it at all.
    #[must_use]
    pub fn without_secret(&self) -> Option<Self> {
        match self {
            Self::Token(token) => Some(Self::Token(token.without_secret())),
            Self::Servers(_) => None,
            other => Some(other.clone()),
        }
    }
}

/// The tables.
#[derive(Clone, Debug, Default)]
pub(super) struct AccessTables {
    tokens: OrdMap<Uuid, Arc<AccessToken>>,
    by_secret: OrdMap<SecretDigest, Uuid>,
    policies: OrdMap<Uuid, Arc<Policy>>,
    policy_names: OrdMap<SmolStr, Uuid>,
    roles: OrdMap<Uuid, Arc<Role>>,
    role_names: OrdMap<SmolStr, Uuid>,
    auth_methods: OrdMap<SmolStr, Arc<AuthMethod>>,
    binding_rules: OrdMap<Uuid, Arc<BindingRule>>,
    /// When there was a first token; 0: never.
    bootstrapped: Index,
    servers: Option<Secret>,
}

impl AccessTables {
    fn put(&mut self, row: &AccessRow) {
        match row {
            AccessRow::Token(token) => {
                self.remove_token(token.accessor);
                self.by_secret.insert(token.secret.digest(), token.accessor);
                self.tokens.insert(token.accessor, token.clone());
            }
            AccessRow::TokenGone(accessor) => self.remove_token(*accessor),
            AccessRow::Policy(policy) => {
                self.remove_policy(policy.id);
                self.policy_names.insert(policy.name.clone(), policy.id);
                self.policies.insert(policy.id, policy.clone());
            }
            AccessRow::PolicyGone(id) => self.remove_policy(*id),
            AccessRow::Role(role) => {
                self.remove_role(role.id);
                self.role_names.insert(role.name.clone(), role.id);
                self.roles.insert(role.id, role.clone());
            }
            AccessRow::RoleGone(id) => self.remove_role(*id),
            AccessRow::AuthMethod(method) => _ = self.auth_methods.insert(method.name.clone(), method.clone()),
            AccessRow::AuthMethodGone(name) => _ = self.auth_methods.remove(name),
            AccessRow::BindingRule(rule) => _ = self.binding_rules.insert(rule.id, rule.clone()),
            AccessRow::BindingRuleGone(id) => _ = self.binding_rules.remove(id),
            AccessRow::Bootstrapped(index) => self.bootstrapped = *index,
            AccessRow::Servers(secret) => self.servers = Some(secret.clone()),
        }
    }

    fn remove_token(&mut self, accessor: Uuid) {
        if let Some(old) = self.tokens.remove(&accessor) {
            self.by_secret.remove(&old.secret.digest());
        }
    }

    fn remove_policy(&mut self, id: Uuid) {
        if let Some(old) = self.policies.remove(&id) {
            self.policy_names.remove(&old.name);
        }
    }

    fn remove_role(&mut self, id: Uuid) {
        if let Some(old) = self.roles.remove(&id) {
            self.role_names.remove(&old.name);
        }
    }

    /// Whether the row says that something is gone that is there.
    fn has_gone(&self, row: &AccessRow) -> bool {
        match row {
            AccessRow::TokenGone(accessor) => self.tokens.contains_key(accessor),
            AccessRow::PolicyGone(id) => self.policies.contains_key(id),
            AccessRow::RoleGone(id) => self.roles.contains_key(id),
            AccessRow::BindingRuleGone(id) => self.binding_rules.contains_key(id),
            AccessRow::AuthMethodGone(name) => self.auth_methods.contains_key(name),
            _ => false,
        }
    }

    fn rows(&self) -> impl Iterator<Item = AccessRow> {
        let policies = self.policies.values().cloned().map(AccessRow::Policy);
        let roles = self.roles.values().cloned().map(AccessRow::Role);
        let tokens = self.tokens.values().cloned().map(AccessRow::Token);
        let methods = self.auth_methods.values().cloned().map(AccessRow::AuthMethod);
        let rules = self.binding_rules.values().cloned().map(AccessRow::BindingRule);
        let bootstrapped = (self.bootstrapped > Index(0)).then_some(AccessRow::Bootstrapped(self.bootstrapped));
        let servers = self.servers.clone().map(AccessRow::Servers);
        policies.chain(roles).chain(tokens).chain(methods).chain(rules).chain(bootstrapped).chain(servers)
    }
}

/// Questions.
impl State {
    /// All tokens, by accessor.
    pub fn access_tokens(&self) -> impl Iterator<Item = &Arc<AccessToken>> {
        self.access.tokens.values()
    }

    /// The token with that accessor.
    #[must_use]
    pub fn access_token(&self, accessor: Uuid) -> Option<&Arc<AccessToken>> {
        self.access.tokens.get(&accessor)
    }

    /// The token whose secret has that digest.
    #[must_use]
    pub fn access_token_by_secret(&self, digest: SecretDigest) -> Option<&Arc<AccessToken>> {
        self.access.by_secret.get(&digest).and_then(|accessor| self.access_token(*accessor))
    }

    /// All policies, by ID.
    pub fn access_policies(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.access.policies.values()
    }

    /// The policy with that ID.
    #[must_use]
    pub fn access_policy(&self, id: Uuid) -> Option<&Arc<Policy>> {
        self.access.policies.get(&id)
    }

    /// The policy of that name.
    #[must_use]
    pub fn access_policy_named(&self, name: &str) -> Option<&Arc<Policy>> {
        self.access.policy_names.get(name).and_then(|id| self.access_policy(*id))
    }

    /// All roles, by ID.
    pub fn access_roles(&self) -> impl Iterator<Item = &Arc<Role>> {
        self.access.roles.values()
    }

    /// The role with that ID.
    #[must_use]
    pub fn access_role(&self, id: Uuid) -> Option<&Arc<Role>> {
        self.access.roles.get(&id)
    }

    /// The role of that name.
    #[must_use]
    pub fn access_role_named(&self, name: &str) -> Option<&Arc<Role>> {
        self.access.role_names.get(name).and_then(|id| self.access_role(*id))
    }

    /// All ways to log in, by name.
    pub fn auth_methods(&self) -> impl Iterator<Item = &Arc<AuthMethod>> {
        self.access.auth_methods.values()
    }

    /// The way to log in of that name.
    #[must_use]
    pub fn auth_method(&self, name: &str) -> Option<&Arc<AuthMethod>> {
        self.access.auth_methods.get(name)
    }

    /// All binding rules, by ID.
    pub fn binding_rules(&self) -> impl Iterator<Item = &Arc<BindingRule>> {
        self.access.binding_rules.values()
    }

    /// The binding rule with that ID.
    #[must_use]
    pub fn binding_rule(&self, id: Uuid) -> Option<&Arc<BindingRule>> {
        self.access.binding_rules.get(&id)
    }

    /// By what servers know each other; none before access control was initialised, and on sidecars.
    #[must_use]
    pub fn servers_secret(&self) -> Option<&Secret> {
        self.access.servers.as_ref()
    }

    /// When there was a first token; 0: there was none.
    #[must_use]
    pub fn access_bootstrapped(&self) -> Index {
        self.access.bootstrapped
    }

    pub(super) fn access_rows(&self) -> impl Iterator<Item = AccessRow> {
        self.access.rows()
    }
}

/// Writes.
impl State {
    pub(super) fn put_access(&mut self, row: &AccessRow, touched: &mut Touched) {
        self.access.put(row);
        self.indexes.access = self.index;
        touched.insert(Topic::Access);
    }

    fn change_access(&mut self, row: AccessRow, changes: &mut Changes) {
        self.put_access(&row, &mut changes.touched);
        if let Some(row) = row.without_secret() {
            changes.tell(Row::Access(row));
        }
    }

    /// Does what the command says.
    pub(super) fn write_access(&mut self, command: &AccessCommand, changes: &mut Changes) -> Result<(), Refusal> {
        match command {
            AccessCommand::Initialise { management, accessor, servers } => {
                if self.access.servers.is_none() {
                    self.change_access(AccessRow::Servers(servers.clone()), changes);
                }
                self.initialise(management.as_ref(), *accessor, changes);
                Ok(())
            }
            AccessCommand::Bootstrap { token, reset } => self.bootstrap(token, *reset, changes),
            AccessCommand::Put { row, named, presence } => match row {
                AccessRow::Token(token) => self.put_token(token, named, *presence, changes),
                AccessRow::Policy(policy) => self.put_policy(policy, *presence, changes),
                AccessRow::Role(role) => self.put_role(role, named, *presence, changes),
                AccessRow::AuthMethod(method) => self.put_auth_method(method, *presence, changes),
                AccessRow::BindingRule(rule) => self.put_binding_rule(rule, *presence, changes),
                _ => Ok(()),
            },
            AccessCommand::Remove(rows) => self.remove_access(rows, changes),
            AccessCommand::Replicate(rows) => {
                rows.iter().for_each(|row| self.replicate(row, changes));
                Ok(())
            }
        }
    }

    fn remove_access(&mut self, rows: &[AccessRow], changes: &mut Changes) -> Result<(), Refusal> {
        for row in rows {
            match row {
                AccessRow::TokenGone(ANONYMOUS) => {
                    return refuse("Delete operation not permitted on the anonymous token");
                }
                AccessRow::PolicyGone(MANAGEMENT_POLICY) => {
                    return refuse("Delete operation not permitted on the builtin global-management policy");
                }
                _ => {}
            }
        }
        for row in rows {
            match row {
                AccessRow::AuthMethodGone(name) => self.remove_auth_method(name, changes),
                row if self.access.has_gone(row) => self.change_access(row.clone(), changes),
                _ => {}
            }
        }
        Ok(())
    }

    fn initialise(&mut self, management: Option<&Secret>, accessor: Uuid, changes: &mut Changes) {
        if self.access_policy(MANAGEMENT_POLICY).is_none() {
            let policy = Policy {
                id: MANAGEMENT_POLICY,
                name: MANAGEMENT_POLICY_NAME.into(),
                description: "Builtin Policy that grants unlimited access".into(),
                rules: MANAGEMENT_RULES.into(),
                ..Policy::default()
            };
            self.change_policy(policy, self.index, changes);
        }
        if self.access_token(ANONYMOUS).is_none() {
            let token = AccessToken::new(ANONYMOUS, Secret::new(ANONYMOUS_SECRET));
            self.create_token(AccessToken { description: "Anonymous Token".into(), ..token }, changes);
        }
        let Some(secret) = management else { return };
        if self.access_token_by_secret(secret.digest()).is_none() {
            let token = AccessToken::new(accessor, secret.clone());
            let token = AccessToken { description: "Initial Management Token".into(), ..token };
            self.create_token(managing(token), changes);
        }
        if self.access.bootstrapped == Index(0) {
            self.change_access(AccessRow::Bootstrapped(self.index), changes);
        }
    }

    fn bootstrap(&mut self, token: &AccessToken, reset: Option<Index>, changes: &mut Changes) -> Result<(), Refusal> {
        let done = self.access.bootstrapped;
        if done > Index(0) && reset != Some(done) {
            return Err(Refusal::Bootstrapped(done));
        }
        self.initialise(None, Uuid::nil(), changes);
        self.refuse_taken(token)?;
        self.create_token(managing(token.clone()), changes);
        self.change_access(AccessRow::Bootstrapped(self.index), changes);
        Ok(())
    }

    fn put_token(
        &mut self,
        token: &AccessToken,
        named: &Named,
        presence: Presence,
        changes: &mut Changes,
    ) -> Result<(), Refusal> {
        let old = self.access_token(token.accessor).cloned();
        let grants = self.with_named(&token.grants, named)?;
        match (presence, old) {
            (Presence::Absent, None) => {
                self.refuse_taken(token)?;
                refuse_full(self.access.tokens.len(), "tokens")?;
                if !token.auth_method.is_empty() && self.auth_method(&token.auth_method).is_none() {
                    return Err(Refusal::Access(format!("auth method {:?} not found", token.auth_method.as_str())));
                }
                self.create_token(AccessToken { grants, ..token.clone() }, changes);
                Ok(())
            }
            (Presence::Present, Some(old)) => {
                // Who it is, and how long, is decided once.
                let new = AccessToken { description: token.description.clone(), grants, ..(*old).clone() };
                if new != *old {
                    self.change_token(new, old.create_index, changes);
                }
                Ok(())
            }
            (Presence::Absent, Some(_)) => refuse("Invalid Token: AccessorID is already in use"),
            (Presence::Present, None) => {
                Err(Refusal::Access(format!("Cannot find token {:?}", token.accessor.to_string())))
            }
        }
    }

    fn refuse_taken(&self, token: &AccessToken) -> Result<(), Refusal> {
        if self.access_token(token.accessor).is_some() {
            return refuse("Invalid Token: AccessorID is already in use");
        }
        if self.access_token_by_secret(token.secret.digest()).is_some() {
            return refuse("Invalid Token: SecretID is already in use");
        }
        Ok(())
    }

    fn create_token(&mut self, token: AccessToken, changes: &mut Changes) {
        self.change_token(AccessToken { created: changes.time, ..token }, self.index, changes);
    }

    fn change_token(&mut self, token: AccessToken, create_index: Index, changes: &mut Changes) {
        let row = AccessToken { create_index, modify_index: self.index, ..token };
        self.change_access(AccessRow::Token(Arc::new(row)), changes);
    }

    fn put_policy(&mut self, policy: &Policy, presence: Presence, changes: &mut Changes) -> Result<(), Refusal> {
        let old = self.access_policy(policy.id).cloned();
        if self.access_policy_named(&policy.name).is_some_and(|named| named.id != policy.id) {
            return Err(Refusal::Access(format!(
                "Invalid Policy: A Policy with Name {:?} already exists",
                policy.name
            )));
        }
        match (presence, old) {
            (Presence::Absent, None) => {
                refuse_full(self.access.policies.len(), "policies")?;
                self.change_policy(policy.clone(), self.index, changes);
                Ok(())
            }
            (Presence::Present, Some(old)) => {
                let changes_builtin = old.rules != policy.rules || !policy.datacenters.is_empty();
                if policy.id == MANAGEMENT_POLICY && changes_builtin {
                    return refuse(
                        "Changing the Rules and Datacenters of the builtin global-management policy is not permitted",
                    );
                }
                let (create_index, modify_index) = (old.create_index, old.modify_index);
                if (Policy { create_index, modify_index, ..policy.clone() }) != *old {
                    self.change_policy(policy.clone(), create_index, changes);
                }
                Ok(())
            }
            (Presence::Absent, Some(_)) => refuse("Invalid Policy: its ID is already in use"),
            (Presence::Present, None) => {
                Err(Refusal::Access(format!("Cannot find policy {:?}", policy.id.to_string())))
            }
        }
    }

    fn change_policy(&mut self, policy: Policy, create_index: Index, changes: &mut Changes) {
        let row = Policy { create_index, modify_index: self.index, ..policy };
        self.change_access(AccessRow::Policy(Arc::new(row)), changes);
    }

    fn put_role(
        &mut self,
        role: &Role,
        named: &Named,
        presence: Presence,
        changes: &mut Changes,
    ) -> Result<(), Refusal> {
        if self.access_role_named(&role.name).is_some_and(|named| named.id != role.id) {
            return Err(Refusal::Access(format!("Invalid Role: A Role with Name {:?} already exists", role.name)));
        }
        let role = Role { grants: self.with_named(&role.grants, named)?, ..role.clone() };
        match (presence, self.access_role(role.id).cloned()) {
            (Presence::Absent, None) => {
                refuse_full(self.access.roles.len(), "roles")?;
                self.change_role(role, self.index, changes);
                Ok(())
            }
            (Presence::Present, Some(old)) => {
                let (create_index, modify_index) = (old.create_index, old.modify_index);
                if (Role { create_index, modify_index, ..role.clone() }) != *old {
                    self.change_role(role, create_index, changes);
                }
                Ok(())
            }
            (Presence::Absent, Some(_)) => refuse("Invalid Role: its ID is already in use"),
            (Presence::Present, None) => Err(Refusal::Access(format!("Cannot find role {:?}", role.id.to_string()))),
        }
    }

    fn change_role(&mut self, role: Role, create_index: Index, changes: &mut Changes) {
        let row = Role { create_index, modify_index: self.index, ..role };
        self.change_access(AccessRow::Role(Arc::new(row)), changes);
    }

    /// The grants with what is named; all of it must be there.
    fn with_named(&self, grants: &Grants, named: &Named) -> Result<Grants, Refusal> {
        let mut grants = grants.clone();
        if let Some(id) = grants.policies.iter().find(|id| self.access_policy(**id).is_none()) {
            return Err(Refusal::Access(format!("No such ACL policy with ID {:?}", id.to_string())));
        }
        if let Some(id) = grants.roles.iter().find(|id| self.access_role(**id).is_none()) {
            return Err(Refusal::Access(format!("No such ACL role with ID {:?}", id.to_string())));
        }
        let find = |is_role: bool, name: &str| match is_role {
            true => self.access_role_named(name).map(|role| role.id),
            false => self.access_policy_named(name).map(|policy| policy.id),
        };
        for (is_role, names) in [(false, &named.policies), (true, &named.roles)] {
            for name in names {
                let kind = if is_role { "role" } else { "policy" };
                let missing = || Refusal::Access(format!("No such ACL {kind} with name {:?}", name.as_str()));
                let id = find(is_role, name).ok_or_else(missing)?;
                let list = if is_role { &mut grants.roles } else { &mut grants.policies };
                if !list.contains(&id) {
                    list.push(id);
                }
            }
        }
        Ok(grants)
    }

    fn put_auth_method(
        &mut self,
        method: &AuthMethod,
        presence: Presence,
        changes: &mut Changes,
    ) -> Result<(), Refusal> {
        let old = self.auth_method(&method.name).cloned();
        let create_index = match (presence, &old) {
            (Presence::Absent, None) => {
                refuse_full(self.access.auth_methods.len(), "auth methods")?;
                self.index
            }
            (Presence::Present, Some(old)) if old.kind != method.kind => {
                return Err(Refusal::Access(format!("Changing an auth method's type is not permitted ({})", old.kind)));
            }
            (Presence::Present, Some(old)) => old.create_index,
            (Presence::Absent, Some(_)) => {
                return Err(Refusal::Access(format!("Invalid Auth Method: {:?} already exists", method.name.as_str())));
            }
            (Presence::Present, None) => {
                return Err(Refusal::Access(format!("Cannot find auth method {:?}", method.name.as_str())));
            }
        };
        self.change_auth_method(method.clone(), create_index, changes);
        Ok(())
    }

    fn change_auth_method(&mut self, method: AuthMethod, create_index: Index, changes: &mut Changes) {
        let row = AuthMethod { create_index, modify_index: self.index, ..method };
        self.change_access(AccessRow::AuthMethod(Arc::new(row)), changes);
    }

    fn remove_auth_method(&mut self, name: &SmolStr, changes: &mut Changes) {
        if self.auth_method(name).is_none() {
            return;
        }
        let rules: Vec<Uuid> =
            self.binding_rules().filter(|rule| rule.auth_method == *name).map(|rule| rule.id).collect();
        let tokens: Vec<Uuid> =
            self.access_tokens().filter(|token| token.auth_method == *name).map(|token| token.accessor).collect();
        rules.into_iter().for_each(|id| self.change_access(AccessRow::BindingRuleGone(id), changes));
        tokens.into_iter().for_each(|accessor| self.change_access(AccessRow::TokenGone(accessor), changes));
        self.change_access(AccessRow::AuthMethodGone(name.clone()), changes);
    }

    fn put_binding_rule(
        &mut self,
        rule: &BindingRule,
        presence: Presence,
        changes: &mut Changes,
    ) -> Result<(), Refusal> {
        if self.auth_method(&rule.auth_method).is_none() {
            return Err(Refusal::Access(format!("auth method {:?} not found", rule.auth_method.as_str())));
        }
        let create_index = match (presence, self.binding_rule(rule.id)) {
            (Presence::Absent, None) => {
                refuse_full(self.access.binding_rules.len(), "binding rules")?;
                self.index
            }
            (Presence::Present, Some(old)) if old.auth_method != rule.auth_method => {
                return refuse("Changing the auth method of a binding rule is not permitted");
            }
            (Presence::Present, Some(old)) => old.create_index,
            (Presence::Absent, Some(_)) => return refuse("Invalid Binding Rule: its ID is already in use"),
            (Presence::Present, None) => {
                return Err(Refusal::Access(format!("Cannot find binding rule {:?}", rule.id.to_string())));
            }
        };
        self.change_binding_rule(rule.clone(), create_index, changes);
        Ok(())
    }

    fn change_binding_rule(&mut self, rule: BindingRule, create_index: Index, changes: &mut Changes) {
        let row = BindingRule { create_index, modify_index: self.index, ..rule };
        self.change_access(AccessRow::BindingRule(Arc::new(row)), changes);
    }

    /// Rows of the primary datacenter keep their times, and have indexes of this one.
    fn replicate(&mut self, row: &AccessRow, changes: &mut Changes) {
        match row {
            AccessRow::Policy(policy) => {
                let create_index = self.access_policy(policy.id).map_or(self.index, |old| old.create_index);
                self.change_policy((**policy).clone(), create_index, changes);
            }
            AccessRow::Role(role) => {
                let create_index = self.access_role(role.id).map_or(self.index, |old| old.create_index);
                self.change_role((**role).clone(), create_index, changes);
            }
            AccessRow::Token(token) => {
                let create_index = self.access_token(token.accessor).map_or(self.index, |old| old.create_index);
                self.change_token((**token).clone(), create_index, changes);
            }
            AccessRow::AuthMethod(method) => {
                let create_index = self.auth_method(&method.name).map_or(self.index, |old| old.create_index);
                self.change_auth_method((**method).clone(), create_index, changes);
            }
            // With it go the tokens that it has made here.
            AccessRow::AuthMethodGone(name) => self.remove_auth_method(name, changes),
            AccessRow::BindingRule(rule) => {
                let create_index = self.binding_rule(rule.id).map_or(self.index, |old| old.create_index);
                self.change_binding_rule((**rule).clone(), create_index, changes);
            }
            row if self.access.has_gone(row) => self.change_access(row.clone(), changes),
            _ => {}
        }
    }
}

fn managing(token: AccessToken) -> AccessToken {
    AccessToken { grants: Grants { policies: vec![MANAGEMENT_POLICY], ..Grants::default() }, ..token }
}

fn refuse<T>(sentence: &str) -> Result<T, Refusal> {
    Err(Refusal::Access(sentence.into()))
}

fn refuse_full(rows: usize, what: &str) -> Result<(), Refusal> {
    if rows < MAX_ROWS {
        return Ok(());
    }
    Err(Refusal::Access(format!("there are {rows} {what}, and there may not be more (delete some)")))
}
