//! What the configuration takes from the host: its interfaces and the environment. One value, so that tests own both.

use std::{io, net::IpAddr};

use super::{address, error::ConfigError, partial::Partial};

/// One address of one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The interface's name, such as `eth0`.
    pub name: String,
    /// The address.
    pub address: IpAddr,
    /// How many of its first bits are the network's.
    pub prefix: u8,
}

/// The ways to ask.
#[derive(Clone, Copy)]
pub struct Host {
    /// The addresses it has now.
    pub interfaces: fn() -> io::Result<Vec<Interface>>,
    /// A variable of the environment.
    pub variable: fn(&str) -> Option<String>,
}

impl Host {
    /// This one.
    pub const THIS: Self = Self { interfaces, variable: |name| std::env::var(name).ok() };

    /// The addresses; `setting` is what they are needed for.
    pub fn interfaces(&self, setting: &'static str) -> Result<Vec<Interface>, ConfigError> {
        (self.interfaces)()
            .map_err(|error| ConfigError::setting(setting, format!("cannot list the host's addresses: {error}")))
    }

    /// `text` with its templates filled in.
    pub fn expand(&self, setting: &'static str, text: &str) -> Result<String, ConfigError> {
        if !text.contains("{{") {
            return Ok(text.into());
        }
        address::expand(text, &self.interfaces(setting)?).map_err(|problem| ConfigError::setting(setting, problem))
    }

    /// What the environment says: interfaces to take the bind and the client address from. A flag wins over it, it
    /// wins over files.
    pub fn partial(&self) -> Result<Partial, ConfigError> {
        let address_of = |variable: &'static str| {
            let name = (self.variable)(variable).filter(|name| !name.is_empty());
            let first = |name: String| {
                let interfaces = self.interfaces(variable)?;
                let found = interfaces.iter().filter(|interface| interface.name == name);
                let found = found.min_by_key(|interface| interface.address.is_ipv6());
                let problem = || ConfigError::setting(variable, format!("no interface {name:?} with an address"));
                found.map(|interface| interface.address.to_string().into()).ok_or_else(problem)
            };
            name.map(first).transpose()
        };
        Ok(Partial {
            bind_addr: address_of("CONSUL_BIND_INTERFACE")?,
            client_addr: address_of("CONSUL_CLIENT_INTERFACE")?,
            ..Partial::default()
        })
    }
}

fn interfaces() -> io::Result<Vec<Interface>> {
    let interfaces = if_addrs::get_if_addrs()?;
    let ours = interfaces.into_iter().map(|interface| {
        let prefix = match &interface.addr {
            if_addrs::IfAddr::V4(address) => address.prefixlen,
            if_addrs::IfAddr::V6(address) => address.prefixlen,
        };
        Interface { address: interface.ip(), name: interface.name, prefix }
    });
    Ok(ours.collect())
}
