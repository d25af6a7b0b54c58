//! Access control: tokens, the policies and roles they have, and how tokens are given to those who log in. Plain data;
//! what it allows is `acl`'s matter, how it is kept `catalog`'s.

use std::{fmt, sync::Arc};

use ring::digest;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use subtle::ConstantTimeEq;
use uuid::{Uuid, uuid};

use super::{Index, Time};

/// The ID of the policy that allows everything.
pub const MANAGEMENT_POLICY: Uuid = uuid!("00000000-0000-0000-0000-000000000001");
/// Its name.
pub const MANAGEMENT_POLICY_NAME: &str = "global-management";
/// The accessor of the token of those who show none.
pub const ANONYMOUS: Uuid = uuid!("00000000-0000-0000-0000-000000000002");
/// What stands for the secret of that token.
pub const ANONYMOUS_SECRET: &str = "anonymous";

/// The SHA-256 of a secret, under which it is found. Secrets are random, so that none is found out by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SecretDigest(pub [u8; 32]);

impl SecretDigest {
    /// That of a secret.
    #[must_use]
    pub fn of(secret: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
        Self(bytes)
    }

    /// Whether it is that of this secret, in a time that says nothing of it.
    #[must_use]
    pub fn is_of(&self, secret: &str) -> bool {
        self.0.ct_eq(&Self::of(secret).0).into()
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a digest")
    }
}

/// What the bearer of a token shows. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// The text; only servers have it, and archives do not.
    text: Option<SmolStr>,
    digest: SecretDigest,
}

impl Secret {
    /// That text.
    #[must_use]
    pub fn new(text: impl Into<SmolStr>) -> Self {
        let text = text.into();
        Self { digest: SecretDigest::of(&text), text: Some(text) }
    }

    /// A text of which no more is known than this.
    #[must_use]
    pub fn digested(digest: SecretDigest) -> Self {
        Self { text: None, digest }
    }

    /// The text, where it is known.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// Its digest.
    #[must_use]
    pub fn digest(&self) -> SecretDigest {
        self.digest
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("<hidden>")
    }
}

/// The right to be a service: to register it and to see whom it calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceIdentity {
    /// Its name.
    pub service: SmolStr,
    /// Where it counts; empty: everywhere.
    pub datacenters: Vec<SmolStr>,
}

/// The right to be a node: what its agent needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeIdentity {
    /// Its name.
    pub node: SmolStr,
    /// The datacenter it is in.
    pub datacenter: SmolStr,
}

/// What a token or a role allows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// IDs of policies; those that are gone count for nothing.
    pub policies: Vec<Uuid>,
    /// IDs of roles, likewise; of a role: none.
    pub roles: Vec<Uuid>,
    /// Services its bearer may be.
    pub services: Vec<ServiceIdentity>,
    /// Nodes its bearer may be.
    pub nodes: Vec<NodeIdentity>,
}

/// What shows who its bearer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    /// By what it is spoken of.
    pub accessor: Uuid,
    /// What its bearer shows.
    pub secret: Secret,
    /// What it is for.
    pub description: SmolStr,
    /// What it allows.
    pub grants: Grants,
    /// Whether it counts in this datacenter only.
    pub is_local: bool,
    /// The method by which its bearer logged in; empty: nobody did.
    pub auth_method: SmolStr,
    /// When it ends; none: never by itself.
    pub expires: Option<Time>,
    /// When it was created.
    pub created: Time,
    /// The index at which it was.
    pub create_index: Index,
    /// When it last changed.
    pub modify_index: Index,
}

impl AccessToken {
    /// One that allows nothing, everywhere and without an end.
    #[must_use]
    pub fn new(accessor: Uuid, secret: Secret) -> Self {
        Self {
            accessor,
            secret,
            description: SmolStr::default(),
            grants: Grants::default(),
            is_local: false,
            auth_method: SmolStr::default(),
            expires: None,
            created: Time(0),
            create_index: Index(0),
            modify_index: Index(0),
        }
    }

    /// The same as others may have it: recognised, but not shown.
    #[must_use]
    pub fn without_secret(self: &Arc<Self>) -> Arc<Self> {
        if self.secret.text.is_none() {
            return self.clone();
        }
        Arc::new(Self { secret: Secret::digested(self.secret.digest), ..(**self).clone() })
    }

    /// Whether it still counts.
    #[must_use]
    pub fn is_valid_at(&self, now: Time) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

/// Rules under a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Never used twice.
    pub id: Uuid,
    /// Unique.
    pub name: SmolStr,
    /// What it is for.
    pub description: SmolStr,
    /// As they were written, in HCL or JSON.
    pub rules: SmolStr,
    /// Where it counts; empty: everywhere.
    pub datacenters: Vec<SmolStr>,
    /// When it was created.
    pub create_index: Index,
    /// When it last changed.
    pub modify_index: Index,
}

/// What several tokens have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Never used twice.
    pub id: Uuid,
    /// Unique.
    pub name: SmolStr,
    /// What it is for.
    pub description: SmolStr,
    /// What it allows.
    pub grants: Grants,
    /// When it was created.
    pub create_index: Index,
    /// When it last changed.
    pub modify_index: Index,
}

/// A way to log in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthMethod {
    /// Unique.
    pub name: SmolStr,
    /// `jwt` is the one there is.
    pub kind: SmolStr,
    /// What people see.
    pub display_name: SmolStr,
    /// What it is for.
    pub description: SmolStr,
    /// How long tokens of it count, in nanoseconds; 0: until their bearer logs out.
    pub max_token_ttl_ns: u64,
    /// Whether its tokens count in all datacenters.
    pub makes_global_tokens: bool,
    /// What the kind needs to know: a JSON object.
    pub config: SmolStr,
    /// When it was created.
    pub create_index: Index,
    /// When it last changed.
    pub modify_index: Index,
}

/// What those get who log in by a method.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingRule {
    /// Never used twice.
    pub id: Uuid,
    /// What it is for.
    pub description: SmolStr,
    /// The method.
    pub auth_method: SmolStr,
    /// Whom it is for: an expression over what the method knows of them; empty: for all.
    pub selector: SmolStr,
    /// What they get.
    pub bind: Bind,
    /// Of which name; `${...}` in it is what the method knows of them.
    pub bind_name: SmolStr,
    /// When it was created.
    pub create_index: Index,
    /// When it last changed.
    pub modify_index: Index,
}

/// What a binding rule gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bind {
    /// The right to be a service.
    #[default]
    Service,
    /// The right to be a node.
    Node,
    /// A role.
    Role,
}
