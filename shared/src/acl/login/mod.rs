//! Logging in: a token of somebody else's (a JWT) against a token of this registry.
//!
//! `method` reads how a method knows a good one, `key` holds public keys (`der` takes them out of their wrapping),
//! `signed` takes a JWT apart and looks at its signature, `claims` says whether it counts now and here and what of it is
//! mapped to an [`Identity`]. `rule` turns that into grants: whom a binding rule is for, and of which name (`name`).
//!
//! It makes no requests, so that no key is fetched from elsewhere: an operator writes the keys into the method. Whatever
//! a JWT contains, nothing here panics, and nothing of an unsigned one is believed but which key it wants to be checked
//! with. Its endpoints are `http::login`'s.
//!
//! Sources: RFC 7515 (signatures), 7517 (keys), 7518 (algorithms), 7519 (claims), 8037 (Ed25519), 8725 (what goes wrong
//! with them); Consul's documents, "JWT Auth Method", "OIDC and JWT claim processing", "Binding Rules".

mod claims;
mod der;
mod key;
mod method;
mod name;
mod rule;
mod signed;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;

use smol_str::SmolStr;

pub use self::{
    method::{JWT, Jwt, MethodError},
    rule::{RuleError, check_rule, grants},
};

/// What is known of somebody who logs in: every name that the method maps, empty where the JWT does not say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// `value.NAME`
    pub values: BTreeMap<SmolStr, String>,
    /// `list.NAME`
    pub lists: BTreeMap<SmolStr, Vec<String>>,
}

/// Why somebody is not let in. `Display` is for the operator's log, never for who asks, and has nothing of the JWT's
/// secret part in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The method's configuration cannot be used (any more).
    #[error(transparent)]
    Method(#[from] MethodError),
    /// It is no JWT.
    #[error("it is no JWT: {0}")]
    Form(&'static str),
    /// Its signature is of another kind than the method takes.
    #[error("its algorithm is {0:?}, which the method does not take (JWTSupportedAlgs)")]
    Algorithm(String),
    /// None of the method's keys is for it.
    #[error("no key of the method goes with its algorithm and its \"kid\"")]
    NoKey,
    /// It was changed, or signed by somebody else.
    #[error("no key of the method has made its signature")]
    Signature,
    /// It says something that it may not.
    #[error("its claim {claim:?} {problem}")]
    Claim {
        /// Its name, as the method's configuration or RFC 7519 has it.
        claim: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// It says neither since when nor until when it counts.
    #[error("it has none of the claims \"exp\", \"nbf\" and \"iat\"")]
    Timeless,
    /// It does not count any more.
    #[error("it counts no longer, since {0} s")]
    Expired(i64),
    /// It does not count yet.
    #[error("it does not count before {0} s have passed")]
    Early(i64),
    /// A rule is for this one, and what it gives cannot have such a name.
    #[error("binding rule {rule}: {problem}")]
    Name {
        /// The rule's ID.
        rule: uuid::Uuid,
        /// What is wrong.
        problem: String,
    },
    /// Rules give more than one token may have.
    #[error("the binding rules give more than {0} roles and identities")]
    TooMany(usize),
    /// No rule is for this one, or none whose role exists.
    #[error("no binding rule of the method gives it anything")]
    NoRule,
}

impl LoginError {
    fn claim(claim: &str, problem: &'static str) -> Self {
        Self::Claim { claim: claim.into(), problem }
    }
}
