//! Says where an answer differs from the recorded one, a line for each field.

use serde_json::Value;

/// Letters of a value shown in a line.
const SHOWN: usize = 160;

/// The differences between two answers. Of an error in plain text only the status counts.
#[must_use]
pub fn answers(wanted: &Value, got: &Value) -> Vec<String> {
    let is_text_error = wanted.get("text").is_some() && wanted["status"].as_u64() >= Some(400);
    let left_out: &[&str] = if is_text_error { &["step", "text", "json", "type", "headers"] } else { &["step"] };
    let mut lines = Vec::new();
    compare(&without(wanted, left_out), &without(got, left_out), "", &mut lines);
    lines
}

fn without(answer: &Value, names: &[&str]) -> Value {
    let fields = answer.as_object().into_iter().flatten();
    let kept = fields.filter(|(name, _)| !names.contains(&name.as_str()));
    kept.map(|(name, field)| (name.clone(), field.clone())).collect()
}

fn compare(wanted: &Value, got: &Value, place: &str, lines: &mut Vec<String>) {
    match (wanted, got) {
        (Value::Object(wanted), Value::Object(got)) => {
            for (name, field) in wanted {
                match got.get(name) {
                    Some(other) => compare(field, other, &format!("{place}.{name}"), lines),
                    None => lines.push(format!("{place}.{name}: missing, wanted {}", shown(field))),
                }
            }
            for (name, field) in got.iter().filter(|(name, _)| !wanted.contains_key(*name)) {
                lines.push(format!("{place}.{name}: not in the recording: {}", shown(field)));
            }
        }
        (Value::Array(rows), Value::Array(others)) if rows.len() == others.len() => {
            for (number, (row, other)) in rows.iter().zip(others).enumerate() {
                compare(row, other, &format!("{place}[{number}]"), lines);
            }
        }
        (Value::Array(rows), Value::Array(others)) => {
            let counts = format!("{} entries, wanted {}", others.len(), rows.len());
            lines.push(format!("{place}: {counts}: {} / {}", shown(got), shown(wanted)));
        }
        _ if wanted == got => {}
        (Value::String(sentence), Value::String(other)) if is_same_but_index(sentence, other) => {}
        _ => lines.push(format!("{place}: {}, wanted {}", shown(got), shown(wanted))),
    }
}

/// Whether two sentences differ only in the index that they tell, which no two runs share.
fn is_same_but_index(sentence: &str, other: &str) -> bool {
    let parts = |text: &str| {
        let (before, after) = text.split_once("current modify index ")?;
        Some((before.to_owned(), after.trim_start_matches(|letter: char| letter.is_ascii_digit()).to_owned()))
    };
    parts(sentence).is_some_and(|parts_of_one| parts(other) == Some(parts_of_one))
}

fn shown(value: &Value) -> String {
    value.to_string().chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences() {
        for (wanted, got, count) in [
            (json!({"status": 200, "step": "a"}), json!({"status": 200, "step": "b"}), 0),
            (json!({"status": 200, "json": [1]}), json!({"status": 200, "json": [1, 2]}), 1),
            (json!({"status": 200, "json": {"a": 1}}), json!({"status": 200, "json": {"b": 1}}), 2),
            (json!({"json": []}), json!({"json": null}), 1),
            (json!({"json": "current modify index 3 != 1"}), json!({"json": "current modify index 16 != 1"}), 0),
            (json!({"json": "current modify index 3 != 1"}), json!({"json": "current modify index 3 != 2"}), 1),
            (json!({"json": "a"}), json!({"json": "b"}), 1),
            (json!({"json": 1}), json!({"json": 1.0}), 1),
            (json!({"status": 400, "text": "x", "type": "t"}), json!({"status": 400, "json": 1}), 0),
            (json!({"status": 400, "text": "x"}), json!({"status": 404, "text": "x"}), 1),
        ] {
            assert_eq!(answers(&wanted, &got).len(), count, "{wanted} {got}");
        }
    }
}
