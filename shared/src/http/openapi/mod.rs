//! `/v1/openapi.json`: what there is to ask, in OpenAPI 3.1, made of the table of endpoints at the first request.
//!
//! A right comes from the endpoint's guard, all else from one line in `operations`, in the short forms of `notation`, and
//! from the shapes and parameters in `schemas`. Every answer in this interface's tests is held against it (`tests`).
//!
//! OpenAPI has no parameter with slashes in it: the last one of most paths may have some, and may be nothing (`x-lictor-rest`).

mod notation;
mod operations;
mod schemas;
#[cfg(test)]
pub(super) mod tests;

use std::{collections::BTreeMap, sync::OnceLock};

use serde_json::{Map, Value, json};

use self::{
    notation::{object, schema, written},
    operations::{Kind, Operation, operations},
    schemas::{ANSWERS, BODIES, NAMED, PATH, QUERY, rows},
};
use super::{
    Context, Failure,
    admission::Guard,
    answer::{Answer, Fixed, encode},
    route::{Request, guard_of},
};
use crate::acl::Level;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain";

/// What an answer of that status means that is not a sentence alone.
const RESULTS: [(u16, &str); 3] = [(200, "Done."), (301, "It is elsewhere."), (409, "Nothing was done.")];
/// What one means that is.
const REFUSALS: [(u16, &str); 9] = [
    (400, "The request is wrong."),
    (401, "There is no access control."),
    (403, "The token is none, or does not have the right."),
    (404, "Nothing has that name."),
    (413, "The body is too long."),
    (429, "The caller has asked too often, or waits too often; or what is asked about is not well."),
    (500, "It cannot be done: the servers cannot be asked, or refuse. Also requests that Consul answers so."),
    (501, "This program has nothing that does it."),
    (503, "It cannot be done now; or what is asked about is critical."),
];

/// What every answer from the view says of how fresh it is.
const HEADERS: [(&str, &str, &str); 4] = [
    ("X-Consul-Index", "int", "The index of what was asked about, for `index`."),
    ("X-Consul-KnownLeader", "string", "Whether a leader is known: `true` or `false`."),
    ("X-Consul-LastContact", "int", "The age of the last word from a leader, in milliseconds."),
    ("X-Consul-Effective-Consistency", "string", "How fresh it is: `leader`, `consistent` or `stale`."),
];

const ABOUT: &str = "The HTTP interface of a Lictor agent, Consul's of the version that `/v1/agent/version` names. \
    In bodies, keys may be written in any letter case, null is as if nothing were there, and unknown keys are ignored. \
    Other methods than a path has are answered with 405, requests that are too long or too slow with 408, 414 and 431.";

/// The description; the same at every agent, so that nobody needs a right for it.
pub(super) async fn describe(_: &Context, request: &Request) -> Result<Answer, Failure> {
    /// Kept with its compressed form.
    static ANSWERS: [OnceLock<Fixed>; 2] = [const { OnceLock::new() }; 2];
    let pretty = request.query.has("pretty");
    let answer = || Fixed::new(Answer::json(encode(&document(), pretty)));
    ANSWERS[usize::from(pretty)].get_or_init(answer).again()
}

/// All of it.
fn document() -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for operation in operations() {
        // Each has one, as a test says.
        if let Some(guard) = guard_of(operation.method, &operation.endpoint()) {
            let described = operation.describe(guard);
            paths.entry(operation.path).or_default().insert(operation.method.to_lowercase(), described);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Lictor", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT},
        "servers": [{"url": "/"}],
        "security": [{}, {"header": []}, {"bearer": []}, {"query": []}],
        "paths": paths,
        "components": {
            "schemas": shapes(),
            "parameters": parameters(),
            "headers": HEADERS.map(|(name, kind, text)| (name, json!({"description": text, "schema": schema(kind)})))
                .into_iter().collect::<Value>(),
            "responses": REFUSALS
                .map(|(status, text)| (status.to_string(), json!({"description": text, "content": content(&[TEXT])})))
                .into_iter()
                .collect::<Value>(),
            "securitySchemes": {
                "header": {"type": "apiKey", "in": "header", "name": "X-Consul-Token"},
                "bearer": {"type": "http", "scheme": "bearer"},
                "query": {"type": "apiKey", "in": "query", "name": "token"},
            },
        },
    })
}

fn shapes() -> Value {
    let answers = rows(ANSWERS).map(|[name, text, fields]| (name, object(text, fields, true)));
    let bodies = rows(BODIES).map(|[name, text, fields]| (name, object(text, fields, false)));
    rows(NAMED).map(|[name, text]| (name, written(text))).chain(answers).chain(bodies).collect()
}

fn parameters() -> Value {
    let in_path = |[name, kind, text]: [&'static str; 3]| {
        let parameter = json!({
            "name": name, "in": "path", "required": true, "description": text, "schema": schema(kind),
        });
        (format!("path.{name}"), parameter)
    };
    let in_query = |[key, kind, text]: [&'static str; 3]| {
        let values: &[&str] = match kind {
            "flag" => &[""],
            "switch" => &["", "true", "false"],
            _ => &[],
        };
        let shape = if values.is_empty() { schema(kind) } else { json!({"type": "string", "enum": values}) };
        let name = key.rsplit('.').next();
        let parameter = json!({
            "name": name, "in": "query", "description": text, "schema": shape, "allowEmptyValue": !values.is_empty(),
        });
        (format!("query.{key}"), parameter)
    };
    rows(PATH).map(in_path).chain(rows(QUERY).map(in_query)).collect()
}

fn reference(kind: &str, name: impl std::fmt::Display) -> Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

/// A body in one of these forms: media types, and types of JSON.
fn content(forms: &[&str]) -> Value {
    let json = forms.iter().filter(|form| !form.contains('/')).copied().collect::<Vec<_>>().join("|");
    let media =
        forms.iter().filter(|form| form.contains('/')).map(|form| (*form, json!({"schema": {"type": "string"}})));
    let json = (!json.is_empty()).then(|| (JSON, json!({"schema": schema(&json)})));
    media.chain(json).collect()
}

impl Kind {
    /// The parameters that all of it have.
    fn query(self) -> &'static str {
        match self {
            Self::Read => "dc index wait stale consistent cached max_stale pretty",
            Self::Write => "dc pretty",
            Self::Local => "pretty",
            Self::Plain => "",
        }
    }

    /// The statuses that all of it may have.
    fn refusals(self) -> &'static [u16] {
        match self {
            Self::Read => &[400, 403, 429, 500, 503],
            Self::Write => &[400, 403, 413, 429, 500, 503],
            Self::Local => &[400, 403, 413, 429],
            Self::Plain => &[400, 403, 429],
        }
    }
}

impl Operation {
    /// Its path in the table of endpoints.
    fn endpoint(&self) -> String {
        match self.path.split_once('{') {
            Some((stem, _)) => format!("{stem}*"),
            None => self.path.into(),
        }
    }

    /// The name of its parameter.
    fn parameter(&self) -> Option<&'static str> {
        Some(self.path.split_once('{')?.1.split_once('}')?.0)
    }

    fn describe(&self, guard: Guard) -> Value {
        let in_path = self.parameter().map(|name| reference("parameters", format_args!("path.{name}")));
        let in_query = self.query.split_whitespace().chain(self.kind.query().split_whitespace());
        let in_query = in_query.map(|name| reference("parameters", format_args!("query.{name}")));
        let (right, whose) = self.right(guard);
        let mut described = json!({
            "operationId": self.id(),
            "tags": [self.path.trim_start_matches("/v1").split('/').nth(1).filter(|tag| !tag.is_empty()).unwrap_or("ui")],
            "summary": self.summary,
            "description": format!("Right: {right}{whose}."),
            "x-lictor-right": right,
            "parameters": in_path.into_iter().chain(in_query).collect::<Vec<_>>(),
            "responses": self.responses(),
        });
        if self.path.ends_with('}') {
            described["x-lictor-rest"] = self.parameter().into();
        }
        if guard == Guard::Open {
            described["security"] = json!([{}]);
        }
        if !self.body.is_empty() {
            let form = self.body.trim_end_matches('?');
            described["requestBody"] = json!({"required": form == self.body, "content": content(&[form])});
        }
        described
    }

    /// Its method and path in one word.
    fn id(&self) -> String {
        let mut id = self.method.to_lowercase();
        for part in self.path.split(['/', '-', '.']).filter(|part| !part.is_empty() && *part != "v1") {
            let (by, part) = part.strip_prefix('{').map_or(("", part), |part| ("By", part));
            let (first, rest) = part.trim_end_matches('}').split_at(1);
            id += &format!("{by}{}{rest}", first.to_uppercase());
        }
        id
    }

    /// The right that it needs, and of what, or who decides.
    fn right(&self, guard: Guard) -> (String, &'static str) {
        let of = |resource: &dyn std::fmt::Display, level: Level| format!("{resource}:{level}");
        match guard {
            Guard::Open => ("none".into(), ""),
            Guard::Member => ("any token".into(), ", or a default policy that allows"),
            Guard::Needs(resource, level) => (of(&resource, level), ""),
            Guard::OwnAgent(level) => (of(&"agent", level), ", of this agent"),
            Guard::OwnNode(level) => (of(&"node", level), ", of this agent's node"),
            Guard::Parameter(resource, level) => (of(&resource, level), ", of what the path names"),
            Guard::Filtered => (self.right.into(), ": what the token does not let see is left out"),
            Guard::Written => (self.right.into(), ", of what is written"),
            Guard::Inside => (self.right.into(), ", of what it is about"),
        }
    }

    fn responses(&self) -> Value {
        let mut forms: BTreeMap<u16, Vec<&str>> =
            self.kind.refusals().iter().map(|status| (*status, vec![TEXT])).collect();
        for answer in self.answers.split_whitespace() {
            let (status, form) = answer.split_once(':').unwrap_or((answer, ""));
            let Ok(status) = status.parse() else { continue };
            let forms = forms.entry(status).or_default();
            match form {
                "" if status >= 400 && !answer.ends_with(':') => forms.push(TEXT),
                "" => {}
                form => forms.push(form),
            }
        }
        forms.into_iter().map(|(status, forms)| (status.to_string(), self.response(status, &forms))).collect()
    }

    fn response(&self, status: u16, forms: &[&str]) -> Value {
        if status >= 400 && !forms.is_empty() && forms.iter().all(|form| *form == TEXT) {
            return reference("responses", status);
        }
        let text = RESULTS.iter().chain(&REFUSALS).find(|(known, _)| *known == status).map_or("", |(_, text)| text);
        let mut response = json!({"description": text});
        if !forms.is_empty() {
            response["content"] = content(forms);
        }
        if status == 200 && self.kind == Kind::Read {
            let headers = HEADERS.map(|(name, ..)| (name, reference("headers", name)));
            response["headers"] = headers.into_iter().collect();
        }
        response
    }
}
