//! The short forms in which types and objects are written, made into JSON Schema.

use serde_json::{Map, Value, json};

use super::schemas::{ANSWERS, BODIES, PLAIN, rows};

/// The schema of a type.
pub(super) fn schema(mut text: &str) -> Value {
    let schema = either(&mut text);
    debug_assert_eq!(text, "", "what is left of a type");
    schema
}

/// The schema of an object; `all_needed` where what is not marked must be there.
pub(super) fn object(description: &str, fields: &str, all_needed: bool) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    add_fields(fields, all_needed, &mut properties, &mut required);
    let mut object = json!({"type": "object", "description": description, "properties": properties});
    if !required.is_empty() {
        object["required"] = required.into();
    }
    object
}

fn add_fields(fields: &str, all_needed: bool, properties: &mut Map<String, Value>, required: &mut Vec<Value>) {
    for field in fields.split(',').map(str::trim) {
        if let Some(other) = field.strip_prefix("..") {
            let of_other = rows(ANSWERS).chain(rows(BODIES)).find(|[name, _, _]| *name == other);
            add_fields(of_other.map_or("", |[_, _, fields]| fields), all_needed, properties, required);
            continue;
        }
        let (name, kind) = field.split_once(": ").unwrap_or((field, "string"));
        let bare = name.trim_end_matches(['?', '!']);
        if name.ends_with('!') || all_needed && !name.ends_with('?') {
            required.push(bare.into());
        }
        properties.insert(bare.into(), schema(kind));
    }
}

fn either(text: &mut &str) -> Value {
    let mut any = vec![one(text)];
    loop {
        if take(text, '|') {
            any.push(one(text));
        } else if take(text, '?') {
            any.push(json!({"type": "null"}));
        } else if any.len() == 1 {
            return any.remove(0);
        } else {
            return json!({"anyOf": any});
        }
    }
}

fn one(text: &mut &str) -> Value {
    if take(text, '[') {
        let items = either(text);
        take(text, ']');
        return json!({"type": "array", "items": items});
    }
    if take(text, '{') {
        let values = either(text);
        take(text, '}');
        return json!({"type": "object", "additionalProperties": values});
    }
    let (name, rest) = text.split_at(text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len()));
    *text = rest;
    match rows(PLAIN).find(|[plain, _]| *plain == name) {
        Some([_, schema]) => written(schema),
        None => json!({"$ref": format!("#/components/schemas/{name}")}),
    }
}

fn take(text: &mut &str, sign: char) -> bool {
    let rest = text.strip_prefix(sign);
    *text = rest.unwrap_or(text);
    rest.is_some()
}

/// A schema that is written as such.
pub(super) fn written(text: &str) -> Value {
    serde_json::from_str(text).expect("a test reads all of them")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_objects() {
        let node = json!({"$ref": "#/components/schemas/Node"});
        for (text, expected) in [
            ("string", json!({"type": "string"})),
            ("Node", node.clone()),
            ("Node?", json!({"anyOf": [node, {"type": "null"}]})),
            ("[Node]", json!({"type": "array", "items": node})),
            ("{[Node]}", json!({"type": "object", "additionalProperties": {"type": "array", "items": node}})),
            ("Node|[Node]", json!({"anyOf": [node, {"type": "array", "items": node}]})),
        ] {
            assert_eq!(schema(text), expected, "{text}");
        }
        let (text, flag) = (json!({"type": "string"}), json!({"type": "boolean"}));
        for (fields, all_needed, required) in [
            ("A, B?: bool", true, json!(["A"])),
            ("A!, B: bool", false, json!(["A"])),
            ("A, B: bool", false, Value::Null),
        ] {
            let object = object("", fields, all_needed);
            assert_eq!(object["properties"], json!({"A": text, "B": flag}));
            assert_eq!(object["required"], required, "{fields}");
        }
        assert_eq!(object("", "..Created, B", true)["required"], json!(["ID", "B"]));
    }
}
