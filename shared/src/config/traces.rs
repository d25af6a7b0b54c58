//! What is set about traces: the stanza `traces`, which Consul does not have.

use std::fmt;

use ::http::{HeaderName, HeaderValue, Uri};

use super::{decode, error::ConfigError, partial::Partial};
use crate::agent::definition::{DefinitionError, Fields};

/// The port of OTLP by gRPC.
const PORT: u16 = 4317;
/// Of the traces that begin here, all.
const RATIO: f64 = 1.0;

/// Where traces go, and which.
#[derive(Clone, PartialEq)]
pub struct Traces {
    /// The host that takes them, by OTLP over gRPC.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether TLS is spoken; its certificate must be one that the system trusts.
    pub secured: bool,
    /// Of the traces that begin at this node, this share (0 to 1) is recorded.
    pub ratio: f64,
    /// What goes along with them: often a secret.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl fmt::Debug for Traces {
    /// Without the headers' values.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        let Self { host, port, secured, ratio, .. } = self;
        write!(formatter, "Traces {{ {host:?}, {port}, secured: {secured}, ratio: {ratio}, headers: {names:?} }}")
    }
}

/// Reads the stanza.
pub(super) fn decode(fields: &mut Fields<'_>, partial: &mut Partial) -> Result<(), DefinitionError> {
    let Some(mut traces) = fields.fields("traces")? else { return Ok(()) };
    partial.otlp_endpoint = decode::some_text(&mut traces, "otlpendpoint")?;
    partial.trace_ratio = decode::rate(&mut traces, "sampleratio").map_err(|error| error.within("traces"))?;
    partial.otlp_headers = traces.map("headers")?;
    traces.finish().map_err(|error| error.within("traces"))
}

/// What was said of them; nothing: there are none.
pub(super) fn traces(said: &Partial) -> Result<Option<Traces>, ConfigError> {
    let ratio = said.trace_ratio.unwrap_or(RATIO);
    if !(0.0..=1.0).contains(&ratio) {
        return Err(ConfigError::setting("traces.sample_ratio", format!("{ratio} is no share (0 to 1)")));
    }
    let Some(endpoint) = &said.otlp_endpoint else { return Ok(None) };
    let (host, port, secured) = parse(endpoint).ok_or_else(|| {
        let problem = format!("{endpoint:?} is no address of a collector (try http://127.0.0.1:{PORT})");
        ConfigError::setting("traces.otlp_endpoint", problem)
    })?;
    let header = |(name, value): (&smol_str::SmolStr, &smol_str::SmolStr)| {
        let problem = || {
            // The value may be a secret.
            let problem = format!("{name:?} is no header (letters, digits and dashes; a value of one line)");
            ConfigError::setting("traces.headers", problem)
        };
        let mut value: HeaderValue = value.parse().map_err(|_| problem())?;
        value.set_sensitive(true);
        Ok((name.to_lowercase().parse().map_err(|_| problem())?, value))
    };
    let headers = said.otlp_headers.iter().map(header).collect::<Result<_, ConfigError>>()?;
    Ok(Some(Traces { host, port, secured, ratio, headers }))
}

/// Host, port, and whether TLS is spoken.
fn parse(endpoint: &str) -> Option<(String, u16, bool)> {
    let uri: Uri = endpoint.parse().ok()?;
    let secured = match uri.scheme_str()? {
        "http" => false,
        "https" => true,
        _ => return None,
    };
    let (authority, host) = (uri.authority()?, uri.host()?);
    let is_plain =
        uri.path().trim_matches('/').is_empty() && uri.query().is_none() && !authority.as_str().contains('@');
    // A port that is none is not no port.
    let port = match authority.as_str().strip_prefix(host)? {
        "" => PORT,
        _ => authority.port_u16().filter(|port| *port > 0)?,
    };
    (is_plain && !host.is_empty()).then(|| (host.to_owned(), port, secured))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_how_to_speak_to_it() {
        for (endpoint, expected) in [
            ("http://127.0.0.1:4317", Some(("127.0.0.1", 4317, false))),
            ("http://127.0.0.1", Some(("127.0.0.1", PORT, false))),
            ("https://collector.example:443/", Some(("collector.example", 443, true))),
            ("http://[::1]:9", Some(("[::1]", 9, false))),
            ("127.0.0.1:4317", None),
            ("grpc://127.0.0.1:4317", None),
            ("http://127.0.0.1:0", None),
            ("http://127.0.0.1:x", None),
            ("http://127.0.0.1:", None),
            ("http://user:secret@127.0.0.1", None),
            ("http://127.0.0.1:4318/v1/traces", None),
            ("", None),
        ] {
            let expected = expected.map(|(host, port, secured)| (host.to_owned(), port, secured));
            assert_eq!(parse(endpoint), expected, "{endpoint}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let headers = [("Authorization".into(), "Bearer 5ecre7".into())].into();
        let said = Partial { otlp_endpoint: Some("http://h".into()), otlp_headers: headers, ..Partial::default() };
        let read = traces(&said).unwrap().unwrap();
        assert_eq!((read.headers[0].0.as_str(), read.ratio), ("authorization", 1.0));
        assert!(!format!("{read:?}").contains("5ecre7"));
        let said = Partial { otlp_headers: [("a".into(), "5ecre7\n".into())].into(), ..said };
        let refused = traces(&said).unwrap_err().to_string();
        assert!(refused.contains("traces.headers") && !refused.contains("5ecre7"), "{refused}");
    }
}
