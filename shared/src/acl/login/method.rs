//! The configuration of a method of type `jwt`: how it knows a good JWT, and what it takes from one.
//!
//! It is kept in the registry as it was written, and read when it is written and at each login. Its keys are those of
//! Consul's documents, whatever their letter case, and `JWKS`, which is Lictor's own: a JSON Web Key Set in its place.

use std::time::Duration;

use serde_json::Value;
use smol_str::SmolStr;

use super::{
    Identity, LoginError, claims,
    key::{Algorithm, Key},
    signed,
};
use crate::{
    agent::{
        definition::{DefinitionError, Fields, Strictness, fold},
        duration,
    },
    model::Time,
};

/// The type of such a method, the only one there is.
pub const JWT: &str = "jwt";

/// The most keys: one after the other may have to be tried.
const MAX_KEYS: usize = 32;
/// The most claims that are mapped, and the most audiences.
const MAX_MAPPINGS: usize = 64;
/// The longest name of a claim or of what it is mapped to, in bytes.
const MAX_NAME_BYTES: usize = 128;
/// The leeways where nothing is said (Consul's documents).
const DEFAULTS: Leeways = Leeways { expiration: 150, not_before: 150, clock_skew: 60 };

/// Why a method cannot be used. `Display` is the sentence that a client sees.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid Auth Method: Config: {0}")]
pub struct MethodError(String);

impl From<DefinitionError> for MethodError {
    fn from(error: DefinitionError) -> Self {
        Self(error.explain())
    }
}

/// By how many seconds claims about time may be missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leeways {
    pub expiration: i64,
    pub not_before: i64,
    pub clock_skew: i64,
}

/// A claim and what it is called in rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    /// Its name, or where it is (RFC 6901).
    pub claim: String,
    pub name: SmolStr,
}

/// How a method of type `jwt` knows a good JWT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt {
    keys: Vec<Key>,
    algorithms: Vec<Algorithm>,
    issuer: String,
    audiences: Vec<String>,
    values: Vec<Mapping>,
    lists: Vec<Mapping>,
    leeways: Leeways,
}

impl Jwt {
    /// Reads the configuration, a JSON object.
    ///
    /// # Errors
    /// [`MethodError`] says what is wrong with it, and what would be right.
    pub fn parse(config: &str) -> Result<Self, MethodError> {
        let config: Value = serde_json::from_str(config).map_err(|error| MethodError(error.to_string()))?;
        let mut fields = Fields::of(&config, Strictness::File)?;
        refuse_remote_keys(&mut fields)?;
        let method = Self {
            keys: keys(&mut fields)?,
            algorithms: algorithms(&fields.texts("jwtsupportedalgs")?)?,
            issuer: fields.text("boundissuer")?.into(),
            audiences: fields.texts("boundaudiences")?.into_iter().map(String::from).collect(),
            values: mappings(&mut fields, "ClaimMappings")?,
            lists: mappings(&mut fields, "ListClaimMappings")?,
            leeways: Leeways {
                expiration: leeway(&mut fields, "expirationleeway", DEFAULTS.expiration)?,
                not_before: leeway(&mut fields, "notbeforeleeway", DEFAULTS.not_before)?,
                clock_skew: leeway(&mut fields, "clockskewleeway", DEFAULTS.clock_skew)?,
            },
        };
        // What goes to the log of Consul's servers at their level of debugging goes nowhere here.
        fields.ignore(&["verboseoidclogging"]);
        fields.finish()?;
        if method.audiences.len() > MAX_MAPPINGS {
            return Err(MethodError(format!("BoundAudiences: there are more than {MAX_MAPPINGS}")));
        }
        Ok(method)
    }

    /// Who logs in with that JWT at that time.
    ///
    /// # Errors
    /// [`LoginError`], for the operator.
    pub fn identify(&self, token: &str, now: Time) -> Result<Identity, LoginError> {
        let claims = signed::verified(token, &self.keys, &self.algorithms)?;
        claims::check_time(&claims, self.leeways, i64::try_from(now.0 / 1000).unwrap_or(i64::MAX))?;
        claims::check_parties(&claims, &self.issuer, &self.audiences)?;
        claims::identity(&claims, &self.values, &self.lists)
    }

    /// Somebody of whom nothing is known: every name that is mapped, and nothing behind it.
    pub(super) fn blank(&self) -> Identity {
        let names = |mappings: &[Mapping]| mappings.iter().map(|mapping| mapping.name.clone()).collect::<Vec<_>>();
        Identity {
            values: names(&self.values).into_iter().map(|name| (name, String::new())).collect(),
            lists: names(&self.lists).into_iter().map(|name| (name, Vec::new())).collect(),
        }
    }
}

/// Keys that are elsewhere would have to be fetched.
fn refuse_remote_keys(fields: &mut Fields<'_>) -> Result<(), MethodError> {
    let remote = ["oidcdiscoveryurl", "oidcdiscoverycacert", "jwksurl", "jwkscacert"];
    for key in remote {
        let Some((written, value)) = fields.take(key) else { continue };
        if value.as_str() != Some("") {
            let remedy = "put the keys themselves into JWTValidationPubKeys (PEM) or JWKS (a JSON Web Key Set)";
            return Err(MethodError(format!("{written}: keys are not fetched from elsewhere; {remedy}")));
        }
    }
    Ok(())
}

fn keys(fields: &mut Fields<'_>) -> Result<Vec<Key>, MethodError> {
    let (pems, set) = (fields.texts("jwtvalidationpubkeys")?, fields.take("jwks"));
    let mut keys = Vec::new();
    for (number, pem) in pems.iter().take(MAX_KEYS + 1).enumerate() {
        let key =
            Key::of_pem(pem).map_err(|problem| MethodError(format!("JWTValidationPubKeys[{number}]: {problem}")))?;
        keys.push(key);
    }
    if let Some((written, set)) = set {
        let list = set.get("keys").and_then(Value::as_array);
        let list = list.ok_or_else(|| MethodError(format!("{written}: it is no object with a list \"keys\"")))?;
        for (number, jwk) in list.iter().take(MAX_KEYS + 1).enumerate() {
            let key =
                Key::of_set(jwk).map_err(|problem| MethodError(format!("{written}: keys[{number}]: {problem}")))?;
            keys.extend(key);
        }
        if list.len() > MAX_KEYS {
            return Err(MethodError(format!("{written}: there are more than {MAX_KEYS} keys")));
        }
    }
    match keys.len() {
        0 => Err(MethodError("it has no key to check signatures with (JWTValidationPubKeys or JWKS)".into())),
        1..=MAX_KEYS => Ok(keys),
        _ => Err(MethodError(format!("there are more than {MAX_KEYS} keys"))),
    }
}

fn algorithms(names: &[SmolStr]) -> Result<Vec<Algorithm>, MethodError> {
    if names.is_empty() {
        return Ok(vec![Algorithm::Rs256]);
    }
    let unknown = |name: &str| format!("JWTSupportedAlgs: {name:?} is none of {}", Algorithm::names());
    names.iter().map(|name| Algorithm::parse(name).ok_or_else(|| MethodError(unknown(name)))).collect()
}

fn mappings(fields: &mut Fields<'_>, key: &str) -> Result<Vec<Mapping>, MethodError> {
    let invalid = |problem: String| Err(MethodError(format!("{key}: {problem}")));
    let mut mappings: Vec<Mapping> = Vec::new();
    for (claim, name) in fields.map(&fold(key))? {
        let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !is_name || name.len() > MAX_NAME_BYTES {
            return invalid(format!("{name:?} is no name (a letter, then letters, digits, \"-\" and \"_\")"));
        }
        if claim.is_empty() || claim.len() > MAX_NAME_BYTES {
            return invalid(format!("a claim's name has 1 to {MAX_NAME_BYTES} bytes"));
        }
        if mappings.iter().any(|mapping| mapping.name == name) {
            return invalid(format!("two claims are mapped to {name:?}"));
        }
        mappings.push(Mapping { claim: claim.into(), name });
    }
    if mappings.len() > MAX_MAPPINGS {
        return invalid(format!("there are more than {MAX_MAPPINGS}"));
    }
    Ok(mappings)
}

/// A leeway in seconds: less than nothing means none, and nothing the default. A bare number is nanoseconds.
fn leeway(fields: &mut Fields<'_>, key: &str, default: i64) -> Result<i64, MethodError> {
    let Some((written, value)) = fields.take(key) else { return Ok(default) };
    let invalid = |problem: String| MethodError(format!("{written}: {problem}"));
    let span = match value {
        Value::String(text) if text.is_empty() => Duration::ZERO,
        Value::String(text) => {
            let span = duration::parse(text).map_err(|error| invalid(error.explain()))?;
            if text.starts_with('-') {
                return Ok(0);
            }
            span
        }
        value => match value.as_i64() {
            Some(..0) => return Ok(0),
            Some(nanoseconds) => Duration::from_nanos(nanoseconds.unsigned_abs()),
            None => return Err(invalid("it is no duration (try \"30s\"; \"-1s\" for none)".into())),
        },
    };
    if span.is_zero() { Ok(default) } else { Ok(i64::try_from(span.as_secs()).unwrap_or(i64::MAX)) }
}
