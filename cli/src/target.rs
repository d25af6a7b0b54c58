//! Which agent a command asks: flags first, then the environment, then the agent of this host.
//!
//! The variables are Consul's: `CONSUL_HTTP_ADDR`, `CONSUL_HTTP_TOKEN`, `CONSUL_HTTP_TOKEN_FILE`, `CONSUL_HTTP_SSL`. Only HTTP
//! is spoken: an address that asks for anything else is refused, never asked in the clear instead.

use std::{fs, io};

use crate::{
    arguments::HttpFlags,
    client::{AddressError, Agent},
};

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
    let (address, origin) = flag(&flags.http_addr, "-http-addr")
        .or_else(|| variable("CONSUL_HTTP_ADDR"))
        .unwrap_or((DEFAULT_ADDRESS.into(), "the default"));
    let agent = Agent::new(&address).map_err(|source| TargetError::Address { address, origin, source })?;

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
            (Some("unix:///run/lictor.sock"), &[][..], "(from -http-addr): unix is not spoken"),
            (Some("a b"), &[][..], "\"a b\" (from -http-addr): not HOST:PORT"),
            (None, &[("CONSUL_HTTP_SSL", "true")][..], "CONSUL_HTTP_SSL"),
            (None, &[("CONSUL_HTTP_TOKEN_FILE", "/nonexistent/token")][..], "\"/nonexistent/token\""),
            (None, &[("CONSUL_HTTP_TOKEN", "a\nb")][..], "the token"),
        ] {
            let error = address_of(flag, environment).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
