//! Who is let in, who is not and why, and what those get who are.

pub(crate) mod issuer;
mod rules;

use proptest::prelude::*;
use ring::hmac;
use serde_json::{Value, json};

use self::issuer::Issuer;
use super::*;
use crate::model::Time;

/// The time of these tests, in seconds.
const NOW: i64 = 1_800_000_000;

fn now() -> Time {
    Time(NOW.unsigned_abs() * 1000)
}

/// A method that takes what these have signed, and maps a few claims.
fn config(issuer: &Issuer, algorithm: &str) -> Value {
    json!({
        "JWTValidationPubKeys": [issuer.pem()],
        "JWTSupportedAlgs": [algorithm],
        "BoundIssuer": "https://issuer.test",
        "BoundAudiences": ["lictor", "other"],
        "ClaimMappings": {"sub": "name", "team": "team", "/deep/x~1y/n": "number", "admin": "admin"},
        "ListClaimMappings": {"groups": "groups", "roles": "roles"},
    })
}

fn method(config: &Value) -> Jwt {
    Jwt::parse(&config.to_string()).unwrap()
}

fn claims() -> Value {
    json!({
        "iss": "https://issuer.test", "aud": ["lictor"], "exp": NOW + 300, "nbf": NOW - 10, "iat": NOW - 10,
        "sub": "alice", "team": "Payments", "groups": ["ops", 7, true], "roles": "one",
        "deep": {"x/y": {"n": 12}}, "admin": true,
    })
}

/// The claims, of which these are others; null takes one away.
fn claims_but(others: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in others.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

fn reason(refused: Result<Identity, LoginError>) -> String {
    refused.map_or_else(|reason| reason.to_string(), |_| "let in".into())
}

#[test]
fn what_a_good_jwt_says_is_mapped() {
    let issuer = Issuer::of("RS256");
    let identity = method(&config(&issuer, "RS256")).identify(&issuer.sign(&claims()), now()).unwrap();
    let values = [("admin", "true"), ("name", "alice"), ("number", "12"), ("team", "Payments")];
    let values = values.map(|(name, value)| (name.into(), value.to_string()));
    let lists = [("groups", vec!["ops", "7", "true"]), ("roles", vec!["one"])];
    let lists = lists.map(|(name, list)| (name.into(), list.into_iter().map(str::to_string).collect()));
    assert_eq!(identity, Identity { values: values.into(), lists: lists.into() });
}

#[test]
fn claims_decide_who_is_let_in() {
    let issuer = Issuer::of("ES256");
    let method = method(&config(&issuer, "ES256"));
    let long = "x".repeat(1025);
    for (others, expected) in [
        (json!({}), "let in"),
        (json!({"iss": "https://other.test"}), "\"iss\" is not"),
        (json!({"iss": null}), "\"iss\" is not"),
        (json!({"iss": ["https://issuer.test"]}), "\"iss\" is not"),
        (json!({"aud": "lictor"}), "let in"),
        (json!({"aud": ["x", "other"]}), "let in"),
        (json!({"aud": ["x"]}), "\"aud\" is none"),
        (json!({"aud": []}), "\"aud\" is none"),
        (json!({"aud": null}), "\"aud\" is none"),
        (json!({"aud": 7}), "\"aud\" is none"),
        // With both, sixty seconds are for clocks.
        (json!({"exp": NOW - 59}), "let in"),
        (json!({"exp": NOW - 60}), "counts no longer"),
        (json!({"exp": 0}), "counts no longer"),
        (json!({"exp": -1e300}), "counts no longer"),
        (json!({"exp": NOW as f64 + 0.5}), "let in"),
        (json!({"exp": 1e300}), "let in"),
        (json!({"exp": "tomorrow"}), "\"exp\" is no number"),
        (json!({"exp": [NOW]}), "\"exp\" is no number"),
        (json!({"nbf": NOW + 60}), "let in"),
        (json!({"nbf": NOW + 61}), "does not count before 1 s"),
        (json!({"nbf": "x"}), "\"nbf\" is no number"),
        (json!({"iat": NOW + 61, "nbf": null}), "does not count before 1 s"),
        (json!({"iat": NOW + 61}), "does not count before 1 s"),
        (json!({"iat": {}}), "\"iat\" is no number"),
        // Without `exp`: 150 seconds from its beginning, and those for clocks.
        (json!({"exp": null, "iat": null, "nbf": NOW - 209}), "let in"),
        (json!({"exp": null, "iat": null, "nbf": NOW - 210}), "counts no longer"),
        (json!({"exp": null, "nbf": null, "iat": NOW - 210}), "counts no longer"),
        (json!({"exp": null, "nbf": NOW - 300, "iat": NOW - 209}), "let in"),
        // Without the others: from 150 seconds before its end.
        (json!({"exp": NOW + 210, "iat": null, "nbf": null}), "let in"),
        (json!({"exp": NOW + 211, "iat": null, "nbf": null}), "does not count before 1 s"),
        (json!({"exp": null, "iat": null, "nbf": null}), "none of the claims"),
        (json!({"sub": null, "groups": null}), "let in"),
        (json!({"sub": {"x": 1}}), "\"sub\" is no text"),
        (json!({"sub": long}), "\"sub\" is longer than 1 KiB"),
        (json!({"groups": [["ops"]]}), "\"groups\" is no text"),
        (json!({"groups": vec!["g"; 257]}), "\"groups\" has more than 256 items"),
        (json!({"deep": 7}), "let in"),
    ] {
        let found = reason(method.identify(&issuer.sign(&claims_but(&others)), now()));
        assert!(found.contains(expected), "{others}: {found}");
    }
}

#[test]
fn leeways_can_be_others_or_none() {
    let issuer = Issuer::of("ES256");
    for (leeways, others, expected) in [
        (json!({"ClockSkewLeeway": "10s"}), json!({"exp": NOW - 9}), "let in"),
        (json!({"ClockSkewLeeway": "10s"}), json!({"exp": NOW - 10}), "counts no longer"),
        (json!({"ClockSkewLeeway": 10_000_000_000_i64}), json!({"exp": NOW - 10}), "counts no longer"),
        (json!({"ClockSkewLeeway": "-1s"}), json!({"exp": NOW}), "counts no longer"),
        (json!({"ClockSkewLeeway": -1}), json!({"nbf": NOW + 1}), "does not count before 1 s"),
        (json!({"ClockSkewLeeway": ""}), json!({"exp": NOW - 59}), "let in"),
        (json!({"clock_skew_leeway": "0s"}), json!({"exp": NOW - 59}), "let in"),
        (json!({"ExpirationLeeway": "1h"}), json!({"exp": null, "nbf": NOW - 3600}), "let in"),
        (json!({"ExpirationLeeway": "-1s"}), json!({"exp": null, "iat": null, "nbf": NOW - 60}), "counts no longer"),
        (json!({"NotBeforeLeeway": "1h"}), json!({"exp": NOW + 3600, "iat": null, "nbf": null}), "let in"),
    ] {
        let mut config = config(&issuer, "ES256");
        config.as_object_mut().unwrap().extend(leeways.as_object().unwrap().clone());
        let found = reason(method(&config).identify(&issuer.sign(&claims_but(&others)), now()));
        assert!(found.contains(expected), "{leeways} {others}: {found}");
    }
}

#[test]
fn every_algorithm_is_verified_by_its_key_in_every_form() {
    let algorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
    for algorithm in algorithms {
        let issuer = Issuer::of(algorithm);
        let token = issuer.sign(&claims());
        let of_pem = config(&issuer, algorithm);
        let mut of_set = of_pem.clone();
        of_set.as_object_mut().unwrap().remove("JWTValidationPubKeys");
        // Others of the set, also of kinds that are not known, are in nobody's way.
        let strange = json!({"kty": "oct", "k": "c2VjcmV0"});
        let sealing = json!({"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"});
        of_set["JWKS"] = json!({"keys": [strange, sealing, issuer.jwk("a"), Issuer::of("ES256").jwk("b")]});
        for config in [&of_pem, &of_set] {
            assert_eq!(reason(method(config).identify(&token, now())), "let in", "{algorithm}: {config}");
            // Its signature is of this very text.
            let (message, signature) = token.rsplit_once('.').unwrap();
            let changed = issuer.sign(&claims_but(&json!({"sub": "mallory"})));
            let (other, _) = changed.rsplit_once('.').unwrap();
            assert_ne!(message, other);
            let found = reason(method(config).identify(&format!("{other}.{signature}"), now()));
            assert_eq!(found, LoginError::Signature.to_string(), "{algorithm}");
        }
        for other in algorithms.into_iter().filter(|other| *other != algorithm) {
            let mut config = of_pem.clone();
            config["JWTSupportedAlgs"] = json!([other]);
            let found = reason(method(&config).identify(&token, now()));
            assert!(found.contains("which the method does not take"), "{algorithm} for {other}: {found}");
        }
    }
}

#[test]
fn a_certificate_stands_for_its_key() {
    let (issuer, certificate) = Issuer::with_certificate();
    let mut config = config(&issuer, "ES256");
    config["JWTValidationPubKeys"] = json!([Issuer::of("RS256").pem(), certificate]);
    assert_eq!(reason(method(&config).identify(&issuer.sign(&claims()), now())), "let in");
}

#[test]
fn keys_are_for_what_they_say() {
    let (issuer, other) = (Issuer::of("ES256"), Issuer::of("ES256"));
    let mut config = config(&issuer, "ES256");
    config.as_object_mut().unwrap().remove("JWTValidationPubKeys");
    config["JWTSupportedAlgs"] = json!(["ES256", "RS256", "PS256"]);
    let rsa = Issuer::of("RS256");
    let mut for_pss = rsa.jwk("rsa");
    for_pss["alg"] = "PS256".into();
    config["JWKS"] = json!({"keys": [issuer.jwk("mine"), for_pss]});
    let method = method(&config);
    for (issuer, header, expected) in [
        (&issuer, json!({"alg": "ES256", "kid": "mine"}), "let in"),
        (&issuer, json!({"alg": "ES256"}), "let in"),
        (&issuer, json!({"alg": "ES256", "kid": "gone"}), "no key of the method goes"),
        (&issuer, json!({"alg": "ES256", "kid": 7}), "let in"),
        (&issuer, json!({"alg": "ES256", "crit": ["exp"]}), "\"crit\""),
        (&issuer, json!({"alg": "RS256"}), "no key of the method goes"),
        (&issuer, json!({"alg": "es256"}), "does not take"),
        (&issuer, json!({"alg": ["ES256"]}), "does not take"),
        (&issuer, json!({}), "does not take"),
        (&issuer, json!([]), "no JSON object"),
        (&other, json!({"alg": "ES256", "kid": "mine"}), "has made its signature"),
        // What a JWT itself brings is no key.
        (&other, json!({"alg": "ES256", "jwk": other.jwk("mine")}), "has made its signature"),
        (&rsa, json!({"alg": "RS256", "kid": "rsa"}), "no key of the method goes"),
    ] {
        let found = reason(method.identify(&issuer.sign_with(&header, &claims()), now()));
        assert!(found.contains(expected), "{header}: {found}");
    }
}

#[test]
fn neither_no_signature_nor_the_public_key_as_a_secret_lets_in() {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

    let issuer = Issuer::of("RS256");
    let method = method(&config(&issuer, "RS256"));
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for (name, secret) in [("none", None), ("None", None), ("RS256", None), ("HS256", Some(issuer.pem()))] {
        let message = format!("{}.{}", part(&json!({"alg": name})), part(&claims()));
        let signature = secret.map(|secret| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()))
        });
        let found = method.identify(&format!("{message}.{}", signature.unwrap_or_default()), now()).unwrap_err();
        let expected = if name == "RS256" { LoginError::Signature } else { LoginError::Algorithm(name.into()) };
        assert_eq!(found, expected);
    }
}

#[test]
fn without_an_audience_a_method_takes_only_what_is_for_no_one_in_particular() {
    let issuer = Issuer::of("EdDSA");
    let mut config = config(&issuer, "EdDSA");
    config.as_object_mut().unwrap().remove("BoundAudiences");
    config.as_object_mut().unwrap().remove("BoundIssuer");
    let method = method(&config);
    for (others, expected) in [
        (json!({"aud": null, "iss": null}), "let in"),
        (json!({"aud": []}), "let in"),
        (json!({"aud": "anybody"}), "\"aud\" is none"),
    ] {
        let found = reason(method.identify(&issuer.sign(&claims_but(&others)), now()));
        assert!(found.contains(expected), "{others}: {found}");
    }
}

#[test]
fn methods_that_could_not_work_are_refused() {
    let issuer = Issuer::of("RS256");
    let (pem, jwk) = (issuer.pem(), issuer.jwk("a"));
    let mut even = jwk.clone();
    even["e"] = "Ag".into();
    let keys: Vec<String> = (0..33).map(|_| pem.clone()).collect();
    for (config, expected) in [
        (json!({"JWTValidationPubKeys": [pem]}), ""),
        (json!({"jwt_validation_pub_keys": [pem], "OIDCDiscoveryURL": ""}), ""),
        (json!({"JWKS": {"keys": [jwk]}}), ""),
        (json!([]), "expected an object"),
        (json!({}), "no key to check signatures with"),
        (json!({"JWKS": {"keys": [{"kty": "oct", "k": "eA"}]}}), "no key to check signatures with"),
        (json!({"JWKS": [jwk]}), "no object with a list"),
        (json!({"JWKS": {"keys": [even]}}), "keys[0]: it is no key of RSA"),
        (json!({"JWKS": {"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}}), "2048 to 8192 bits"),
        (json!({"JWKS": {"keys": [{"kty": "RSA", "n": "AQ==", "e": "AQAB"}]}}), "not base64url"),
        (json!({"JWKS": {"keys": [{"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}]}}), "another size"),
        (json!({"JWKS": {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AQ"}]}}), "32 bytes"),
        (json!({"JWTValidationPubKeys": keys}), "more than 32 keys"),
        (json!({"JWTValidationPubKeys": ["x"]}), "JWTValidationPubKeys[0]: it is neither"),
        (json!({"JWTValidationPubKeys": [include_str!("small_rsa.pub.pem")]}), "2048 to 8192 bits"),
        (json!({"JWTValidationPubKeys": pem}), "expected a list"),
        (json!({"OIDCDiscoveryURL": "https://x.test"}), "OIDCDiscoveryURL: keys are not fetched"),
        (json!({"JWKSURL": "https://x.test", "JWTValidationPubKeys": [pem]}), "JWKSURL: keys are not fetched"),
        (json!({"JWTValidationPubKeys": [pem], "JWTSupportedAlgs": ["HS256"]}), "\"HS256\" is none of RS256"),
        (json!({"JWTValidationPubKeys": [pem], "JWTSupportedAlgs": ["none"]}), "\"none\" is none of"),
        (json!({"JWTValidationPubKeys": [pem], "BoundAudience": ["x"]}), "did you mean \"boundaudiences\"?"),
        (json!({"JWTValidationPubKeys": [pem], "ClaimMappings": {"a": "b c"}}), "\"b c\" is no name"),
        (json!({"JWTValidationPubKeys": [pem], "ClaimMappings": {"a": "x", "b": "x"}}), "two claims are mapped"),
        (json!({"JWTValidationPubKeys": [pem], "ClaimMappings": {"a": 7}}), "a: expected a string"),
        (json!({"JWTValidationPubKeys": [pem], "ClockSkewLeeway": "10"}), "has no unit"),
        (json!({"JWTValidationPubKeys": [pem], "ClockSkewLeeway": true}), "no duration"),
    ] {
        let found = Jwt::parse(&config.to_string()).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(found.contains(expected) && expected.is_empty() == found.is_empty(), "{config}: {found}");
    }
}

#[test]
fn what_is_no_jwt_is_refused() {
    let issuer = Issuer::of("ES256");
    let method = method(&config(&issuer, "ES256"));
    let good = issuer.sign(&claims());
    let (header, rest) = good.split_once('.').unwrap();
    let deep = "[".repeat(10_000);
    let long = issuer.sign(&claims_but(&json!({"padding": "x".repeat(16 * 1024)})));
    for token in [
        "",
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c",
        "\u{0}.\u{0}.\u{0}",
        "é.é.é",
        header,
        &format!("{header}..{rest}"),
        &format!("{good}."),
        &format!("{good}="),
        &format!(".{rest}"),
        &format!("{header}.{rest}.{rest}"),
        &deep,
        &good.replace('.', " . "),
        &format!(" {good}"),
        &format!("{good}\n"),
    ] {
        let found = method.identify(token, now());
        assert!(matches!(found, Err(LoginError::Form(_) | LoginError::Signature)), "{token:?}: {found:?}");
    }
    assert_eq!(method.identify(&long, now()), Err(LoginError::Form("it is longer than 16 KiB")));
    // What is signed may be no claims.
    for claims in [json!([]), json!("x"), json!(7)] {
        assert!(matches!(method.identify(&issuer.sign(&claims), now()), Err(LoginError::Form(_))));
    }
}

proptest! {
    #[test]
    fn no_text_panics_or_is_let_in(token in ".{0,200}", header in "[A-Za-z0-9_-]{0,60}", rest in "[A-Za-z0-9_.-]{0,200}") {
        let method = method(&config(&Issuer::of("RS256"), "RS256"));
        for token in [token, format!("{header}.{rest}")] {
            prop_assert!(method.identify(&token, now()).is_err());
        }
    }

    #[test]
    fn no_signed_claims_panic(name in "exp|nbf|iat|aud|iss|sub|groups|deep", number in any::<f64>(), text in ".{0,20}") {
        let issuer = Issuer::of("EdDSA");
        let method = method(&config(&issuer, "EdDSA"));
        for value in [json!(number), json!(text), json!([number, text]), json!({"x/y": {"n": text}}), json!(i64::MIN), json!(u64::MAX)] {
            let _ = method.identify(&issuer.sign(&claims_but(&json!({&name: value}))), now());
        }
    }

    #[test]
    fn a_changed_letter_is_found(at in any::<prop::sample::Index>(), letter in "[A-Za-z0-9_.-]") {
        let issuer = Issuer::of("EdDSA");
        let method = method(&config(&issuer, "EdDSA"));
        let good = issuer.sign(&claims());
        let at = at.index(good.len());
        let changed = format!("{}{letter}{}", &good[..at], &good[at + 1..]);
        prop_assert_eq!(method.identify(&changed, now()).is_ok(), changed == good);
    }

    #[test]
    fn no_bytes_panic_as_a_key(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = super::der::unwrap_key(&bytes);
    }
}
