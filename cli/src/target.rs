//! Which agent a command asks: flags first, then the environment, then the agent of this host.
//!
//! The variables are Consul's: `CONSUL_HTTP_ADDR`, `CONSUL_HTTP_AUTH`, `CONSUL_HTTP_TOKEN`, `CONSUL_HTTP_TOKEN_FILE`,
//! `CONSUL_HTTP_SSL`, `CONSUL_HTTP_SSL_VERIFY`, `CONSUL_CACERT`, `CONSUL_CAPATH`, `CONSUL_CLIENT_CERT`, `CONSUL_CLIENT_KEY`,
//! `CONSUL_TLS_SERVER_NAME`. An `https` address, or `CONSUL_HTTP_SSL`, asks by TLS; the rest says how.

use std::{fs, io};

use base64::{Engine, prelude::BASE64_STANDARD};
use clap::{ArgAction::Set, Args};
use hyper::header::{self, HeaderValue};
use lictor_shared::tls::{
    asking::Asking,
    settings::{Pair, Source},
};

use crate::{
    arguments::go_bool,
    client::{AddressError, Agent},
};

/// Which agent to ask, and as whom. What is absent is taken from the environment.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Asking the agent")]
pub struct HttpFlags {
    /// The agent: HOST:PORT, https://HOST:PORT or unix:///PATH (else CONSUL_HTTP_ADDR, else 127.0.0.1:8500)
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

/// How an agent is asked by HTTPS. What is absent is taken from the environment.
#[derive(Args, Clone, Debug, Default)]
pub struct TlsFlags {
    /// File with the CA that has issued the agent's certificate (else CONSUL_CACERT, else the system's)
    #[arg(long, value_name = "FILE")]
    ca_file: Option<String>,
    /// Directory of such files (else CONSUL_CAPATH)
    #[arg(long, value_name = "DIR")]
    ca_path: Option<String>,
    /// File with a certificate, where the agent wants one (else CONSUL_CLIENT_CERT)
    #[arg(long, value_name = "FILE")]
    client_cert: Option<String>,
    /// File with its key (else CONSUL_CLIENT_KEY)
    #[arg(long, value_name = "FILE")]
    client_key: Option<String>,
    /// The name in the agent's certificate (else CONSUL_TLS_SERVER_NAME, else the host's)
    #[arg(long, value_name = "NAME")]
    tls_server_name: Option<String>,
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
    /// A certificate without its key, or the other way round.
    #[error("{0}: a client's certificate and its key go together (-client-cert and -client-key)")]
    HalfPair(String),
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
    let (address, origin) = flag(&flags.http_addr, "-http-addr")
        .or_else(|| variable("CONSUL_HTTP_ADDR"))
        .unwrap_or((DEFAULT_ADDRESS.into(), "the default"));
    let mut agent = Agent::new(&address).map_err(|source| TargetError::Address { address, origin, source })?;
    if agent.is_https() || variable("CONSUL_HTTP_SSL").is_some_and(|(value, _)| !is_no(&value)) {
        agent = agent.by_tls(asking(&flags.tls, &environment)?);
    }
    if let Some((login, _)) = variable("CONSUL_HTTP_AUTH") {
        agent = agent.with_header(header::AUTHORIZATION, basic(&login));
    }

    let from_file = |(path, origin): (String, &'static str)| match fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().to_string()),
        Err(source) => Err(TargetError::TokenFile { path, origin, source }),
    };
    let token = match (&flags.token, flag(&flags.token_file, "-token-file")) {
        (Some(token), _) => Some(token.clone()),
        (None, Some(file)) => Some(from_file(file)?),
        (None, None) => match variable("CONSUL_HTTP_TOKEN") {
            Some((token, _)) => Some(token),
            None => variable("CONSUL_HTTP_TOKEN_FILE").map(from_file).transpose()?,
        },
    };
    match token.filter(|token| !token.is_empty()) {
        Some(token) => agent.with_token(&token).map_err(|_| TargetError::Token),
        None => Ok(agent),
    }
}

/// How the agent is asked by TLS: each from its flag, or else its variable.
fn asking(flags: &TlsFlags, environment: &impl Fn(&str) -> Option<String>) -> Result<Asking, TargetError> {
    let given = |flag: &Option<String>, name: &str, variable: &str| {
        let flag = flag.clone().map(|value| (name.to_owned(), value));
        let found = flag.or_else(|| environment(variable).map(|value| (variable.to_owned(), value)));
        found.filter(|(_, value)| !value.is_empty())
    };
    let file = |flag, name, variable| given(flag, name, variable).map(|(key, path)| Source::new(&key, path));
    let certificate = file(&flags.client_cert, "-client-cert", "CONSUL_CLIENT_CERT");
    let key = file(&flags.client_key, "-client-key", "CONSUL_CLIENT_KEY");
    let pair = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(Pair { certificate, key }),
        (None, None) => None,
        (Some(half), None) | (None, Some(half)) => return Err(TargetError::HalfPair(half.key)),
    };
    let server_name = given(&flags.tls_server_name, "-tls-server-name", "CONSUL_TLS_SERVER_NAME");
    Ok(Asking {
        ca_file: file(&flags.ca_file, "-ca-file", "CONSUL_CACERT"),
        ca_path: file(&flags.ca_path, "-ca-path", "CONSUL_CAPATH"),
        pair,
        server_name: server_name.map(|(_, name)| name),
        accept_any: environment("CONSUL_HTTP_SSL_VERIFY").is_some_and(|value| is_no(&value)),
    })
}

/// Go's words for no.
fn is_no(value: &str) -> bool {
    go_bool(value) == Ok(false)
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
            (None, &[("CONSUL_HTTP_ADDR", "ftp://a:1")][..], "(from CONSUL_HTTP_ADDR): ftp is not spoken"),
            (Some("https://a:1"), &[("CONSUL_CLIENT_KEY", "k.pem")][..], "CONSUL_CLIENT_KEY: a client's certificate"),
            (Some("unix://run/lictor.sock"), &[][..], "(from -http-addr): not the path of a socket"),
            (Some("a b"), &[][..], "\"a b\" (from -http-addr): not HOST:PORT"),
            (None, &[("CONSUL_HTTP_TOKEN_FILE", "/nonexistent/token")][..], "\"/nonexistent/token\""),
            (None, &[("CONSUL_HTTP_TOKEN", "a\nb")][..], "the token"),
        ] {
            let error = address_of(flag, environment).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn https_is_asked_for_by_the_address_or_the_variable() {
        for (flag, environment, expected) in [
            (Some("https://a:1"), &[][..], "https://a:1/"),
            (Some("a:1"), &[("CONSUL_HTTP_SSL", "true")][..], "https://a:1/"),
            (Some("a:1"), &[("CONSUL_HTTP_SSL", "0")][..], "http://a:1/"),
            (Some("unix:///a"), &[("CONSUL_HTTP_SSL", "true")][..], "http://localhost/"),
        ] {
            assert_eq!(address_of(flag, environment), Ok(expected.to_string()));
        }
    }

    #[test]
    fn flags_for_tls_go_before_variables() {
        let flags = TlsFlags { ca_file: Some("flag.pem".into()), ..TlsFlags::default() };
        let environment = |name: &str| match name {
            "CONSUL_CACERT" => Some("variable.pem".into()),
            "CONSUL_TLS_SERVER_NAME" => Some("server.dc1.consul".into()),
            "CONSUL_HTTP_SSL_VERIFY" => Some("false".into()),
            "CONSUL_CAPATH" => Some(String::new()),
            _ => None,
        };
        let expected = Asking {
            ca_file: Some(Source::new("-ca-file", "flag.pem")),
            server_name: Some("server.dc1.consul".into()),
            accept_any: true,
            ..Asking::default()
        };
        assert_eq!(asking(&flags, &environment).unwrap(), expected);
        assert_eq!(asking(&TlsFlags::default(), &|_| None).unwrap(), Asking::default());
    }

    #[test]
    fn a_login_is_sent_as_rfc_7617_says() {
        assert_eq!(basic("Aladdin:open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(basic("user"), "Basic dXNlcjo=");
    }
}
