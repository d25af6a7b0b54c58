//! Which agent a command asks: flags first, then the environment, then the agent of this host.
//!
//! The variables are Consul's: `CONSUL_HTTP_ADDR`, `CONSUL_HTTP_AUTH`, `CONSUL_HTTP_TOKEN`, `CONSUL_HTTP_TOKEN_FILE`,
//! `CONSUL_HTTP_SSL`. Only HTTP is spoken: an address or a flag that asks for TLS is refused, never asked in the clear
//! instead.

use std::{fs, io};

use base64::{Engine, prelude::BASE64_STANDARD};
use clap::{ArgAction::Set, Args};
use hyper::header::{self, HeaderValue};

use crate::{
    arguments::go_bool,
    client::{AddressError, Agent},
};

/// Which agent to ask, and as whom. What is absent is taken from the environment.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Asking the agent")]
pub struct HttpFlags {
    /// The agent: HOST:PORT or unix:///PATH (else CONSUL_HTTP_ADDR, else 127.0.0.1:8500)
    #[arg(long, value_name = "ADDRESS")]
    pub http_addr: Option<String>,
    /// Token to ask with (else CONSUL_HTTP_TOKEN)
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
    /// File with the token to ask with (else CONSUL_HTTP_TOKEN_FILE)
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<String>,
    /// The datacenter to ask about (else the agent's)
    #[arg(long, value_name = "NAME")]
    pub datacenter: Option<String>,
    /// Take an answer that may be old, without asking the leader
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    pub stale: bool,
    #[command(flatten)]
    pub tls: TlsFlags,
}

/// Consul's flags for TLS, which is not spoken: each is refused by its name.
#[derive(Args, Clone, Debug, Default)]
pub struct TlsFlags {
    #[arg(long, hide = true)]
    ca_file: Option<String>,
    #[arg(long, hide = true)]
    ca_path: Option<String>,
    #[arg(long, hide = true)]
    client_cert: Option<String>,
    #[arg(long, hide = true)]
    client_key: Option<String>,
    #[arg(long, hide = true)]
    tls_server_name: Option<String>,
}

impl TlsFlags {
    /// The name of one that was given.
    fn given(&self) -> Option<&'static str> {
        let flags = [
            ("-ca-file", &self.ca_file),
            ("-ca-path", &self.ca_path),
            ("-client-cert", &self.client_cert),
            ("-client-key", &self.client_key),
            ("-tls-server-name", &self.tls_server_name),
        ];
        flags.into_iter().find(|(_, value)| value.as_ref().is_some_and(|value| !value.is_empty())).map(|(name, _)| name)
    }
}

/// The agent of this host.
const DEFAULT_ADDRESS: &str = "127.0.0.1:8500";

/// Why there is no agent to ask.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The address cannot be used.
    #[error("the agent's address {address:?} (from {origin})")]
    Address {
        /// As it was given.
        address: String,
        /// The flag or variable that gave it.
        origin: &'static str,
        /// What is wrong with it.
        source: AddressError,
    },
    /// The variable asks for HTTPS.
    #[error("CONSUL_HTTP_SSL asks for https, which lictor's commands do not speak; unset it and use an http address")]
    Https,
    /// A flag asks for TLS.
    #[error("{0}: TLS is not spoken by this version of lictor's commands; leave the flag out and use an http address")]
    Tls(&'static str),
    /// The token file cannot be read.
    #[error("cannot read the token file {path:?} (from {origin})")]
    TokenFile {
        /// As it was given.
        path: String,
        /// The flag or variable that gave it.
        origin: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The token has bytes that no HTTP header may have.
    #[error("the token has characters that no HTTP header can carry; only visible ASCII is possible")]
    Token,
}

/// The agent that `flags` and the environment name.
///
/// # Errors
/// See [`TargetError`]; each names the flag or the variable.
pub fn agent(flags: &HttpFlags) -> Result<Agent, TargetError> {
    agent_from(flags, |variable| std::env::var(variable).ok())
}

fn agent_from(flags: &HttpFlags, environment: impl Fn(&str) -> Option<String>) -> Result<Agent, TargetError> {
    let variable = |name: &'static str| environment(name).filter(|value| !value.is_empty()).map(|value| (value, name));
    let flag = |value: &Option<String>, name: &'static str| value.clone().map(|value| (value, name));
    if let Some((value, _)) = variable("CONSUL_HTTP_SSL")
        && !["0", "f", "F", "false", "FALSE", "False"].contains(&value.as_str())
    {
        return Err(TargetError::Https);
    }
    if let Some(name) = flags.tls.given() {
        return Err(TargetError::Tls(name));
    }
    let (address, origin) = flag(&flags.http_addr, "-http-addr")
        .or_else(|| variable("CONSUL_HTTP_ADDR"))
        .unwrap_or((DEFAULT_ADDRESS.into(), "the default"));
    let mut agent = Agent::new(&address).map_err(|source| TargetError::Address { address, origin, source })?;
    if let Some((login, _)) = variable("CONSUL_HTTP_AUTH") {
        agent = agent.with_header(header::AUTHORIZATION, basic(&login));
    }

    let from_file = |(path, origin): (String, &'static str)| match fs::read_to_string(&path) {
        Ok(text) => Ok((text.trim().to_string(), origin)),
        Err(source) => Err(TargetError::TokenFile { path, origin, source }),
    };
    let token = match (&flags.token, flag(&flags.token_file, "-token-file")) {
        (Some(token), _) => Some((token.clone(), "-token")),
        (None, Some(file)) => Some(from_file(file)?),
        (None, None) => match variable("CONSUL_HTTP_TOKEN") {
            Some(given) => Some(given),
            None => variable("CONSUL_HTTP_TOKEN_FILE").map(from_file).transpose()?,
        },
    };
    match token.filter(|(token, _)| !token.is_empty()) {
        Some((token, origin)) => agent.with_token(&token, origin).map_err(|_| TargetError::Token),
        None => Ok(agent),
    }
}

/// `USER:PASSWORD` as a header, for a proxy before the agent (RFC 7617).
fn basic(login: &str) -> HeaderValue {
    let login = if login.contains(':') { login.into() } else { format!("{login}:") };
    let mut value = HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(login)))
        .expect("base64 has no characters that a header cannot carry");
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address_of(flag: Option<&str>, environment: &[(&str, &str)]) -> Result<String, String> {
        let flags = HttpFlags { http_addr: flag.map(str::to_string), ..HttpFlags::default() };
        let lookup = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string());
        agent_from(&flags, lookup)
            .map(|agent| agent.url("/"))
            .map_err(|error| format!("{:#}", anyhow::Error::from(error)))
    }

    #[test]
    fn the_flag_goes_before_the_variable_and_the_variable_before_the_default() {
        let variable = [("CONSUL_HTTP_ADDR", "http://10.0.0.1:80")];
        for (flag, environment, expected) in [
            (None, &[][..], "http://127.0.0.1:8500/"),
            (None, &[("CONSUL_HTTP_ADDR", "")][..], "http://127.0.0.1:8500/"),
            (None, &variable[..], "http://10.0.0.1:80/"),
            (Some("localhost:1"), &variable[..], "http://localhost:1/"),
            (Some("[::1]:8500"), &[("CONSUL_HTTP_SSL", "false")][..], "http://[::1]:8500/"),
        ] {
            assert_eq!(address_of(flag, environment), Ok(expected.to_string()));
        }
    }

    #[test]
    fn what_cannot_be_spoken_is_refused_with_its_origin() {
        for (flag, environment, expected) in [
            (None, &[("CONSUL_HTTP_ADDR", "https://a:1")][..], "(from CONSUL_HTTP_ADDR): https is not spoken"),
            (Some("unix://run/lictor.sock"), &[][..], "(from -http-addr): not the path of a socket"),
            (Some("a b"), &[][..], "\"a b\" (from -http-addr): not HOST:PORT"),
            (None, &[("CONSUL_HTTP_SSL", "true")][..], "CONSUL_HTTP_SSL"),
            (None, &[("CONSUL_HTTP_TOKEN_FILE", "/nonexistent/token")][..], "\"/nonexistent/token\""),
            (None, &[("CONSUL_HTTP_TOKEN", "a\nb")][..], "the token"),
        ] {
            let error = address_of(flag, environment).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn flags_for_tls_are_refused_by_their_name() {
        let tls = TlsFlags { client_key: Some("key.pem".into()), ca_file: Some(String::new()), ..TlsFlags::default() };
        let error = agent_from(&HttpFlags { tls, ..HttpFlags::default() }, |_| None).unwrap_err();
        assert!(error.to_string().starts_with("-client-key: TLS is not spoken"), "{error}");
    }

    #[test]
    fn a_token_is_the_flags_before_the_files_before_the_environments() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token").display().to_string();
        std::fs::write(&path, "from-a-file\n").unwrap();
        let file = path.as_str();
        for (token, token_file, environment, expected) in [
            (None, None, &[][..], None),
            (Some("a"), Some(file), &[("CONSUL_HTTP_TOKEN", "b")][..], Some("-token")),
            (None, Some(file), &[("CONSUL_HTTP_TOKEN", "b")][..], Some("-token-file")),
            (
                None,
                None,
                &[("CONSUL_HTTP_TOKEN", "b"), ("CONSUL_HTTP_TOKEN_FILE", file)][..],
                Some("CONSUL_HTTP_TOKEN"),
            ),
            (None, None, &[("CONSUL_HTTP_TOKEN_FILE", file)][..], Some("CONSUL_HTTP_TOKEN_FILE")),
            (Some(""), None, &[("CONSUL_HTTP_TOKEN", "b")][..], None),
        ] {
            let (token, token_file) = (token.map(str::to_string), token_file.map(str::to_string));
            let flags = HttpFlags { token, token_file, ..HttpFlags::default() };
            let lookup =
                |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string());
            assert_eq!(agent_from(&flags, lookup).unwrap().token_origin(), expected, "{flags:?}");
        }
    }

    #[test]
    fn a_login_is_sent_as_rfc_7617_says() {
        assert_eq!(basic("Aladdin:open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(basic("user"), "Basic dXNlcjo=");
    }
}
