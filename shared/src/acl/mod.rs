//! Access control: who may do what.
//!
//! A caller shows a [`Credential`], which may be nothing. `resolver` finds the token that it is the secret of, in the
//! node's own view, and compiles what the token's policies, roles and identities allow into [`Rights`], which are kept
//! and shared by all who have the same. `rules` reads policies, `rights` answers questions, `identity` writes the rules
//! of services and nodes, `command` says what each write needs; `login` gives tokens to those whom somebody else knows.
//!
//! Where a decision is made: reads where they are asked, from the node's own copy of tokens and policies (a sidecar has
//! digests of secrets, never secrets); writes by the server that takes them, whoever passed them on. Which right an
//! endpoint needs stands in the table of endpoints (`http::route`).
//!
//! Nothing here does I/O.

mod command;
mod identity;
pub mod login;
mod resolver;
mod rights;
mod rules;

use std::fmt;

use smol_str::SmolStr;

pub use self::{
    command::{authorize, authorize_operation},
    identity::{is_node_identity_name, is_service_identity_name},
    resolver::{Authority, DownPolicy, Known, OwnTokens, Replication, Settings},
    rights::Rights,
    rules::{Level, MANAGEMENT_RULES, Resource, Rules, RulesError},
};

/// What a caller shows to say who it is: the secret of a token, or nothing. `Debug` does not show it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credential(SmolStr);

impl Credential {
    /// That text; empty: nothing is shown.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self(secret.into())
    }

    /// Nothing is shown.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The text, to be shown to another node.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether nothing is shown.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// This one, or the other where nothing is shown.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        if self.is_none() { other.clone() } else { self.clone() }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.is_none() { "none" } else { "<hidden>" })
    }
}

/// Why something is not allowed. `Display` is the sentence that a client sees.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// No token has that secret, or not any more: 403.
    #[error("ACL not found")]
    NotFound,
    /// The token does not allow it: 403.
    #[error("Permission denied: {}", missing(*resource, *level, name))]
    Missing {
        /// About what.
        resource: Resource,
        /// How much would be needed.
        level: Level,
        /// Of which name; empty: of none.
        name: SmolStr,
    },
}

impl Denial {
    /// The right that is missing.
    #[must_use]
    pub fn missing(resource: Resource, level: Level, name: &str) -> Self {
        Self::Missing { resource, level, name: name.into() }
    }
}

fn missing(resource: Resource, level: Level, name: &str) -> String {
    let on = if name.is_empty() { String::new() } else { format!(" on {name}") };
    format!("Missing {resource}:{level}{on}")
}
