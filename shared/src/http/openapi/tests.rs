//! The description against the table of endpoints, itself, the recorded answers, and every answer in this interface's tests.

use std::{collections::BTreeSet, sync::LazyLock};

use regex::Regex;

use super::*;
use crate::http::route;

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

/// What is wrong with an answer, by the description. Of an endpoint that there is not, nothing is.
pub fn problem(method: &str, target: &str, status: u16, kind: &str, body: &[u8]) -> Option<String> {
    let path = target.split('?').next().unwrap_or_default();
    let operation = described(method, path)?;
    let answer = resolve(&operation["responses"][status.to_string()]);
    if answer.is_null() {
        return Some(format!("status {status} is not described"));
    }
    let Some(content) = answer["content"].as_object() else {
        return (!body.is_empty()).then(|| format!("status {status} is described without a body"));
    };
    let kind = kind.split(';').next().unwrap_or_default();
    match content.get(kind) {
        // Some refusals come without a word.
        None if body.is_empty() && status >= 400 => None,
        None => Some(format!("status {status} is not described as {kind:?}")),
        Some(form) if kind == JSON => match serde_json::from_slice(body) {
            Ok(value) => mismatch(&form["schema"], &value, true).map(|problem| format!("status {status}: {problem}")),
            Err(error) => Some(error.to_string()),
        },
        Some(_) => None,
    }
}

/// What is said of the endpoint that has this path; the longest that fits is meant.
fn described(method: &str, path: &str) -> Option<&'static Value> {
    let fits = |(template, _): &(&String, &Value)| match template.split_once('{') {
        None => *template == path,
        Some((stem, name)) => {
            let rest = name.split_once('}').map_or("", |(_, rest)| rest);
            path.len() >= stem.len() + rest.len() && path.starts_with(stem) && path.ends_with(rest)
        }
    };
    let paths = DOCUMENT["paths"].as_object()?.iter().filter(fits);
    let found = paths.max_by_key(|(template, _)| (!template.contains('{'), template.len()))?.1;
    found.get(method.to_lowercase())
}

fn resolve(value: &'static Value) -> &'static Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(place) => {
            DOCUMENT.pointer(place.trim_start_matches('#')).unwrap_or_else(|| panic!("{place} leads nowhere"))
        }
        None => value,
    }
}

/// Where a value is not as its schema has it; `is_whole` where it may have no fields that the schema does not know.
fn mismatch(schema: &'static Value, value: &Value, is_whole: bool) -> Option<String> {
    let schema = resolve(schema);
    if let Some(any) = schema["anyOf"].as_array() {
        let problems: Vec<_> = any.iter().map(|one| mismatch(one, value, is_whole)).collect();
        let fits = problems.iter().any(Option::is_none);
        return if fits { None } else { problems.into_iter().flatten().max_by_key(String::len) };
    }
    let kind = match value {
        // What no two runs of a recording share is masked.
        Value::String(text) if text.starts_with('<') && text.ends_with('>') => return None,
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = match schema["type"].as_str() {
        None => schema.get("const").is_none_or(|only| only == value),
        Some("number") => value.is_number(),
        Some(wanted) => wanted == kind,
    };
    if !fits || schema["enum"].as_array().is_some_and(|known| !known.contains(value)) {
        return Some(format!("{value} is not {schema}"));
    }
    match value {
        Value::Array(items) if schema.get("items").is_some() => items
            .iter()
            .find_map(|item| mismatch(&schema["items"], item, is_whole).map(|problem| format!("[]: {problem}"))),
        Value::Object(fields) => mismatch_of_fields(schema, fields, is_whole),
        _ => None,
    }
}

fn mismatch_of_fields(schema: &'static Value, fields: &Map<String, Value>, is_whole: bool) -> Option<String> {
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if let Some(missing) = required.into_iter().find(|name| !fields.contains_key(*name)) {
        return Some(format!("{missing} is missing"));
    }
    fields.iter().find_map(|(name, value)| {
        let known = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
        let problem = match known {
            Some(known) => mismatch(known, value, is_whole),
            None => (is_whole && schema.get("properties").is_some()).then(|| "is not described".into()),
        };
        problem.map(|problem| format!("{name}: {problem}"))
    })
}

#[test]
fn every_endpoint_is_described_and_nothing_else() {
    let described: BTreeSet<_> = operations().map(|operation| (operation.method, operation.endpoint())).collect();
    let table: Vec<_> = route::table().map(|(method, path)| (method.to_string(), path.to_string())).collect();
    let there: BTreeSet<_> = table.iter().map(|(method, path)| (method.as_str(), path.clone())).collect();
    assert_eq!(there.difference(&described).collect::<Vec<_>>(), Vec::<&(&str, String)>::new(), "not described");
    assert_eq!(described.difference(&there).collect::<Vec<_>>(), Vec::<&(&str, String)>::new(), "no endpoints");
    let shown =
        DOCUMENT["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum::<usize>();
    assert_eq!(shown, operations().count(), "none is described twice");
}

#[test]
fn a_right_is_said_where_the_guard_does_not_say_it() {
    for operation in operations() {
        let guard = guard_of(operation.method, &operation.endpoint()).unwrap();
        let left_open = matches!(guard, Guard::Filtered | Guard::Written | Guard::Inside);
        assert_eq!(operation.right.is_empty(), !left_open, "{} {}: {guard:?}", operation.method, operation.path);
    }
}

#[test]
fn every_reference_leads_somewhere_and_everything_is_referred_to() {
    let text = DOCUMENT.to_string();
    let reference = Regex::new(r##""\$ref":"#(/components/[^"]+)""##).unwrap();
    let used: BTreeSet<&str> = reference.captures_iter(&text).map(|found| found.get(1).unwrap().as_str()).collect();
    for place in &used {
        assert!(DOCUMENT.pointer(place).is_some(), "{place}");
    }
    // What only lends its fields to others.
    let lent: Vec<&str> =
        rows(ANSWERS).chain(rows(BODIES)).flat_map(|[_, _, fields]| fields.split("..").skip(1)).collect();
    for kind in ["schemas", "parameters", "responses", "headers"] {
        for name in DOCUMENT["components"][kind].as_object().unwrap().keys() {
            let is_lent = lent.iter().any(|fields| fields.split(',').next() == Some(name));
            assert!(is_lent || used.contains(&*format!("/components/{kind}/{name}")), "{kind}/{name} is for nothing");
        }
    }
}

#[test]
fn ids_and_forms_are_as_openapi_wants_them() {
    let mut ids = BTreeSet::new();
    for path in DOCUMENT["paths"].as_object().unwrap().values() {
        for operation in path.as_object().unwrap().values() {
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{operation}");
            assert!(operation["summary"].as_str().unwrap().ends_with('.'), "{operation}");
        }
    }
    assert_eq!(described("GET", "/v1/query/a/execute").unwrap()["operationId"], "getQueryByQueryNameExecute");
    assert_eq!(described("PUT", "/v1/agent/service/register").unwrap()["x-lictor-right"], "service:write");
    for [_, text] in rows(schemas::PLAIN).chain(rows(NAMED)) {
        assert!(serde_json::from_str::<Value>(text).unwrap().is_object(), "{text}");
    }
}

#[test]
fn what_consul_was_recorded_to_answer_is_described() {
    macro_rules! recordings {
        ($($name:literal),*) => {
            [$(($name, include_str!(concat!("../../../../tests/conformance/recorded/", $name, ".json")))),*]
        };
    }
    let mut problems = Vec::new();
    let mut held = 0;
    for (name, recorded) in recordings!(
        "acl",
        "agent-service",
        "catalog",
        "health",
        "kv",
        "query",
        "session-lock",
        "status-event-operator",
        "txn"
    ) {
        for step in serde_json::from_str::<Vec<Value>>(recorded).unwrap() {
            let request = step["step"].as_str().unwrap_or_default();
            let mut words = request.split_whitespace();
            let (Some(method), Some(target)) = (words.next(), words.next()) else { continue };
            let body =
                step.get("json").map_or_else(|| step["text"].as_str().unwrap_or_default().into(), Value::to_string);
            let status = u16::try_from(step["status"].as_u64().unwrap_or_default()).unwrap();
            let kind = step["type"].as_str().unwrap_or_default();
            held += usize::from(described(method, target.split('?').next().unwrap()).is_some());
            problems.extend(
                problem(method, target, status, kind, body.as_bytes()).map(|why| format!("{name}: {request}: {why}")),
            );
        }
    }
    assert!(held > 150, "{held} answers");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn bodies_that_consul_took_are_described() {
    let mut problems = Vec::new();
    let recorded = include_str!("../../../../tests/conformance/recorded/catalog.json");
    for step in serde_json::from_str::<Vec<Value>>(recorded).unwrap() {
        let mut words = step["step"].as_str().unwrap().splitn(3, ' ');
        let (method, target, body) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap_or_default());
        let (Some(operation), Ok(body)) = (described(method, target), serde_json::from_str(body)) else { continue };
        if step["status"] == 200 {
            let schema = &operation["requestBody"]["content"][JSON]["schema"];
            problems.extend(mismatch(schema, &body, false).map(|why| format!("{target} {body}: {why}")));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
