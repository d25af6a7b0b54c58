//! Outside the primary datacenter: the leader keeps a copy of its policies, roles, auth methods and binding rules and, where that is asked for
//! (`acl.enable_token_replication`), of the tokens that count everywhere.
//!
//! One blocking read of the list of policies over there is all that goes on while nothing changes: any change about access
//! control ends it. Then the lists are compared with this datacenter's rows by the indexes that they had over there, what
//! is new is read one by one, and all of it is written by commands that put and take out rows. The replication token needs
//! `acl:read` for policies and roles, `acl:write` for tokens, whose secrets are read.
//!
//! How far it is stands in `GET /v1/acl/replication` at the leader.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use lictor_shared::{
    acl::{Authority, Replication},
    backend::{Backend, Fetch},
    catalog::{AccessRow, State},
    command::{AccessCommand, Command},
    http::{
        json::{acl, login},
        query::encode,
    },
    model::{ANONYMOUS, AccessToken, BindingRule, Index, MANAGEMENT_POLICY, Secret, Time},
    tasks::Tasks,
    view::Reader,
};
use serde_json::Value;
use smol_str::SmolStr;
use uuid::Uuid;

use crate::raft::RaftNode;

/// How long one read waits for a change.
const WAIT: Duration = Duration::from_secs(60);
/// How long an answer may take beside that.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// The pause after something has failed, and while another server leads.
const PAUSE: Duration = Duration::from_secs(5);
/// The most rows of one command.
const ROWS: usize = 64;
/// The largest list, in bytes.
const LIST_BYTES: usize = 64 << 20;

/// What the copy is made with.
pub struct Replicator {
    /// Its way to the primary datacenter.
    pub backend: Arc<dyn Backend>,
    /// Its Raft node.
    pub raft: RaftNode,
    /// Its view.
    pub reader: Reader,
    /// Who decides here, and has the replication token.
    pub authority: Arc<Authority>,
    /// Whether tokens are copied too.
    pub tokens: bool,
}

/// A kind of row that is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Policy,
    Role,
    AuthMethod,
    BindingRule,
    Token,
}

impl Kind {
    /// Where a row's list has what it is known by.
    fn key(self) -> &'static str {
        match self {
            Self::Policy | Self::Role | Self::BindingRule => "ID",
            Self::AuthMethod => "Name",
            Self::Token => "AccessorID",
        }
    }

    fn endpoint(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Role => "role",
            Self::AuthMethod => "auth-method",
            Self::BindingRule => "binding-rule",
            Self::Token => "token",
        }
    }

    /// What a row is remembered by; of a name, one made of it.
    fn id(self, known_by: &str) -> Result<Uuid, String> {
        if self == Self::AuthMethod {
            return Ok(Uuid::new_v5(&Uuid::NAMESPACE_OID, known_by.as_bytes()));
        }
        Uuid::try_parse(known_by).map_err(|error| format!("a row has the ID {known_by:?}: {error}"))
    }
}

/// The indexes that the rows had in the primary datacenter when they were copied.
type Copied = BTreeMap<(Kind, Uuid), u64>;

impl Replicator {
    /// Starts it, where another datacenter is the primary one.
    pub fn start(self, tasks: &Tasks) {
        let settings = self.authority.settings();
        if !settings.enabled || !settings.has_other_primary() {
            return;
        }
        let stopping = tasks.stopping();
        tasks.spawn("ACL replication", async move {
            stopping.run_until_cancelled(self.run()).await;
            Ok::<(), String>(())
        });
    }

    async fn run(self) {
        let (mut copied, mut index, mut report) = (Copied::new(), 0, Replication::default());
        report.kind = if self.tokens { "tokens" } else { "policies" };
        loop {
            report.running = self.raft.is_leader();
            if !report.running {
                (copied, index) = (Copied::new(), 0);
                self.authority.set_replication(report.clone());
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            match self.round(&mut copied, index, &mut report).await {
                Ok(next) => {
                    if !report.error.is_empty() {
                        tracing::info!("the copy of the primary datacenter's policies is kept up to date again");
                    }
                    (index, report.last_success, report.error) = (next, Time::now(), String::new());
                }
                Err(reason) => {
                    if report.error != reason {
                        tracing::warn!(reason, "the primary datacenter's policies cannot be copied; it is tried again");
                    }
                    (index, report.last_error, report.error) = (0, Time::now(), reason);
                }
            }
            self.authority.set_replication(report.clone());
            if !report.error.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Waits for a change after `index` and copies it; gives the index from which to wait next.
    async fn round(&self, copied: &mut Copied, index: u64, report: &mut Replication) -> Result<u64, String> {
        let wait = format!("?index={index}&wait={}s", WAIT.as_secs());
        let (policies, next) = self.list(&format!("/v1/acl/policies{wait}")).await?;
        let mut rows = self.difference(Kind::Policy, &policies, copied).await?;
        report.policies = Index(next);
        let (roles, at) = self.list("/v1/acl/roles").await?;
        rows.extend(self.difference(Kind::Role, &roles, copied).await?);
        report.roles = Index(at);
        // A rule is of a method.
        let (methods, _) = self.list("/v1/acl/auth-methods").await?;
        rows.extend(self.difference(Kind::AuthMethod, &methods, copied).await?);
        let (rules, _) = self.list("/v1/acl/binding-rules").await?;
        rows.extend(self.difference(Kind::BindingRule, &rules, copied).await?);
        if self.tokens {
            let (tokens, at) = self.list("/v1/acl/tokens").await?;
            rows.extend(self.difference(Kind::Token, &tokens, copied).await?);
            report.tokens = Index(at);
        }
        for part in rows.chunks(ROWS) {
            let command = Command::Access(AccessCommand::Replicate(part.iter().map(|(row, _)| row.clone()).collect()));
            self.raft.propose(command).await.map_err(|error| error.to_string())?;
            for (_, (key, index)) in part {
                match index {
                    Some(index) => _ = copied.insert(*key, *index),
                    None => _ = copied.remove(key),
                }
            }
        }
        Ok(next)
    }

    /// The rows to put and to take out, each with what is to be remembered of it.
    async fn difference(
        &self,
        kind: Kind,
        list: &[Value],
        copied: &Copied,
    ) -> Result<Vec<(AccessRow, ((Kind, Uuid), Option<u64>))>, String> {
        let state = self.reader.load_full();
        let mut rows = Vec::new();
        let mut there = BTreeSet::new();
        for row in list {
            let name = text(row, kind.key());
            let id = kind.id(&name)?;
            if kind == Kind::Token && row["Local"] == true {
                continue;
            }
            there.insert(id);
            let index = row["ModifyIndex"].as_u64().unwrap_or_default();
            if copied.get(&(kind, id)) != Some(&index) || !is_here(&state, kind, id, &name) {
                rows.push((self.read(kind, id, &name).await?, ((kind, id), Some(index))));
            }
        }
        for (id, gone) in ours(&state, kind).into_iter().filter(|(id, _)| !there.contains(id)) {
            rows.push((gone, ((kind, id), None)));
        }
        Ok(rows)
    }

    /// One row as it is in the primary datacenter.
    async fn read(&self, kind: Kind, id: Uuid, name: &str) -> Result<AccessRow, String> {
        let endpoint = kind.endpoint();
        let (body, _) = self.get(&format!("/v1/acl/{endpoint}/{}", encode(name))).await?;
        let unreadable = |error: lictor_shared::http::Failure| format!("{endpoint} {name} cannot be read: {error}");
        Ok(match kind {
            Kind::Policy => AccessRow::Policy(Arc::new(acl::policy(&body).map_err(unreadable)?)),
            // The names in it stand beside the IDs.
            Kind::Role => AccessRow::Role(Arc::new(acl::role(&body).map_err(unreadable)?.0)),
            Kind::AuthMethod => AccessRow::AuthMethod(Arc::new(login::auth_method(&body, name).map_err(unreadable)?)),
            Kind::BindingRule => {
                let rule = login::binding_rule(&body).map_err(unreadable)?;
                AccessRow::BindingRule(Arc::new(BindingRule { id, ..rule }))
            }
            Kind::Token => AccessRow::Token(Arc::new(token(id, &body)?)),
        })
    }

    async fn list(&self, target: &str) -> Result<(Vec<Value>, u64), String> {
        let (body, index) = self.get(target).await?;
        Ok((serde_json::from_slice(&body).map_err(|error| format!("{target}: {error}"))?, index))
    }

    /// The answer of the primary datacenter, and its index.
    async fn get(&self, target: &str) -> Result<(bytes::Bytes, u64), String> {
        let fetch = Fetch {
            method: "GET".into(),
            path_and_query: target.to_owned(),
            token: self.authority.own().replication.clone(),
            limit: WAIT + WAIT / 16 + ANSWER_LIMIT,
            datacenter: self.authority.settings().primary_datacenter.to_string(),
            ..Fetch::default()
        };
        let fetched = self.backend.fetch(fetch).await.map_err(|error| error.to_string())?;
        let header =
            |name: &str| fetched.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let index = header("x-consul-index").and_then(|value| std::str::from_utf8(&value).ok()?.parse().ok());
        let status = fetched.status;
        let body = fetched.whole(LIST_BYTES).await.map_err(|error| error.to_string())?;
        if status != 200 {
            let reason = String::from_utf8_lossy(&body);
            let remedy = "acl.tokens.replication needs acl:read there, and acl:write for tokens";
            return Err(format!("the primary datacenter answers {status} {}: {remedy}", reason.trim()));
        }
        Ok((body, index.unwrap_or(1)))
    }
}

/// The rows of that kind that are copies, and what would take each out.
fn ours(state: &State, kind: Kind) -> Vec<(Uuid, AccessRow)> {
    match kind {
        Kind::Policy => {
            let policies = state.access_policies().map(|policy| policy.id);
            policies.filter(|id| *id != MANAGEMENT_POLICY).map(|id| (id, AccessRow::PolicyGone(id))).collect()
        }
        Kind::Role => state.access_roles().map(|role| (role.id, AccessRow::RoleGone(role.id))).collect(),
        Kind::AuthMethod => {
            let gone = |name: &SmolStr| Some((kind.id(name).ok()?, AccessRow::AuthMethodGone(name.clone())));
            state.auth_methods().filter_map(|method| gone(&method.name)).collect()
        }
        Kind::BindingRule => state.binding_rules().map(|rule| (rule.id, AccessRow::BindingRuleGone(rule.id))).collect(),
        Kind::Token => {
            let tokens = state.access_tokens().filter(|token| !token.is_local && token.accessor != ANONYMOUS);
            tokens.map(|token| (token.accessor, AccessRow::TokenGone(token.accessor))).collect()
        }
    }
}

fn is_here(state: &State, kind: Kind, id: Uuid, name: &str) -> bool {
    match kind {
        Kind::Policy => state.access_policy(id).is_some(),
        Kind::Role => state.access_role(id).is_some(),
        Kind::AuthMethod => state.auth_method(name).is_some(),
        Kind::BindingRule => state.binding_rule(id).is_some(),
        Kind::Token => state.access_token(id).is_some(),
    }
}

fn text(row: &Value, key: &str) -> String {
    row[key].as_str().unwrap_or_default().to_owned()
}

fn token(accessor: Uuid, body: &[u8]) -> Result<AccessToken, String> {
    let row: Value = serde_json::from_slice(body).map_err(|error| format!("token {accessor}: {error}"))?;
    let read = acl::granted(&row).map_err(|error| format!("token {accessor} cannot be read: {error}"))?;
    let secret = text(&row, "SecretID");
    if secret.is_empty() || secret == lictor_shared::model::Token::HIDDEN {
        return Err(format!("token {accessor} is shown without its secret: the replication token needs acl:write"));
    }
    let time = |key: &str| lictor_shared::http::json::time::parse_moment(&text(&row, key));
    Ok(AccessToken {
        accessor,
        secret: Secret::new(secret),
        description: text(&row, "Description").into(),
        grants: read,
        is_local: false,
        auth_method: text(&row, "AuthMethod").into(),
        expires: time("ExpirationTime"),
        created: time("CreateTime").unwrap_or_default(),
        create_index: Index(0),
        modify_index: Index(0),
    })
}
