//! What a JWT whose signature is good says: whether it counts now (RFC 7519, 4.1.4 to 4.1.6) and here (4.1.1, 4.1.3), and
//! what is made of it for the rules.
//!
//! **Time.** With `exp` and `nbf`, the leeway for clocks alone is added to both. Without `exp`, it counts for the leeway
//! of expiration after it began; without `nbf`, it began when it was issued, or else the leeway of `nbf` before its end.

use serde_json::Value;

use super::{
    Identity, LoginError,
    method::{Leeways, Mapping},
};

/// The longest text that is taken from a claim, in bytes.
const MAX_VALUE_BYTES: usize = 1024;
/// The most items that are taken from a claim.
const MAX_ITEMS: usize = 256;

/// Whether it counts at that second.
pub(super) fn check_time(claims: &Value, leeways: Leeways, now: i64) -> Result<(), LoginError> {
    let (expires, begins, issued) = (second(claims, "exp")?, second(claims, "nbf")?, second(claims, "iat")?);
    let (begins, expires) = match (begins.or(issued), expires) {
        (None, None) => return Err(LoginError::Timeless),
        (Some(begins), Some(expires)) => (begins, expires),
        (Some(begins), None) => (begins, begins.max(issued.unwrap_or(begins)).saturating_add(leeways.expiration)),
        (None, Some(expires)) => (expires.saturating_sub(leeways.not_before), expires),
    };
    // What is issued later is not there yet either.
    let begins = begins.max(issued.unwrap_or(begins)).saturating_sub(leeways.clock_skew);
    let expires = expires.saturating_add(leeways.clock_skew);
    if now < begins {
        return Err(LoginError::Early(begins.saturating_sub(now)));
    }
    if now >= expires {
        return Err(LoginError::Expired(now.saturating_sub(expires)));
    }
    Ok(())
}

/// A moment, in seconds since 1970. One that is no number is wrong, not absent.
fn second(claims: &Value, name: &str) -> Result<Option<i64>, LoginError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let number = value.as_f64().filter(|number| number.is_finite());
    // A greater number than fits becomes the greatest that does.
    number.map(|number| Some(number as i64)).ok_or_else(|| LoginError::claim(name, "is no number of seconds"))
}

/// Whether it is from that issuer (empty: from any) and for one of these audiences (none: it must be for no one in
/// particular).
pub(super) fn check_parties(claims: &Value, issuer: &str, bound: &[String]) -> Result<(), LoginError> {
    let found = claims.get("iss").and_then(Value::as_str);
    if !issuer.is_empty() && found != Some(issuer) {
        return Err(LoginError::claim("iss", "is not the method's BoundIssuer"));
    }
    let is_bound = |value: &Value| value.as_str().is_some_and(|text| bound.iter().any(|bound| bound == text));
    let (is_for_some, is_ours) = match claims.get("aud") {
        None | Some(Value::Null) => (false, false),
        Some(Value::Array(list)) => (!list.is_empty(), list.iter().any(is_bound)),
        Some(value) => (true, is_bound(value)),
    };
    match (is_for_some || !bound.is_empty(), is_ours) {
        (true, false) => Err(LoginError::claim("aud", "is none of the method's BoundAudiences")),
        _ => Ok(()),
    }
}

/// What is mapped.
pub(super) fn identity(claims: &Value, values: &[Mapping], lists: &[Mapping]) -> Result<Identity, LoginError> {
    let mut identity = Identity::default();
    for Mapping { claim, name } in values {
        let text = find(claims, claim).map(|value| text(claim, value)).transpose()?;
        identity.values.insert(name.clone(), text.unwrap_or_default());
    }
    for Mapping { claim, name } in lists {
        let list = match find(claims, claim) {
            None => Vec::new(),
            Some(Value::Array(list)) if list.len() > MAX_ITEMS => {
                return Err(LoginError::claim(claim, "has more than 256 items"));
            }
            Some(Value::Array(list)) => list.iter().map(|item| text(claim, item)).collect::<Result<_, _>>()?,
            Some(value) => vec![text(claim, value)?],
        };
        identity.lists.insert(name.clone(), list);
    }
    Ok(identity)
}

/// The claim of that name, or at that JSON pointer (RFC 6901); null is absent.
fn find<'a>(claims: &'a Value, name: &str) -> Option<&'a Value> {
    let found = if name.starts_with('/') { claims.pointer(name) } else { claims.get(name) };
    found.filter(|value| !value.is_null())
}

fn text(claim: &str, value: &Value) -> Result<String, LoginError> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            return Err(LoginError::claim(claim, "is no text, number or truth value"));
        }
    };
    if text.len() > MAX_VALUE_BYTES { Err(LoginError::claim(claim, "is longer than 1 KiB")) } else { Ok(text) }
}
