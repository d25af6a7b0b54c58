//! A watch as a file has it (`watches`), by Consul's names.
//!
//! Its program runs as the agent's user. Unlike a check's it needs no leave (`enable_script_checks`): it can only come
//! from the agent's own files, never by HTTP or from the registry.

use serde_json::Value;

use super::{
    handler::{Handler, Post, shell},
    subject::{Subject, Wanted},
};
use crate::agent::definition::{DefinitionError, Fields, Strictness};

/// What an agent watches, and what it does at each change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// What is watched.
    pub subject: Subject,
    /// What is done.
    pub handler: Handler,
}

impl Definition {
    /// Reads one.
    ///
    /// # Errors
    /// Names the key, and says what would be right.
    pub fn from_file(value: &Value) -> Result<Self, DefinitionError> {
        let mut fields = Fields::of(value, Strictness::File)?;
        let handler = handler(&mut fields)?;
        let subject = Subject::of(&wanted(&mut fields)?).map_err(DefinitionError::invalid)?;
        fields.finish()?;
        Ok(Self { subject, handler })
    }
}

fn wanted(fields: &mut Fields<'_>) -> Result<Wanted, DefinitionError> {
    let text = |fields: &mut Fields<'_>, name| {
        fields.text(name).map(|text| Some(text.to_string()).filter(|text| !text.is_empty()))
    };
    // One tag may be written without a list.
    let tags = match fields.take("tag") {
        None => Vec::new(),
        Some((_, Value::String(tag))) => vec![tag.clone()],
        Some((_, Value::Array(tags))) if tags.iter().all(Value::is_string) => {
            tags.iter().filter_map(Value::as_str).map(String::from).collect()
        }
        Some((key, _)) => return Err(DefinitionError::invalid(format!("{key}: expected a tag or a list of tags"))),
    };
    Ok(Wanted {
        kind: text(fields, "type")?.unwrap_or_default(),
        service: text(fields, "service")?,
        tags,
        passing_only: fields.flag("passingonly")?,
        state: text(fields, "state")?,
        name: text(fields, "name")?,
        filter: text(fields, "filter")?,
        key: text(fields, "key")?,
        prefix: text(fields, "prefix")?,
        datacenter: text(fields, "datacenter")?,
        stale: fields.flag("stale")?,
        token: text(fields, "token")?,
    })
}

/// One of `args` (a program and its arguments), `handler` (a line for the shell) and `http_handler_config`.
fn handler(fields: &mut Fields<'_>) -> Result<Handler, DefinitionError> {
    let kind = fields.text("handlertype")?;
    let args: Vec<String> = fields.texts("args")?.into_iter().map(String::from).collect();
    let line = fields.text("handler")?;
    let server = fields.fields("httphandlerconfig")?;
    let invalid = |sentence: &str| Err(DefinitionError::invalid(sentence));
    match (kind.as_str(), args.is_empty(), line.is_empty(), server) {
        ("" | "script", false, true, None) => Ok(Handler::Program(args)),
        ("" | "script", true, false, None) => Ok(Handler::Program(shell(line.into()))),
        ("" | "http", true, true, Some(server)) => post(server).map_err(|error| error.within("http_handler_config")),
        ("" | "script" | "http", true, true, None) => {
            invalid("Must define a watch handler (args, or handler_type \"http\" with an http_handler_config)")
        }
        ("" | "script" | "http", ..) => invalid(
            "Only one watch handler allowed (one of args, handler and http_handler_config, as handler_type says)",
        ),
        (other, ..) => invalid(&format!("handler_type: {other:?} is neither \"script\" nor \"http\"")),
    }
}

fn post(mut fields: Fields<'_>) -> Result<Handler, DefinitionError> {
    let invalid = DefinitionError::invalid;
    let mut post = Post::to(&fields.text("path")?).map_err(|problem| invalid(format!("path: {problem}")))?;
    let method = fields.text("method")?;
    if !method.is_empty() {
        post = post.with_method(&method).map_err(|problem| invalid(format!("method: {problem}")))?;
    }
    post = post.with_headers(&fields.map_of_texts("header")?).map_err(invalid)?;
    if let Some(limit) = fields.optional_duration("timeout")?.filter(|limit| !limit.is_zero()) {
        post = post.with_limit(limit);
    }
    if fields.flag("tlsskipverify")? {
        post = post.accepting_any();
    }
    fields.finish()?;
    Ok(Handler::Server(Box::new(post)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn watches_of_files() {
        let program = |words: &[&str]| Handler::Program(words.iter().map(ToString::to_string).collect());
        for (value, path, handler) in [
            (
                json!({"type": "service", "service": "web", "passingonly": true, "tag": "a", "args": ["/bin/x", "-y"]}),
                "/v1/health/service/web?tag=a&passing=1",
                program(&["/bin/x", "-y"]),
            ),
            (
                json!({"Type": "checks", "state": "critical", "token": "t", "handler": "x | y", "handler_type": "script"}),
                "/v1/health/state/critical?token=t",
                Handler::Program(shell("x | y".into())),
            ),
            (
                json!({"type": "nodes", "datacenter": "dc2", "handler_type": "http", "http_handler_config": {
                    "path": "https://a/b", "method": "PUT", "timeout": "3s", "header": {"X-A": ["b"]},
                    "tls_skip_verify": true}}),
                "/v1/catalog/nodes?dc=dc2",
                {
                    let post = Post::to("https://a/b").unwrap().with_method("PUT").unwrap().accepting_any();
                    let post = post.with_headers(&[("X-A".into(), vec!["b".into()])].into()).unwrap();
                    Handler::Server(Box::new(post.with_limit(std::time::Duration::from_secs(3))))
                },
            ),
        ] {
            let definition = Definition::from_file(&value).unwrap();
            assert_eq!((definition.subject.path.as_str(), definition.handler), (path, handler));
        }
    }

    #[test]
    fn wrong_ones_are_explained() {
        for (value, expected) in [
            (json!({"type": "nodes"}), "Must define a watch handler"),
            (json!({"args": ["x"]}), "Watch type must be specified"),
            (json!({"type": "nodes", "args": ["x"], "handler": "y"}), "Only one watch handler allowed"),
            (json!({"type": "nodes", "args": ["x"], "handler_type": "http"}), "Only one watch handler allowed"),
            (json!({"type": "nodes", "args": ["x"], "handler_type": "mail"}), "handler_type: \"mail\" is neither"),
            (json!({"type": "nodes", "args": "x"}), "args: expected a list of strings"),
            (json!({"type": "service", "args": ["x"]}), "the service to watch is not named"),
            (json!({"type": "service", "service": "a", "tag": 1, "args": ["x"]}), "tag: expected a tag"),
            (json!({"type": "services", "service": "web", "args": ["x"]}), "service means nothing"),
            (json!({"type": "nodes", "args": ["x"], "stat": "any"}), "unknown key \"stat\" (did you mean \"state\"?)"),
            (
                json!({"type": "nodes", "http_handler_config": {"path": "a"}}),
                "http_handler_config: path: \"a\" is no URL",
            ),
        ] {
            let error = Definition::from_file(&value).unwrap_err().explain();
            assert!(error.contains(expected), "{error}");
        }
    }
}
