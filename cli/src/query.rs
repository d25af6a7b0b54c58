//! The path of a request with its parameters, encoded. It knows no endpoint.

use lictor_shared::http::query::encode;

use crate::target::HttpFlags;

/// A path of an agent's interface, with what follows the `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query(String);

impl Query {
    /// A path that needs no encoding.
    pub fn new(path: &str) -> Self {
        Self(path.into())
    }

    /// A path and its last part, which is encoded: names and IDs may have any character.
    pub fn of(path: &str, name: &str) -> Self {
        Self(format!("{path}/{}", encode(name)))
    }

    /// With a parameter.
    pub fn pair(mut self, name: &str, value: &str) -> Self {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        self.0.push_str(&format!("{name}={}", encode(value)));
        self
    }

    /// With a parameter, if there is a value for it.
    pub fn maybe(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.pair(name, value),
            None => self,
        }
    }

    /// With a parameter for each of the values.
    pub fn each(self, name: &str, values: &[String]) -> Self {
        values.iter().fold(self, |query, value| query.pair(name, value))
    }

    /// With the datacenter that was asked for.
    pub fn in_datacenter(self, flags: &HttpFlags) -> Self {
        self.maybe("dc", flags.datacenter.as_deref())
    }

    /// With what every read of the catalog takes: the datacenter, and whether an old answer will do.
    pub fn read(self, flags: &HttpFlags) -> Self {
        let query = self.in_datacenter(flags);
        if flags.stale { query.pair("stale", "") } else { query }
    }

    /// As it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_parameters_are_encoded() {
        assert_eq!(encode("10.0.0.1:8301"), "10.0.0.1:8301");
        let flags = HttpFlags { datacenter: Some("dc 2".into()), stale: true, ..HttpFlags::default() };
        let query = Query::of("/v1/x", "a/b c?").maybe("near", None).each("tag", &["é".into(), "a=b".into()]);
        assert_eq!(query.clone().as_str(), "/v1/x/a%2Fb%20c%3F?tag=%C3%A9&tag=a%3Db");
        assert_eq!(query.read(&flags).as_str(), "/v1/x/a%2Fb%20c%3F?tag=%C3%A9&tag=a%3Db&dc=dc%202&stale=");
        assert_eq!(Query::new("/v1/x").read(&HttpFlags::default()).as_str(), "/v1/x");
    }
}
