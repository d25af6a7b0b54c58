//! What a check can be, and which kinds this agent runs.

use crate::model::CheckDefinition;

/// A kind of check that can be run here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Waits to be told.
    Ttl,
    /// Requests a URL.
    Http,
    /// Opens a connection.
    Tcp,
}

/// Consul's word for what the definition asks for; `ttl` where it asks for nothing else.
#[must_use]
pub fn kind_name(definition: &CheckDefinition) -> &'static str {
    let asks = [
        (!definition.alias_node.is_empty() || !definition.alias_service.is_empty(), "alias"),
        (!definition.docker_container_id.is_empty(), "docker"),
        (!definition.script_args.is_empty(), "script"),
        (!definition.http.is_empty(), "http"),
        (!definition.tcp.is_empty(), "tcp"),
        (!definition.udp.is_empty(), "udp"),
        (!definition.grpc.is_empty(), "grpc"),
        (!definition.h2ping.is_empty(), "h2ping"),
        (!definition.os_service.is_empty(), "os_service"),
    ];
    asks.into_iter().find(|(asked, _)| *asked).map_or("ttl", |(_, name)| name)
}

/// The kind to run, or why it cannot be run here.
///
/// # Errors
/// A sentence that names the kind.
pub fn kind(definition: &CheckDefinition) -> Result<Kind, String> {
    match kind_name(definition) {
        "ttl" => Ok(Kind::Ttl),
        "tcp" => Ok(Kind::Tcp),
        "http" if definition.http.to_ascii_lowercase().starts_with("https:") => {
            Err("Invalid check: https checks need TLS, which this version cannot do: check by http or tcp".into())
        }
        "http" => Ok(Kind::Http),
        other => Err(format!("Invalid check: {other} checks cannot be run by this version: use http, tcp or ttl")),
    }
}
