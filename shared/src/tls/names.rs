//! The names in certificates that say what a node is, as Consul has them ("TLS encryption", names of certificates):
//! `server.DATACENTER.DOMAIN` and `NODE.server.DATACENTER.DOMAIN` for servers, the same with `client` for the rest.
//!
//! Names are read from the subject alternative names alone, by webpki, from certificates that were verified. A wildcard
//! is no node's name: `*.dc1.consul` makes nobody a server.

use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use smol_str::SmolStr;

use super::{Peer, Settings};

/// What a name makes of its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Server,
    Client,
}

/// The names of one domain, as seen from one datacenter.
#[derive(Clone, Debug, Default)]
pub struct Names {
    datacenter: String,
    domain: String,
}

impl Names {
    /// Those of these settings.
    pub fn new(settings: &Settings) -> Self {
        Self { datacenter: settings.datacenter.to_lowercase(), domain: settings.domain.to_lowercase() }
    }

    /// The name of the servers of a datacenter.
    pub fn server(&self, datacenter: &str) -> String {
        format!("server.{}.{}", datacenter.to_lowercase(), self.domain)
    }

    /// The same, to be asked for in a handshake.
    pub fn to_ask_for(&self, datacenter: &str) -> Result<ServerName<'static>, InvalidDnsNameError> {
        ServerName::try_from(self.server(datacenter))
    }

    /// What a verified certificate makes of its owner. Of several names, the one that means most here counts.
    pub fn peer(&self, certificate: &CertificateDer<'_>) -> Peer {
        let names = in_certificate(certificate);
        let roles: Vec<(Kind, &str)> = names.iter().filter_map(|name| self.role(name)).collect();
        let has = |kind, own: bool| {
            roles.iter().find(|(found, datacenter)| *found == kind && (*datacenter == self.datacenter) == own)
        };
        let best = has(Kind::Server, true)
            .or_else(|| has(Kind::Client, true))
            .or_else(|| has(Kind::Server, false))
            .or_else(|| has(Kind::Client, false));
        match best {
            Some((Kind::Server, datacenter)) => Peer::Server { datacenter: SmolStr::new(datacenter) },
            Some((Kind::Client, datacenter)) => Peer::Client { datacenter: SmolStr::new(datacenter) },
            None => Peer::Unnamed,
        }
    }

    /// Whether a server that was asked for by `asked` may be one with this verified certificate. A client's never;
    /// where names are demanded, only one with that name.
    ///
    /// # Errors
    /// A sentence that says what the certificate is for.
    pub fn check_server(&self, certificate: &CertificateDer<'_>, asked: &str, demanded: bool) -> Result<(), String> {
        let names = in_certificate(certificate);
        let wanted = self.role(asked);
        let roles = || names.iter().filter_map(|name| self.role(name));
        if wanted.is_some() && roles().any(|role| Some(role) == wanted) {
            return Ok(());
        }
        let is_only_client =
            roles().any(|(kind, _)| kind == Kind::Client) && !roles().any(|(kind, _)| kind == Kind::Server);
        if demanded || is_only_client {
            return Err(format!("the certificate is for {}, not for {asked}", listed(&names)));
        }
        Ok(())
    }

    /// What a name says, in lower case: the kind, and the datacenter.
    fn role<'n>(&self, name: &'n str) -> Option<(Kind, &'n str)> {
        let rest = name.strip_suffix(self.domain.as_str())?.strip_suffix('.')?;
        let (front, datacenter) = rest.rsplit_once('.')?;
        let (node, kind) = front.rsplit_once('.').map_or((None, front), |(node, kind)| (Some(node), kind));
        if datacenter.is_empty() || node.is_some_and(|node| node.is_empty() || node.contains('*')) {
            return None;
        }
        match kind {
            "server" => Some((Kind::Server, datacenter)),
            "client" => Some((Kind::Client, datacenter)),
            _ => None,
        }
    }
}

/// The DNS names of a certificate, in lower case; none where it cannot be read.
fn in_certificate(certificate: &CertificateDer<'_>) -> Vec<String> {
    let parsed = webpki::EndEntityCert::try_from(certificate);
    parsed.map_or_else(|_| Vec::new(), |parsed| parsed.valid_dns_names().map(str::to_lowercase).collect())
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "no name".into() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let settings = Settings { datacenter: "DC1".into(), domain: "consul".into(), ..Settings::default() };
        Names::new(&settings)
    }

    fn certificate(names: &[&str]) -> CertificateDer<'static> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        rcgen::generate_simple_self_signed(names).unwrap().cert.der().clone()
    }

    fn server(datacenter: &str) -> Peer {
        Peer::Server { datacenter: datacenter.into() }
    }

    fn client(datacenter: &str) -> Peer {
        Peer::Client { datacenter: datacenter.into() }
    }

    #[test]
    fn what_names_make_of_their_owner() {
        let table = [
            (&["server.dc1.consul", "localhost"][..], server("dc1")),
            (&["SERVER.DC1.Consul"], server("dc1")),
            (&["node-1.server.dc1.consul"], server("dc1")),
            (&["a.b.server.dc1.consul"], server("dc1")),
            (&["server.dc2.consul"], server("dc2")),
            (&["client.dc1.consul"], client("dc1")),
            (&["node-1.client.dc1.consul"], client("dc1")),
            (&["client.dc1.consul", "server.dc1.consul"], server("dc1")),
            (&["server.dc2.consul", "server.dc1.consul"], server("dc1")),
            (&["server.dc2.consul", "client.dc1.consul"], client("dc1")),
            // The place decides, not the word.
            (&["client.server.consul"], client("server")),
            (&["server.client.consul"], server("client")),
            (&["server.client.dc1.consul"], client("dc1")),
            (&["server.dc1.client.dc1.consul"], client("dc1")),
            // No node's names.
            (&["*.dc1.consul"], Peer::Unnamed),
            (&["*.server.dc1.consul"], Peer::Unnamed),
            (&["server.consul"], Peer::Unnamed),
            (&["server.dc1.example"], Peer::Unnamed),
            (&["server.dc1.notconsul"], Peer::Unnamed),
            (&["server.dc1.consul.example"], Peer::Unnamed),
            (&["myserver.dc1.consul"], Peer::Unnamed),
            (&["cli.dc1.consul", "localhost"], Peer::Unnamed),
            (&["10.0.0.1"], Peer::Unnamed),
            (&[], Peer::Unnamed),
        ];
        for (given, expected) in table {
            assert_eq!(names().peer(&certificate(given)), expected, "{given:?}");
        }
    }

    #[test]
    fn who_may_be_a_server_that_is_asked() {
        let table = [
            (&["server.dc1.consul"][..], true, true),
            (&["node-1.server.dc1.consul"], true, true),
            (&["client.dc1.consul", "server.dc1.consul"], true, true),
            (&["server.dc2.consul"], false, true),
            (&["registry.example"], false, true),
            (&["client.dc1.consul"], false, false),
            (&["node-1.client.dc1.consul", "localhost"], false, false),
            (&["*.dc1.consul"], false, true),
        ];
        for (given, with_name, without) in table {
            let check = |demanded| names().check_server(&certificate(given), "server.dc1.consul", demanded);
            assert_eq!((check(true).is_ok(), check(false).is_ok()), (with_name, without), "{given:?}");
        }
        let error = names().check_server(&certificate(&["client.dc1.consul"]), "server.dc1.consul", true);
        assert_eq!(error.unwrap_err(), "the certificate is for client.dc1.consul, not for server.dc1.consul");
    }

    #[test]
    fn what_is_no_certificate_is_nobodys() {
        assert_eq!(names().peer(&CertificateDer::from(vec![0x30, 0x03, 1, 2, 3])), Peer::Unnamed);
    }
}
