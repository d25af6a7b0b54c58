//! Takes secrets out of an answer before it is kept.
//!
//! Agents say none in the answers that are captured. This is for what they may say one day, and for what people write
//! into the metadata of nodes: a text, or all texts below, whose key is called like a secret becomes [`HIDDEN`]. Too much
//! is hidden rather than too little; switches and numbers stay.

use serde_json::Value;

/// What stands in a secret's place, as with Consul.
const HIDDEN: &str = "hidden";
/// Parts of the names of secrets, in lower case.
const NAMES: [&str; 12] = [
    "token",
    "secret",
    "passw",
    "passphrase",
    "pwd",
    "credential",
    "encrypt",
    "private",
    "key",
    "auth",
    "cookie",
    "dsn",
];
/// What hides a password in a text of any name: `scheme://user:password@host`.
const SCHEME_END: &str = "://";

/// The answer without them, indented; as it is if it is not JSON.
pub fn taken_out(answer: &[u8]) -> Vec<u8> {
    let Ok(mut value) = serde_json::from_slice::<Value>(answer) else { return answer.to_vec() };
    hide(&mut value, false);
    crate::format::json(&value).map_or_else(|_| answer.to_vec(), String::into_bytes)
}

fn hide(value: &mut Value, is_secret: bool) {
    match value {
        Value::String(text) if is_secret && !text.is_empty() || has_password(text) => *text = HIDDEN.into(),
        Value::Array(values) => values.iter_mut().for_each(|value| hide(value, is_secret)),
        Value::Object(fields) => {
            for (name, value) in fields {
                hide(value, is_secret || is_secrets_name(name));
            }
        }
        _ => {}
    }
}

fn is_secrets_name(name: &str) -> bool {
    let name = name.to_lowercase();
    NAMES.iter().any(|part| name.contains(part))
}

fn has_password(text: &str) -> bool {
    // Whoever is named there: a token may stand alone.
    let authority = |rest: &str| rest.split(['/', '?', '#', ' ', ',']).next().is_some_and(|own| own.contains('@'));
    text.split(SCHEME_END).skip(1).any(authority)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_is_called_like_a_secret_is_hidden() {
        let answer = json!({
            "DebugConfig": {
                "NodeName": "web-1",
                "EncryptKey": "5ec2e7",
                "EncryptVerifyIncoming": true,
                "ACLTokens": {"Agent": "5ec2e7", "Empty": "", "Others": ["5ec2e7", {"a": "5ec2e7"}]},
                "ACLTokenTTL": 30,
                "KeyFile": "/etc/5ec2e7.pem",
            },
            "Meta": {"db_password": "5ec2e7", "API-Key": "5ec2e7", "team": "a"},
            "Coord": {"Vec": [0.25, 1e-5]},
            "Proxy": "http://user:5ec2e7@proxy:80/a",
            "Proxies": "http://a, https://5ec2e7@b",
            "Mail": "http://a/b@c:d",
        });
        let kept = taken_out(answer.to_string().as_bytes());
        let text = String::from_utf8(kept).unwrap();
        assert!(!text.contains("5ec2e7"), "{text}");
        let kept: Value = serde_json::from_str(&text).unwrap();
        for (pointer, expected) in [
            ("/DebugConfig/NodeName", json!("web-1")),
            ("/DebugConfig/EncryptKey", json!("hidden")),
            ("/DebugConfig/EncryptVerifyIncoming", json!(true)),
            ("/DebugConfig/ACLTokens", json!({"Agent": "hidden", "Empty": "", "Others": ["hidden", {"a": "hidden"}]})),
            ("/DebugConfig/ACLTokenTTL", json!(30)),
            ("/Meta/team", json!("a")),
            ("/Coord/Vec", json!([0.25, 1e-5])),
            ("/Mail", json!("http://a/b@c:d")),
        ] {
            assert_eq!(kept.pointer(pointer), Some(&expected), "{pointer}");
        }
        assert_eq!(taken_out(b"not json"), b"not json");
    }
}
