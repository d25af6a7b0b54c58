//! Services written in files, as `lictor agent` reads them: `service` and `services`, in JSON or HCL.
//!
//! All files are read and checked before anything is sent, so that a wrong one changes nothing.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use lictor_shared::{
    agent::definition::{Fields, ServiceDefinition, Strictness, fold},
    config::hcl,
};
use serde_json::{Map, Value};

/// Bytes in a file; a longer one is no list of services.
const FILE_MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Why the services of a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be read.
    #[error("cannot read {path:?}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is in it is wrong.
    #[error("{path:?}: {problem}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What, where, and what to do.
        problem: String,
    },
}

/// A service of a file.
#[derive(Debug)]
pub struct WrittenService {
    /// Its ID; the name where none is given.
    pub id: String,
    /// Its name.
    pub name: String,
    /// As the body of a registration: the agent reads it again.
    pub body: Value,
}

/// The services of all files, in order.
///
/// # Errors
/// The first file that cannot be used.
pub fn services(paths: &[PathBuf]) -> Result<Vec<WrittenService>, FileError> {
    let mut services = Vec::new();
    for path in paths {
        let value = read(path)?;
        let found = in_document(&value).map_err(|problem| FileError::Wrong { path: path.clone(), problem })?;
        services.extend(found);
    }
    Ok(services)
}

fn read(path: &Path) -> Result<Value, FileError> {
    let unreadable = |source| FileError::Unreadable { path: path.into(), source };
    let wrong = |problem| FileError::Wrong { path: path.into(), problem };
    if fs::metadata(path).map_err(unreadable)?.len() > FILE_MAX_BYTES {
        return Err(wrong(format!("larger than {} MiB", FILE_MAX_BYTES >> 20)));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let value = match path.extension().is_some_and(|ending| ending == "hcl") {
        true => hcl::parse(&text).map(Value::Object),
        false => hcl::parse_json(&text),
    };
    value.map_err(|error| wrong(error.to_string()))
}

fn in_document(document: &Value) -> Result<Vec<WrittenService>, String> {
    let mut fields = Fields::of(document, Strictness::File).map_err(|error| error.explain())?;
    let written = fields.one_or_several("service", "services").map_err(|error| error.explain())?;
    fields.finish().map_err(|error| error.explain())?;
    let services = written.into_iter().map(|written| {
        let service = ServiceDefinition::from_file(written).map_err(|error| error.explain())?.service;
        Ok(WrittenService { id: service.id.to_string(), name: service.name.to_string(), body: body(written) })
    });
    let services: Vec<WrittenService> = services.collect::<Result<_, String>>()?;
    match services.is_empty() {
        true => Err("no service in it (write {\"service\": {\"name\": \"web\", \"port\": 80}})".into()),
        false => Ok(services),
    }
}

/// A service as a body has it. There `check` is one and `checks` are several; in a file either may be both.
fn body(written: &Value) -> Value {
    let Value::Object(fields) = written else { return written.clone() };
    let (mut body, mut checks) = (Map::new(), Vec::new());
    for (key, value) in fields {
        match (fold(key).as_str(), value) {
            ("check" | "checks", Value::Array(several)) => checks.extend(several.iter().cloned()),
            ("check" | "checks", one) => checks.push(one.clone()),
            _ => _ = body.insert(key.clone(), value.clone()),
        }
    }
    if !checks.is_empty() {
        body.insert("checks".into(), checks.into());
    }
    body.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<String>, String> {
        let services = in_document(&serde_json::from_str(text).unwrap())?;
        Ok(services.into_iter().map(|service| format!("{} {}", service.id, service.name)).collect())
    }

    #[test]
    fn one_service_or_several() {
        assert_eq!(read_text(r#"{"service": {"name": "web", "port": 80}}"#).unwrap(), ["web web"]);
        let many = r#"{"services": [{"name": "a", "id": "a1"}, {"Name": "b", "enable_tag_override": true}]}"#;
        assert_eq!(read_text(many).unwrap(), ["a1 a", "b b"]);
    }

    #[test]
    fn blocks_of_hcl_become_a_body() {
        let text = r#"
            service {
                name = "web"
                tags = ["a"]
                check { name = "one" tcp = "127.0.0.1:1" interval = "10s" }
                check { name = "two" ttl = "10s" }
            }
        "#;
        let services = in_document(&Value::Object(hcl::parse(text).unwrap())).unwrap();
        let body = &services[0].body;
        assert_eq!((&body["name"], &body["tags"][0]), (&"web".into(), &"a".into()));
        assert_eq!((&body["checks"][1]["ttl"], body.get("check")), (&"10s".into(), None));
        assert_eq!(ServiceDefinition::from_json(body).unwrap().checks.len(), 2);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, part) in [
            ("{}", "no service in it"),
            ("[]", "expected"),
            (r#"{"service": {"name": "web", "prot": 80}}"#, "service \"web\": unknown key \"prot\""),
            (r#"{"service": {"name": "web", "check": {"tcp": "x:1", "interval": "10"}}}"#, "\"10\""),
            (r#"{"sevice": {}}"#, "unknown key \"sevice\""),
        ] {
            let error = read_text(text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        let error = services(&["/nonexistent.json".into()]).unwrap_err();
        assert!(error.to_string().contains("cannot read \"/nonexistent.json\""), "{error}");
    }
}
