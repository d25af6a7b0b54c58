//! From what a caller shows to what it may do, on this node.
//!
//! The tokens and policies are in the node's own view, so that nobody is asked, and what is revoked counts no longer as
//! soon as the view has it. What came out is kept for each credential until anything about access control changes, and
//! rights are shared by all who have the same. What is kept is bounded, and holds nothing of those who showed a secret
//! that does not exist.
//!
//! A sidecar that has not heard of a leader for longer than [`Settings::staleness`] goes by the `down_policy`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use arc_swap::ArcSwap;
use smol_str::SmolStr;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{Credential, Denial, Level, Resource, Rights, Rules, identity};
use crate::{
    backend::Contact,
    catalog::{State, Topic},
    command::Command,
    model::{ANONYMOUS, AccessToken, Grants, Index, MANAGEMENT_POLICY, SecretDigest, Time},
    view::Reader,
};

/// How long the secret is by which servers know each other: two UUIDs.
const SERVERS_SECRET_BYTES: usize = 72;
/// The most credentials that are kept.
const MAX_KEPT: usize = 8 * 1024;

/// What counts at a sidecar that has heard of no leader for too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DownPolicy {
    /// Everything is allowed but access control itself.
    Allow,
    /// Nothing is.
    Deny,
    /// What it knew (Consul's `extend-cache` and `async-cache`).
    #[default]
    ExtendCache,
}

/// What the configuration says about access control.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whether there is any; else everything is allowed.
    pub enabled: bool,
    /// Whether what no rule is about is allowed (`default_policy`).
    pub allowed_otherwise: bool,
    /// See there.
    pub down_policy: DownPolicy,
    /// How old the last word of a leader may be before that counts; none: any age, as on servers, who keep the tokens.
    pub staleness: Option<Duration>,
    /// Whether to list keys needs the level `list` (`enable_key_list_policy`).
    pub key_list_policy: bool,
    /// This node's datacenter.
    pub datacenter: SmolStr,
    /// The datacenter that keeps policies, roles and global tokens; empty: this one.
    pub primary_datacenter: SmolStr,
    /// This node's name.
    pub node_name: SmolStr,
}

impl DownPolicy {
    /// Its name in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::ExtendCache => "extend-cache",
        }
    }
}

impl Settings {
    /// Whether policies, roles and global tokens are kept by another datacenter.
    #[must_use]
    pub fn has_other_primary(&self) -> bool {
        !self.primary_datacenter.is_empty() && !self.primary_datacenter.eq_ignore_ascii_case(&self.datacenter)
    }
}

/// What the node itself shows to others, and one that it accepts whatever the servers say. Changed while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnTokens {
    /// For the callers who show nothing (`default`).
    pub default: Credential,
    /// For what the agent does by itself (`agent`).
    pub agent: Credential,
    /// For copying from the primary datacenter (`replication`).
    pub replication: Credential,
    /// By which an operator can always look at this agent (`recovery`, `agent_master`).
    pub recovery: Credential,
    /// For DNS (`dns`).
    pub dns: Credential,
}

/// How far this datacenter's copy of the primary one's policies, roles and tokens is, as its leader knows.
#[derive(Clone, Debug, Default)]
pub struct Replication {
    /// Whether this node keeps the copy.
    pub running: bool,
    /// What is copied: `policies`, or `tokens` and the rest.
    pub kind: &'static str,
    /// The primary datacenter's indexes of what is copied.
    pub policies: Index,
    /// Of roles.
    pub roles: Index,
    /// Of tokens.
    pub tokens: Index,
    /// When it was last found to be so.
    pub last_success: Time,
    /// When it last could not be.
    pub last_error: Time,
    /// Why.
    pub error: String,
}

/// Somebody who asks.
#[derive(Debug)]
pub struct Known {
    /// The accessor of its token; none where there is no access control, or no token stands behind it.
    pub accessor: Option<Uuid>,
    /// What it may do.
    pub rights: Arc<Rights>,
}

impl Known {
    /// Whether it has shown nothing.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.accessor == Some(ANONYMOUS)
    }
}

struct Kept {
    index: Index,
    expires: Option<Time>,
    known: Arc<Known>,
}

type ContactOf = Arc<dyn Fn() -> Contact + Send + Sync>;

/// Who decides on this node.
pub struct Authority {
    settings: Settings,
    own: ArcSwap<OwnTokens>,
    reader: Reader,
    contact: OnceLock<ContactOf>,
    kept: RwLock<HashMap<SmolStr, Kept>>,
    replication: Mutex<Replication>,
    /// Everybody, where there is no access control; and those who go by the `down_policy`.
    all: Arc<Known>,
    none: Arc<Known>,
    open: Arc<Known>,
    recovery: Arc<Known>,
}

impl Authority {
    /// That of the node whose view `reader` sees.
    #[must_use]
    pub fn new(settings: Settings, own: OwnTokens, reader: Reader) -> Self {
        let nobody = |rights| Arc::new(Known { accessor: None, rights: Arc::new(rights) });
        let mut recovery = Rules::default();
        recovery.exact.insert((Resource::Agent, settings.node_name.clone()), Level::Write);
        recovery.prefix.insert((Resource::Node, SmolStr::default()), Level::Read);
        Self {
            all: nobody(Rights::all()),
            none: nobody(Rights::none()),
            open: nobody(Rights::new([], true)),
            recovery: nobody(Rights::new([&recovery], false)),
            settings,
            own: ArcSwap::from_pointee(own),
            reader,
            contact: OnceLock::new(),
            kept: RwLock::default(),
            replication: Mutex::default(),
        }
    }

    /// One that allows everything, for a node without access control.
    #[must_use]
    pub fn open(reader: Reader) -> Self {
        Self::new(Settings::default(), OwnTokens::default(), reader)
    }

    /// From now on `contact` says how old the servers' last word is; before that, it is not old.
    pub fn hear(&self, contact: impl Fn() -> Contact + Send + Sync + 'static) {
        self.contact.get_or_init(|| Arc::new(contact));
    }

    /// What the configuration says.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What the node itself shows.
    #[must_use]
    pub fn own(&self) -> Arc<OwnTokens> {
        self.own.load_full()
    }

    /// Changes what the node itself shows.
    pub fn set_own(&self, tokens: OwnTokens) {
        self.own.store(Arc::new(tokens));
    }

    /// How far the copy of the primary datacenter's is.
    #[must_use]
    pub fn replication(&self) -> Replication {
        self.replication.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says how far it is.
    pub fn set_replication(&self, report: Replication) {
        *self.replication.lock().unwrap_or_else(PoisonError::into_inner) = report;
    }

    /// Whether there is access control.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.settings.enabled
    }

    /// Somebody who may do nothing.
    #[must_use]
    pub fn nobody(&self) -> Arc<Known> {
        self.none.clone()
    }

    /// Who shows that.
    ///
    /// # Errors
    /// [`Denial::NotFound`]: no token has that secret, or it does not count any more.
    pub fn identify(&self, credential: &Credential) -> Result<Arc<Known>, Denial> {
        if !self.settings.enabled {
            return Ok(self.all.clone());
        }
        if self.is_recovery(credential) {
            return Ok(self.recovery.clone());
        }
        if self.is_down() {
            match self.settings.down_policy {
                DownPolicy::Allow => return Ok(self.open.clone()),
                DownPolicy::Deny => return Ok(self.none.clone()),
                DownPolicy::ExtendCache => {}
            }
        }
        let state = self.reader.load();
        let index = state.index_of(&Topic::Access);
        let is_current = |kept: &&Kept| kept.index == index && kept.expires.is_none_or(|at| Time::now() < at);
        {
            let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(kept) = kept.get(credential.expose()).filter(is_current) {
                return Ok(kept.known.clone());
            }
        }
        self.find(&state, index, credential)
    }

    /// Whether who shows that may have the command done. What a server does by its own decision (it lets somebody log in)
    /// it does as a server.
    ///
    /// # Errors
    /// Why not.
    pub fn authorize(&self, credential: &Credential, command: &Command) -> Result<(), Denial> {
        if !self.settings.enabled || self.is_server(credential) {
            return Ok(());
        }
        let known = self.identify(credential)?;
        super::authorize(&known.rights, &self.reader.load(), command)
    }

    /// Whether who shows that is one of this datacenter's servers, or the agent of that node.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, credential: &Credential, node: &str) -> Result<(), Denial> {
        if !self.settings.enabled || self.is_server(credential) {
            return Ok(());
        }
        self.require(credential, Resource::Node, Level::Write, node)
    }

    /// Whether who shows that has the right.
    ///
    /// # Errors
    /// Why not.
    pub fn require(&self, credential: &Credential, resource: Resource, level: Level, name: &str) -> Result<(), Denial> {
        self.identify(credential)?.rights.require(resource, level, name)
    }

    /// Whether who shows that may still do just what `rights` allow.
    #[must_use]
    pub fn still_has(&self, credential: &Credential, rights: &Rights) -> bool {
        self.identify(credential).is_ok_and(|known| known.rights.fingerprint() == rights.fingerprint())
    }

    fn is_server(&self, credential: &Credential) -> bool {
        // No token's secret is as long: most are not looked at.
        if credential.expose().len() != SERVERS_SECRET_BYTES {
            return false;
        }
        let state = self.reader.load();
        state.servers_secret().is_some_and(|secret| secret.digest().is_of(credential.expose()))
    }

    /// What this node shows to servers for itself: what servers know each other by, or the agent's token.
    #[must_use]
    pub fn own_credential(&self) -> Credential {
        let state = self.reader.load();
        let secret = state.servers_secret().and_then(|secret| secret.text());
        secret.map_or_else(|| self.own.load().agent.clone(), Credential::new)
    }

    fn is_recovery(&self, credential: &Credential) -> bool {
        let own = self.own.load();
        // Texts of unequal length are not equal.
        !own.recovery.is_none() && bool::from(own.recovery.expose().as_bytes().ct_eq(credential.expose().as_bytes()))
    }

    fn is_down(&self) -> bool {
        self.settings
            .staleness
            .is_some_and(|staleness| self.contact.get().is_some_and(|contact| contact().last > staleness))
    }

    fn find(&self, state: &State, index: Index, credential: &Credential) -> Result<Arc<Known>, Denial> {
        let token = match credential.is_none() {
            true => state.access_token(ANONYMOUS),
            false => state.access_token_by_secret(SecretDigest::of(credential.expose())),
        };
        let token = token.filter(|token| token.is_valid_at(Time::now()));
        let known = match token {
            Some(token) => Known { accessor: Some(token.accessor), rights: self.rights(state, token) },
            // The anonymous token is not written yet.
            None if credential.is_none() => {
                let rights = Rights::new([], self.settings.allowed_otherwise);
                return Ok(Arc::new(Known { accessor: Some(ANONYMOUS), rights: Arc::new(rights) }));
            }
            None => return Err(Denial::NotFound),
        };
        let known = Arc::new(known);
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        let expires = token.and_then(|token| token.expires);
        kept.insert(credential.expose().into(), Kept { index, expires, known: known.clone() });
        Ok(known)
    }

    /// What the token allows here; the same object where another token allows just that.
    fn rights(&self, state: &State, token: &AccessToken) -> Arc<Rights> {
        let rules = rules_of(state, &token.grants, &self.settings.datacenter);
        let rights = Rights::new(&rules, self.settings.allowed_otherwise);
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let same = kept.values().map(|kept| &kept.known.rights).find(|kept| kept.fingerprint() == rights.fingerprint());
        same.cloned().unwrap_or_else(|| Arc::new(rights))
    }
}

/// The rules of all that is granted, in that datacenter.
fn rules_of(state: &State, grants: &Grants, datacenter: &str) -> Vec<Rules> {
    let counts = |datacenters: &[SmolStr]| {
        datacenters.is_empty() || datacenters.iter().any(|name| name.eq_ignore_ascii_case(datacenter))
    };
    let roles = grants.roles.iter().filter_map(|role| state.access_role(*role));
    let mut rules = Vec::new();
    for grants in std::iter::once(grants).chain(roles.map(|role| &role.grants)) {
        for id in &grants.policies {
            if *id == MANAGEMENT_POLICY {
                rules.push(Rules::management());
            } else if let Some(policy) = state.access_policy(*id).filter(|policy| counts(&policy.datacenters)) {
                // It was read when it was written, maybe by a version that knows more: what it denies is not known here.
                rules.push(Rules::parse(&policy.rules).unwrap_or_else(|_| Rules::denial()));
            }
        }
        let services = grants.services.iter().filter(|identity| counts(&identity.datacenters));
        rules.extend(services.map(identity::of_service));
        let nodes = grants.nodes.iter().filter(|identity| identity.datacenter.eq_ignore_ascii_case(datacenter));
        rules.extend(nodes.map(identity::of_node));
    }
    rules
}
