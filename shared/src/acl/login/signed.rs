//! A JWT taken apart (RFC 7519, in the compact form of RFC 7515, section 7.1) and its signature looked at. Nothing of it
//! is given on before that has been found good.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{
    LoginError,
    key::{Algorithm, Key},
};

/// The longest JWT, in bytes.
pub(super) const MAX_BYTES: usize = 16 * 1024;
/// The longest name of an algorithm that is said again in the log, in characters.
const MAX_SAID: usize = 32;

/// What a JWT of one of these keys says, by one of these algorithms.
pub(super) fn verified(token: &str, keys: &[Key], taken: &[Algorithm]) -> Result<Value, LoginError> {
    if token.len() > MAX_BYTES {
        return Err(LoginError::Form("it is longer than 16 KiB"));
    }
    let (message, signature) = token.rsplit_once('.').ok_or(LoginError::Form("it has no dots"))?;
    let (header, payload) = message.split_once('.').ok_or(LoginError::Form("it has one dot, not two"))?;
    let header = object(header, "its header is no JSON object in base64url")?;
    let signature = decode(signature, "its signature is not base64url")?;
    // Who made it demands that something be understood which is not.
    if header.contains_key("crit") {
        return Err(LoginError::Form("its header has \"crit\""));
    }
    let name = header.get("alg").and_then(Value::as_str).unwrap_or_default();
    let refused = || LoginError::Algorithm(name.chars().take(MAX_SAID).collect());
    let algorithm = Algorithm::parse(name).filter(|found| taken.contains(found)).ok_or_else(refused)?;
    let id = header.get("kid").and_then(Value::as_str);
    let mut candidates = keys.iter().filter(|key| key.is_for(algorithm, id)).peekable();
    if candidates.peek().is_none() {
        return Err(LoginError::NoKey);
    }
    if !candidates.any(|key| key.has_signed(algorithm, message.as_bytes(), &signature)) {
        return Err(LoginError::Signature);
    }
    object(payload, "its payload is no JSON object in base64url").map(Value::Object)
}

fn decode(part: &str, problem: &'static str) -> Result<Vec<u8>, LoginError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| LoginError::Form(problem))
}

fn object(part: &str, problem: &'static str) -> Result<Map<String, Value>, LoginError> {
    serde_json::from_slice(&decode(part, problem)?).map_err(|_| LoginError::Form(problem))
}
