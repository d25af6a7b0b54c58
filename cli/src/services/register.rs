//! `lictor services register`: one service by flags, or those of files.

use std::{collections::BTreeMap, io, path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Map, Value, json};

use super::file;
use crate::{
    arguments::pair,
    target::{self, HttpFlags},
};

const EXAMPLES: &str = "\
Examples:
  A service of this host by flags:
    lictor services register -name=web -port=8080 -tag=blue
  With a check, from a file such as {\"service\": {\"name\": \"web\", \"port\": 8080,
  \"check\": {\"http\": \"http://127.0.0.1:8080/\", \"interval\": \"10s\"}}}:
    lictor services register web.json

The service stays until it is deregistered. One that belongs to this host for good is better written in a file of the
agent's own configuration directory.";

/// Flags of `services register`.
#[derive(Args, Debug, Default)]
#[command(after_long_help = EXAMPLES)]
pub struct RegisterFlags {
    /// Files with services, in JSON or (.hcl) in HCL
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Name of the service
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// ID of the instance, unique on the host [default: the name]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Address of the instance [default: the node's]
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// Port of the instance
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// A tag; may be given several times
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// A meta pair; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    meta: Vec<(String, String)>,
    /// The address in a network of that name, such as wan=203.0.113.5:80; may be given several times
    #[arg(long, value_name = "NAME=HOST:PORT", value_parser = tagged_address)]
    tagged_address: Vec<(String, Value)>,
    #[command(flatten)]
    http: HttpFlags,
}

/// `NAME=HOST:PORT`; a scheme before the host is Consul's way and means nothing.
fn tagged_address(text: &str) -> Result<(String, Value), String> {
    let wrong = || format!("{text:?} is not NAME=HOST:PORT (try wan=203.0.113.5:80)");
    let (name, address) = pair(text).map_err(|_| wrong())?;
    let address = address.split_once("://").map_or(address.as_str(), |(_, rest)| rest);
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok((name, json!({"Address": host, "Port": port})))
}

/// Registers each service and says so.
///
/// # Errors
/// Neither files nor a name, or both; a wrong file; the agent could not be asked or refused.
pub async fn run(flags: RegisterFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let services = match (flags.files.is_empty(), &flags.name) {
        (true, None) => bail!("Service registration requires at least one argument or -name."),
        (false, Some(_)) => bail!("Service registration requires arguments or -name, not both."),
        (true, Some(name)) => vec![(name.clone(), body(&flags, name))],
        (false, None) => {
            file::services(&flags.files)?.into_iter().map(|service| (service.name, service.body)).collect()
        }
    };
    let agent = target::agent(&flags.http)?;
    for (name, body) in services {
        let answer = agent.put("/v1/agent/service/register", body.to_string()).await;
        answer.with_context(|| format!("Error registering service {name:?}"))?;
        writeln!(out, "Registered service: {name}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn body(flags: &RegisterFlags, name: &str) -> Value {
    let mut body = Map::from_iter([("Name".to_string(), json!(name))]);
    let mut add = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(key.into(), value);
        }
    };
    add("ID", flags.id.as_ref().map(|id| json!(id)));
    add("Address", flags.address.as_ref().map(|address| json!(address)));
    add("Port", flags.port.map(|port| json!(port)));
    add("Tags", (!flags.tag.is_empty()).then(|| json!(flags.tag)));
    let meta: BTreeMap<_, _> = flags.meta.iter().cloned().collect();
    add("Meta", (!meta.is_empty()).then(|| json!(meta)));
    let addresses: BTreeMap<_, _> = flags.tagged_address.iter().cloned().collect();
    add("TaggedAddresses", (!addresses.is_empty()).then(|| json!(addresses)));
    body.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_what_was_given() {
        assert_eq!(body(&RegisterFlags::default(), "web"), json!({"Name": "web"}));
        let flags = RegisterFlags {
            id: Some("web-1".into()),
            port: Some(80),
            tag: vec!["a".into()],
            meta: vec![("k".into(), "v".into())],
            tagged_address: vec![tagged_address("wan=tcp://[fd00::1]:81").unwrap()],
            ..RegisterFlags::default()
        };
        let expected = json!({"Name": "web", "ID": "web-1", "Port": 80, "Tags": ["a"], "Meta": {"k": "v"},
                              "TaggedAddresses": {"wan": {"Address": "fd00::1", "Port": 81}}});
        assert_eq!(body(&flags, "web"), expected);
        for wrong in ["wan", "wan=host", "=1.2.3.4:5", "wan=host:port"] {
            assert!(tagged_address(wrong).is_err(), "{wrong}");
        }
    }
}
