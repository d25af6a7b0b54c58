use proptest::prelude::*;
use serde_json::json;

use super::*;

fn tree(text: &str) -> Value {
    match parse(text) {
        Ok(map) => Value::Object(map),
        Err(error) => panic!("{text}: {error}"),
    }
}

#[test]
fn hcl_reads_as_the_same_settings_in_json() {
    let table = [
        ("", json!({})),
        ("\u{feff}a = 1", json!({"a": 1})),
        ("server = true\nnode_name = \"n1\"", json!({"server": true, "node_name": "n1"})),
        ("a = 1 b = 2, c { d = 3 } e = [1,\n 2,]", json!({"a": 1, "b": 2, "c": {"d": 3}, "e": [1, 2]})),
        ("ports { http = -1, dns = 0x1F8 }", json!({"ports": {"http": -1, "dns": 504}})),
        (
            "a = 0644 b = 1.5 c = 2e3 d = .5 e = -1.25E-2 f = 0",
            json!({"a": 420, "b": 1.5, "c": 2000.0, "d": 0.5, "e": -0.0125, "f": 0}),
        ),
        ("# one\na = 1 // two\n/* three\n b = 2 */ c = 3", json!({"a": 1, "c": 3})),
        ("\"quoted key\" = \"v\"", json!({"quoted key": "v"})),
        (r#"a = "tab\t quote\" back\\ \u00e9 \x41 \101 \U0001F600""#, json!({"a": "tab\t quote\" back\\ é A A 😀"})),
        (
            r#"a = "${node.attr["x"]} and {{ GetPrivateIP }}""#,
            json!({"a": "${node.attr[\"x\"]} and {{ GetPrivateIP }}"}),
        ),
        ("a = <<EOF\none\n  two\nEOF\nb = 1", json!({"a": "one\n  two\n", "b": 1})),
        ("a = <<-EOF\n    one\n      two\n    EOF\nb = 1", json!({"a": "one\n  two\n", "b": 1})),
        ("a = <<-EOF\n  one\n    EOF\n", json!({"a": "  one\n"})),
        ("a = <<EOF\r\none\r\nEOF\r\n", json!({"a": "one\r\n"})),
        ("a = [<<EOF\nx\nEOF\n, \"y\"]", json!({"a": ["x\n", "y"]})),
        ("a = <<EOF\nEOF", json!({"a": ""})),
        ("service \"web\" { port = 80 }", json!({"service": {"web": {"port": 80}}})),
        ("a \"b\" \"c\" {}", json!({"a": {"b": {"c": {}}}})),
        ("services { name = \"a\" }\nservices { name = \"b\" }", json!({"services": [{"name": "a"}, {"name": "b"}]})),
        ("c {}\nc {}\nc {}", json!({"c": [{}, {}, {}]})),
        ("c = [{ a = 1 }]\nc { a = 2 }\nc = [{ a = 3 }]", json!({"c": [{"a": 1}, {"a": 2}, {"a": 3}]})),
        ("a = 1\na = 2", json!({"a": 2})),
        ("a = [[1], [], [{ b = [true] }]]", json!({"a": [[1], [], [{"b": [true]}]]})),
        (" { \"a\": [1, null] } ", json!({"a": [1, null]})),
    ];
    for (text, expected) in table {
        assert_eq!(tree(text), expected, "{text}");
    }
}

#[test]
fn what_is_no_hcl_is_told_with_its_place() {
    let table = [
        ("a = ", "1:5: expected a value, found the end of the file"),
        ("a", "1:2: \"a\": expected \"=\" or \"{\", found the end of the file"),
        ("a: 1", "1:2: unexpected \":\" (write \"key = value\")"),
        ("a = b", "1:5: \"b\" is neither true nor false nor a number (write text in quotes: \"b\")"),
        ("\n\n  ports {\n http = 1", "3:9: this \"{\" is never closed"),
        ("a = [1, 2", "1:5: this \"[\" is never closed"),
        ("a = [1 2]", "1:8: expected \",\" or \"]\" in a list, found the number 2"),
        ("a = [,]", "1:6: expected a value, found \",\""),
        ("a = 1 }", "1:7: unexpected \"}\" (no block is open)"),
        ("a = \"é\" ß = ?", "1:13: unexpected '?'"),
        ("a = \"x\nb = 1", "1:5: this string does not end on its line (use a heredoc, <<EOF)"),
        ("a = \"x", "1:5: this string has no end (close it with a quote)"),
        ("a = \"${x\"", "1:6: \"${\" without its \"}\""),
        (r#"a = "\q""#, "1:6: unknown escape (a backslash itself is written \"\\\\\")"),
        (r#"a = "\ud800""#, "1:6: unknown escape"),
        (r#"a = "\xff""#, "1:5: the escapes of this string do not give UTF-8"),
        ("a = <<EOF\nx\n", "1:5: this heredoc has no end (a line that is \"EOF\" alone)"),
        ("a = <<\nx\n", "1:5: a heredoc begins with a word alone on its line"),
        ("a = <EOF", "1:5: unexpected \"<\""),
        ("/* x", "1:1: this comment has no end"),
        ("a = 089", "1:5: \"089\" is no number"),
        ("a = 0x", "1:5: \"0x\" is no number"),
        ("a = 10s", "1:5: \"10s\" is no number (write text in quotes: \"10s\")"),
        ("a = 10.0.0.1", "1:5: \"10.0.0.1\" is no number (write text in quotes: \"10.0.0.1\")"),
        ("a = 99999999999999999999", "1:5: \"99999999999999999999\" is no number"),
        ("a = 'x'", "1:5: unexpected \"'\" (strings stand in double quotes)"),
        ("1 = 2", "1:1: expected the name of a setting, found the number 1"),
        ("a \"b\" = 1", "1:7: \"a\": expected \"=\" or \"{\", found \"=\""),
        ("{\"a\":\n x}", "2:2: not JSON: expected value"),
    ];
    for (text, expected) in table {
        let error = parse(text).expect_err(text).to_string();
        assert!(error.starts_with(expected), "{text}: {error}");
        assert!(!error.contains('\n'), "{text}: {error}");
    }
}

#[test]
fn depth_is_limited_whatever_makes_it() {
    let count = 100_000;
    for deep in ["a {".repeat(count), format!("a = {}", "[".repeat(count)), format!("a {} {{", "b ".repeat(count))] {
        parse(&deep).expect_err("too deep");
    }
    let fits = format!("{}{}", "a {".repeat(DEPTH_MAX), "}".repeat(DEPTH_MAX));
    parse(&fits).expect("as deep as allowed");
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        ".*".prop_map(Value::from),
        prop::string::string_regex("[$ {}\"\\\\\n<EOF]*").expect("a regex").prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{1,8}|.*", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_panics(text in ".*") {
        let _ = parse(&text);
    }

    #[test]
    fn no_text_of_hcls_signs_panics(text in "([ab]|[0-9exX.+-]{1,4}|true|[={}\\[\\],\"\\\\<>#$]|//|/\\*|\\*/|<<-?E\n|\\$\\{|\n| |E\n|é){0,40}") {
        if let Ok(map) = parse(&text) {
            let printed = Printed(&map).to_string();
            prop_assert_eq!(parse(&printed), Ok(map), "{}", printed);
        }
    }

    #[test]
    fn what_is_printed_reads_back(map in prop::collection::btree_map("[a-z_]{1,8}|.*", values(), 0..6)) {
        let map: Map<String, Value> = map.into_iter().collect();
        let printed = Printed(&map).to_string();
        prop_assert_eq!(parse(&printed), Ok(map), "{}", printed);
    }
}
