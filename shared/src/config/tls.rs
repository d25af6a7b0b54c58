//! Consul's keys for TLS, of both generations: one set for all interfaces at the top level, and since 1.12 the stanza
//! `tls`, with `defaults` and what differs for `internal_rpc`, `https` and `grpc`. What is said for one interface goes
//! before what is said for all, and, of the same reach, the stanza before the older keys.
//!
//! Reads no file that a key names: that is `crate::tls`, once an agent starts.

use smol_str::SmolStr;

use super::{Listen, error::ConfigError, partial::Partial};
use crate::{
    agent::definition::{DefinitionError, Fields},
    tls::{
        Settings,
        settings::{Interface, MinVersion, Pair, Source},
    },
};

/// Keys with a text, as they are written; folded they have no underscores.
const TEXTS: [&str; 5] = ["ca_file", "ca_path", "cert_file", "key_file", "tls_min_version"];
/// Keys with a truth value, at the top level.
const FLAGS: [&str; 5] =
    ["verify_incoming", "verify_incoming_rpc", "verify_incoming_https", "verify_outgoing", "verify_server_hostname"];
/// ... and in the stanza.
const STANZA_FLAGS: [&str; 3] = ["verify_incoming", "verify_outgoing", "verify_server_hostname"];
const STANZAS: [&str; 4] = ["defaults", "internal_rpc", "https", "grpc"];
/// What the stanza may have without an effect: rustls has only suites that are good.
const IGNORED: [&str; 2] = ["tlsciphersuites", "useautocert"];

/// Takes the keys of one file.
pub fn decode(fields: &mut Fields<'_>, partial: &mut Partial) -> Result<(), DefinitionError> {
    take(fields, "", &FLAGS, partial)?;
    let Some(mut tls) = fields.fields("tls")? else { return Ok(()) };
    for stanza in STANZAS {
        let Some(mut fields) = tls.fields(&folded(stanza))? else { continue };
        let within = format!("tls.{stanza}.");
        take(&mut fields, &within, &STANZA_FLAGS, partial)?;
        partial.ignored.extend(fields.ignore(&IGNORED).into_iter().map(|key| format!("{within}{key}")));
        fields.finish().map_err(|error| error.within(format!("tls: {stanza}")))?;
    }
    tls.finish().map_err(|error| error.within("tls"))
}

fn take(fields: &mut Fields<'_>, within: &str, flags: &[&str], partial: &mut Partial) -> Result<(), DefinitionError> {
    for key in TEXTS {
        let text = fields.text(&folded(key))?;
        if !text.is_empty() {
            partial.tls.insert(format!("{within}{key}"), text);
        }
    }
    for key in flags {
        if let Some(flag) = fields.optional_flag(&folded(key))? {
            partial.tls.insert(format!("{within}{key}"), SmolStr::from(if flag { "true" } else { "false" }));
        }
    }
    Ok(())
}

fn folded(key: &str) -> String {
    key.replace('_', "")
}

/// What was said about one interface.
struct Said<'a> {
    partial: &'a Partial,
    interface: &'static str,
}

impl Said<'_> {
    /// The value that counts, and the key that it was given by.
    fn get(&self, key: &str) -> Option<(String, SmolStr)> {
        let older = match (self.interface, key) {
            ("internal_rpc", "verify_incoming") => Some("verify_incoming_rpc"),
            ("https", "verify_incoming") => Some("verify_incoming_https"),
            _ => None,
        };
        let keys = [
            Some(format!("tls.{}.{key}", self.interface)),
            older.map(str::to_owned),
            Some(format!("tls.defaults.{key}")),
            Some(key.to_owned()),
        ];
        keys.into_iter().flatten().find_map(|key| self.partial.tls.get(&key).map(|value| (key, value.clone())))
    }

    /// The key of a flag that is on.
    fn on(&self, key: &str) -> Option<String> {
        self.get(key).filter(|(_, value)| value == "true").map(|(key, _)| key)
    }

    fn file(&self, key: &str) -> Option<Source> {
        self.get(key).map(|(key, path)| Source { key, path: path.as_str().into() })
    }

    fn min_version(&self) -> Result<MinVersion, ConfigError> {
        let Some((key, text)) = self.get("tls_min_version") else { return Ok(MinVersion::default()) };
        match text.to_ascii_lowercase().replace(['v', '_'], "").as_str() {
            // Older ones can be allowed and are not spoken all the same.
            "tls10" | "tls11" | "tls12" | "tlsauto" => Ok(MinVersion::Tls12),
            "tls13" => Ok(MinVersion::Tls13),
            _ => Err(ConfigError::setting(key, format!("{text:?} is no version (give \"TLSv1_2\" or \"TLSv1_3\")"))),
        }
    }

    fn interface(&self) -> Result<Interface, ConfigError> {
        let pair = match (self.file("cert_file"), self.file("key_file")) {
            (Some(certificate), Some(key)) => Some(Pair { certificate, key }),
            (None, None) => None,
            (Some(found), None) => {
                let problem =
                    format!("{}: a certificate without its key (set key_file beside it)", found.path.display());
                return Err(ConfigError::setting(found.key, problem));
            }
            (None, Some(found)) => {
                let problem =
                    format!("{}: a key without its certificate (set cert_file beside it)", found.path.display());
                return Err(ConfigError::setting(found.key, problem));
            }
        };
        let (incoming, outgoing) = (self.on("verify_incoming"), self.on("verify_outgoing"));
        let interface = Interface {
            ca_file: self.file("ca_file"),
            ca_path: self.file("ca_path"),
            pair,
            verify_incoming: incoming.is_some(),
            verify_outgoing: outgoing.is_some(),
            min_version: self.min_version()?,
        };
        let verifying = incoming.clone().or(outgoing);
        if let Some(key) = verifying.filter(|_| !interface.has_ca()) {
            return Err(ConfigError::setting(
                key,
                "no certificate can be verified without a CA (set ca_file or ca_path)",
            ));
        }
        if let Some(key) = incoming.filter(|_| interface.pair.is_none()) {
            return Err(ConfigError::setting(
                key,
                "whoever demands certificates needs one (set cert_file and key_file)",
            ));
        }
        Ok(interface)
    }
}

/// Whether an interface has a certificate.
pub fn has_certificate(said: &Partial, interface: &'static str) -> bool {
    Said { partial: said, interface }.get("cert_file").is_some()
}

/// What was said, checked for sense: each interface that is used.
pub fn settings(said: &Partial, datacenter: &str, domain: &str, listen: &Listen) -> Result<Settings, ConfigError> {
    let of = |interface| Said { partial: said, interface };
    let open = |interface, is_open: bool, port: &'static str| {
        let settings = is_open.then(|| of(interface).interface()).transpose()?;
        match settings {
            Some(settings) if settings.pair.is_none() => {
                let problem = format!("TLS needs a certificate (set tls.{interface}.cert_file and key_file)");
                Err(ConfigError::setting(port, problem))
            }
            settings => Ok(settings),
        }
    };
    let rpc = of("internal_rpc");
    let internal_rpc = rpc.interface()?;
    let verify_server_hostname = rpc.on("verify_server_hostname");
    if let Some(key) = verify_server_hostname.as_ref().filter(|_| !internal_rpc.has_ca()) {
        let problem = "no server can be verified without a CA (set ca_file or ca_path)";
        return Err(ConfigError::setting(key.clone(), problem));
    }
    Ok(Settings {
        datacenter: datacenter.to_lowercase(),
        domain: domain.trim_end_matches('.').to_lowercase(),
        internal_rpc,
        https: open("https", !listen.https.is_empty(), "ports.https")?,
        grpc: open("grpc", !listen.grpc_tls.is_empty(), "ports.grpc_tls")?,
        verify_server_hostname: verify_server_hostname.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::{super::hcl, *};

    fn said(text: &str) -> Partial {
        super::super::decode::decode(&serde_json::Value::Object(hcl::parse(text).unwrap())).unwrap()
    }

    fn listen(https: bool) -> Listen {
        let bind = SmolStr::from("127.0.0.1");
        let said =
            Partial { dev: Some(true), node_name: Some("n".into()), bind_addr: Some(bind), ..Partial::default() };
        let mut listen = super::super::resolve::resolve(said, super::super::host::Host::THIS).unwrap().listen;
        listen.https = https.then(|| ([127, 0, 0, 1], 8501).into()).into_iter().collect();
        listen
    }

    fn read(text: &str, https: bool) -> Result<Settings, String> {
        settings(&said(text), "dc1", "consul.", &listen(https)).map_err(|error| error.to_string())
    }

    #[test]
    fn both_generations_say_the_same() {
        let older = r#"ca_file = "ca.pem" cert_file = "c.pem" key_file = "k.pem" verify_incoming = true
            verify_incoming_https = false verify_outgoing = true verify_server_hostname = true tls_min_version = "tls13""#;
        let stanza = r#"tls { defaults { ca_file = "ca.pem" cert_file = "c.pem" key_file = "k.pem" verify_incoming = true
            verify_outgoing = true tls_min_version = "TLSv1_3" } internal_rpc { verify_server_hostname = true }
            https { verify_incoming = false } }"#;
        for text in [older, stanza] {
            let settings = read(text, true).unwrap();
            let (rpc, https) = (&settings.internal_rpc, settings.https.as_ref().unwrap());
            assert_eq!(rpc.ca_file.as_ref().unwrap().path, std::path::Path::new("ca.pem"), "{text}");
            assert!(rpc.verify_incoming && rpc.verify_outgoing && settings.verify_server_hostname, "{text}");
            assert!(rpc.pair.is_some() && rpc.pair.as_ref().unwrap().key.path.ends_with("k.pem"), "{text}");
            assert_eq!((rpc.min_version, https.verify_incoming), (MinVersion::Tls13, false), "{text}");
            assert_eq!((settings.domain.as_str(), settings.datacenter.as_str()), ("consul", "dc1"));
        }
    }

    #[test]
    fn what_is_said_for_an_interface_goes_first() {
        let text = r#"cert_file = "old.pem" key_file = "old-key.pem" tls { defaults { cert_file = "c.pem" }
            https { cert_file = "web.pem" key_file = "web-key.pem" } }"#;
        let settings = read(text, true).unwrap();
        let files = |interface: &Interface| {
            let pair = interface.pair.clone().unwrap();
            (pair.certificate.key, pair.certificate.path, pair.key.key)
        };
        let rpc = files(&settings.internal_rpc);
        assert_eq!(rpc, ("tls.defaults.cert_file".into(), "c.pem".into(), "key_file".into()));
        assert_eq!(files(&settings.https.unwrap()).1, std::path::Path::new("web.pem"));
        assert!(!settings.internal_rpc.verify_incoming && settings.grpc.is_none());
    }

    #[test]
    fn what_makes_no_sense_is_named_by_its_key() {
        for (text, expected) in [
            ("verify_incoming = true", "verify_incoming: no certificate can be verified without a CA"),
            ("verify_outgoing = true", "verify_outgoing: no certificate can be verified without a CA"),
            ("verify_server_hostname = true", "verify_server_hostname: no server can be verified without a CA"),
            (
                "tls { internal_rpc { verify_incoming = true ca_file = \"a\" } }",
                "tls.internal_rpc.verify_incoming: whoever",
            ),
            ("verify_incoming_rpc = true ca_path = \"a\"", "verify_incoming_rpc: whoever demands"),
            ("key_file = \"k.pem\"", "key_file: k.pem: a key without its certificate"),
            (
                "tls { defaults { cert_file = \"c.pem\" } }",
                "tls.defaults.cert_file: c.pem: a certificate without its key",
            ),
            ("tls { https { key_file = \"k\" } }", "tls.https.key_file: k: a key without"),
            (
                "tls { https { verify_incoming = true cert_file = \"c\" key_file = \"k\" } }",
                "tls.https.verify_incoming: no",
            ),
            ("", "ports.https: TLS needs a certificate (set tls.https.cert_file"),
            ("tls { defaults { tls_min_version = \"9\" } }", "tls.defaults.tls_min_version: \"9\" is no version"),
        ] {
            let error = read(text, true).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
        assert!(!read("", false).unwrap().secures_rpc());
        assert!(
            read("tls { https { verify_incoming = true } }", false).is_ok(),
            "of what is not used nothing is demanded"
        );
    }
}
