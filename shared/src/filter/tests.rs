//! Tests of the filter language: tables of expressions against recorded rows, errors word for word, and properties
//! of the parser for any text and any tree.

use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

use super::{Expression, Filter, MAX_DEPTH, MAX_PATTERNS, MAX_TEXT_BYTES, Match, Schema, Selector, Test, schema};

fn judge(expression: &str, schema: &Schema, row: &Value) -> bool {
    Filter::parse(expression, schema).unwrap_or_else(|error| panic!("{expression}: {error}")).matches(row)
}

fn complaint(expression: &str, schema: &Schema) -> String {
    let sentence = Filter::parse(expression, schema).expect_err(expression).to_string();
    sentence.strip_prefix("Failed to create boolean expression evaluator: ").expect("Consul's words").into()
}

#[track_caller]
fn check(schema: &Schema, row: &Value, table: &[(&str, bool)]) {
    for (expression, expected) in table {
        assert_eq!(judge(expression, schema, row), *expected, "{expression}");
        assert_eq!(judge(&format!("not {expression}"), schema, row), !expected, "not {expression}");
    }
}

#[test]
fn catalog_nodes() {
    let row = json!({"ID": "", "Node": "t-900", "Address": "10.1.10.13", "Datacenter": "dc1", "TaggedAddresses": null,
        "Meta": {"rack": "r2", "a.b": "dotted", "empty": ""}});
    check(
        &schema::CATALOG_NODE,
        &row,
        &[
            ("Meta.rack==r2", true),
            ("Meta.rack == \"r2\"", true),
            ("Meta.rack == `r2`", true),
            ("Meta.rack != r2", false),
            ("Meta[\"a.b\"] == dotted", true),
            ("Meta[`a.b`] == dotted", true),
            ("\"/Meta/a.b\" == dotted", true),
            ("\"/Meta/a.b\" in \"/Meta\"", false),
            ("\"a.b\" in \"/Meta\"", true),
            ("Node matches `^[\\w.-]{1,9}$`", true),
            ("rack in Meta", true),
            ("Meta contains rack", true),
            ("\"a.b\" in Meta", true),
            ("nothing in Meta", false),
            ("Meta not contains nothing", true),
            ("Meta is empty", false),
            ("Meta is not empty", true),
            ("TaggedAddresses is empty", true),
            ("lan not in TaggedAddresses", true),
            ("TaggedAddresses.lan == `10.1.10.13`", false),
            ("TaggedAddresses.lan != `10.1.10.13`", true),
            ("Meta.absent == \"\"", false),
            ("Meta.absent != \"\"", true),
            ("Meta.absent matches `.*`", false),
            ("Meta.absent not matches `.*`", true),
            ("x in Meta.absent", false),
            ("x not in Meta.absent", true),
            ("Meta.empty == \"\"", true),
            ("Node matches `^t-\\d+$`", true),
            ("Node matches \"^t-\\\\d+$\"", true),
            ("Node not matches `^T`", true),
            ("Node matches `(?i)^T`", true),
            ("Node contains \"-9\"", true),
            ("\"-9\" in Node", true),
            ("900 in Node", true),
            ("ID == \"\"", true),
            ("PeerName == \"\"", true),
            ("Node == \"t-900\" and Address == \"10.1.10.13\"", true),
            ("( Node==other or Datacenter==dc1 )", true),
            ("(\n\tNode==other\r\n)", false),
        ],
    );
}

#[test]
fn operators_bind_as_in_logic() {
    let row = json!({"Node": "n", "Meta": {"t": "1"}});
    let tables: &[(&str, bool)] = &[
        ("Meta.t==1 or Meta.t==1 and Meta.t==2", true),
        ("(Meta.t==1 or Meta.t==1) and Meta.t==2", false),
        ("not Meta.t==2 and Meta.t==2", false),
        ("not (Meta.t==2 and Meta.t==2)", true),
        ("not not Meta.t==1", true),
        ("not not not Meta.t==1", false),
        ("Meta.t==2 or not Meta.t==2 and Node==n or Meta.t==3", true),
        ("  Meta.t==1  ", true),
        ("", true),
    ];
    for (expression, expected) in tables {
        assert_eq!(judge(expression, &schema::CATALOG_NODE, &row), *expected, "{expression}");
    }
}

#[test]
fn patterns_have_ascii_classes() {
    let table = [
        (r"^\w+$", "web_1", true),
        (r"^\w+$", "é", false),
        (r"^\W$", "é", true),
        (r"^[\w.-]{1,60}$", "web-1.example", true),
        (r"^[^\w]$", "w", false),
        (r"^[^\W]$", "w", true),
        (r"^\d$", "٣", false),
        (r"^\D$", "٣", true),
        (r"a\sb", "a b", true),
        (r"a\Sb", "a b", false),
        (r"^\\w$", r"\w", true),
        (r"\bweb\b", "a web b", true),
        (r"^\.$", ".", true),
        ("(?i)^É$", "é", true),
        (r"^\pL.$", "éé", true),
    ];
    for (pattern, text, expected) in table {
        let row = json!({"Node": text});
        assert_eq!(judge(&format!("Node matches `{pattern}`"), &schema::CATALOG_NODE, &row), expected, "{pattern}");
    }
    assert!(complaint("Node matches \"\\\\\"", &schema::CATALOG_NODE).starts_with("Failed to compile"));
}

#[test]
fn catalog_services() {
    let row = json!({"ID": "2ba6d8ee-7b5f-4a0a-8a43-ff8d7f1c3a3f", "Node": "t-800", "NodeMeta": {"os": "linux"},
        "ServiceName": "redis", "ServicePort": 8000, "ServiceTags": ["primary", "v1"],
        "ServiceEnableTagOverride": false, "ServiceConnect": {}, "ServiceWeights": {"Passing": 5, "Warning": 2},
        "ServiceTaggedAddresses": {"lan": {"Address": "127.0.0.9", "Port": 8000}},
        "ServiceProxy": {"MeshGateway": {}, "Mode": ""}});
    check(
        &schema::CATALOG_SERVICE,
        &row,
        &[
            ("\"v1\" in ServiceTags", true),
            ("v1 in ServiceTags", true),
            ("ServiceTags contains v", false),
            ("ServiceTags is not empty", true),
            ("ServicePort==8000", true),
            ("ServicePort==\"8000\"", true),
            ("ServicePort!=8001", true),
            ("ServiceEnableTagOverride == false", true),
            ("ServiceConnect.Native == false", true),
            ("ServiceConnect.Native == T", false),
            ("ServiceWeights.Passing == 5", true),
            ("NodeMeta.os == linux", true),
            ("ServiceTaggedAddresses.lan.Port == 8000", true),
            ("\"/ServiceTaggedAddresses/lan/Address\" == \"127.0.0.9\"", true),
            ("lan in ServiceTaggedAddresses", true),
            ("wan in ServiceTaggedAddresses", false),
            ("ServiceTaggedAddresses.wan.Port == 0", false),
            ("ServiceTaggedAddresses.wan.Port != 0", true),
            ("ServiceProxy.LocalServicePort == 0", true),
            ("ServiceProxy.Upstreams is empty", true),
            ("ServiceProxy.Upstreams.DestinationName != x", false),
            ("ServiceKind == \"\"", true),
        ],
    );
}

#[test]
fn health_services_match_if_any_check_does() {
    let check_row = |name: &str, status: &str| json!({"Name": name, "Status": status, "ServiceTags": []});
    let row = json!({"Node": {"Node": "h3", "Meta": null}, "Service": {"Service": "web", "Meta": {"version": "1"}},
        "Checks": [check_row("disk", "critical"), check_row("http", "passing")]});
    check(
        &schema::HEALTH_SERVICE,
        &row,
        &[
            ("Service.Meta.version==\"1\"", true),
            ("Service.Meta.version==1", true),
            ("Node.Node==h3", true),
            ("Node.Meta is empty", true),
            ("Node.Meta.zone == a", false),
            ("Checks.Status==critical", true),
            ("Checks.Status==warning", false),
            ("Checks.Status!=critical", true),
            ("Checks.Status==critical and Checks.Name==http", true),
            ("Checks.ServiceTags is empty", true),
            ("Checks is empty", false),
            ("Service.Tags is empty", true),
        ],
    );
    let unchecked = json!({"Checks": []});
    check(
        &schema::HEALTH_SERVICE,
        &unchecked,
        &[("Checks is empty", true), ("Checks.Status != critical", false), ("Checks.Status == critical", false)],
    );
}

#[test]
fn agent_rows_and_checks() {
    let service = json!({"ID": "hello", "Service": "hello", "Port": 5000, "Tags": ["v1"], "Meta": {"owner": "infra"}});
    check(&schema::AGENT_SERVICE, &service, &[("Port==5000", true), ("Port==5001", false), ("v1 in Tags", true)]);
    check(&schema::NODE_SERVICE, &service, &[("Meta.owner == infra", true), ("Service == hello", true)]);
    let check_row = json!({"CheckID": "api-ttl", "Status": "passing", "Type": "ttl", "Node": "h3"});
    let table = &[("CheckID==\"api-ttl\"", true), ("Status==warning", false), ("Type==ttl", true), ("Node==h3", true)];
    check(&schema::AGENT_CHECK, &check_row, table);
    check(&schema::HEALTH_CHECK, &check_row, table);
}

#[test]
fn errors_say_what_and_where() {
    let table = [
        // Recorded from Consul.
        ("Nonsense is bad", r#"1:13 (12): no match found, expected: "empty", "not" or [ \t\r\n]"#),
        ("Node", r#"1:5 (4): no match found, expected: "!=", ".", "==", "[", [ \t\r\n] or [a-zA-Z0-9_/]"#),
        (" ", r#"1:2 (1): no match found, expected: "(", "-", "0", "\"", "`", "not", [ \t\r\n], [1-9] or [a-zA-Z]"#),
        ("Node == a )", r#"1:11 (10): no match found, expected: "and", "or", [ \t\r\n] or EOF"#),
        ("Node == \"a", r#"1:11 (10): rule "string": Unterminated string literal"#),
        ("Node == `a", r#"1:11 (10): rule "string": Unterminated string literal"#),
        ("Node ==\n\n \"a\\", r#"3:5 (13): rule "string": Unterminated string literal"#),
        ("Node == \"\\q\"", r#"1:12 (11): rule "string": invalid syntax"#),
        ("Node == 10.0.0.1", r#"1:13 (12): rule "number": Invalid number literal"#),
        ("Node == 007", r#"1:10 (9): rule "number": Invalid number literal"#),
        ("Meta[rack] == a", r#"1:6 (5): rule "index": Invalid index"#),
        ("Meta[\"rack\" == a", r#"1:13 (12): rule "index": Unclosed index expression"#),
        ("(Node == a", r#"1:11 (10): rule "grouping": Unmatched parentheses"#),
        ("a in 5", r#"1:6 (5): rule "match": Invalid selector"#),
        ("X == 1", r#"Selector "X" is not valid"#),
        ("Node == a and Meta[\"a\"].b == 1", r#"Selector "Meta.a.b" is not valid"#),
        ("\"/Nodes/x\" == a", r#"Selector "Nodes.x" is not valid"#),
        ("Node is empty", r#"Invalid match operator "Is Empty" for selector "Node""#),
        ("Meta != 1", r#"Invalid match operator "Not Equal" for selector "Meta""#),
        ("Node matches `(`", r#"Failed to compile regular expression "(": unclosed group"#),
        (
            "Node matches `(\\w{99}){99}`",
            r#"Failed to compile regular expression "(\\w{99}){99}": Compiled regex exceeds size"#,
        ),
    ];
    for (expression, expected) in table {
        let complaint = complaint(expression, &schema::CATALOG_NODE);
        assert!(complaint.starts_with(expected), "{expression}: {complaint}");
    }
    let table = [
        ("ServicePort == http", r#"Failed to coerce value "http" for selector "ServicePort": it is not an integer"#),
        ("ServicePort == 1.5", r#"Failed to coerce value "1.5" for selector "ServicePort": it is not an integer"#),
        ("ServicePort matches `1`", r#"Invalid match operator "Matches" for selector "ServicePort""#),
        ("ServiceTags == a", r#"Invalid match operator "Equal" for selector "ServiceTags""#),
        ("ServiceWeights == 1", r#"Invalid match operator "Equal" for selector "ServiceWeights""#),
        (
            "ServiceConnect.Native == yes",
            r#"Failed to coerce value "yes" for selector "ServiceConnect.Native": it is not true or false"#,
        ),
    ];
    for (expression, expected) in table {
        assert_eq!(complaint(expression, &schema::CATALOG_SERVICE), expected, "{expression}");
    }
}

#[test]
fn limits() {
    let nodes = &schema::CATALOG_NODE;
    let parentheses = |depth| format!("{}Node==a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(judge(&parentheses(MAX_DEPTH), nodes, &json!({"Node": "a"})));
    let sentence = complaint(&parentheses(MAX_DEPTH + 1), nodes);
    assert_eq!(sentence, r#"1:66 (65): more than 64 levels of parentheses and "not""#);
    assert!(complaint(&format!("{}Node==a", "not ".repeat(MAX_DEPTH + 1)), nodes).contains("more than 64 levels"));
    assert!(complaint(&"(".repeat(MAX_TEXT_BYTES), nodes).contains("more than 64 levels"));

    let long = format!("Node==\"{}\"", "a".repeat(MAX_TEXT_BYTES - 8));
    assert!(!judge(&long, nodes, &json!({"Node": "a"})));
    assert_eq!(complaint(&format!("{long} "), nodes), "the expression has 8193 bytes, at most 8192 are allowed");

    let patterns = |count| vec!["Node matches a"; count].join(" and ");
    assert!(judge(&patterns(MAX_PATTERNS), nodes, &json!({"Node": "a"})));
    assert_eq!(complaint(&patterns(MAX_PATTERNS + 1), nodes), "more than 16 regular expressions");
}

#[test]
fn prints_in_canonical_form() {
    let table = [
        ("Meta contains x or a!=b and ( not c is  empty )", r#""x" in Meta or a != "b" and not c is empty"#),
        ("(a==1 or b==2) and c not contains `\"`", r#"(a == "1" or b == "2") and "\"" not in c"#),
        ("not (a==1 and b==2)", r#"not (a == "1" and b == "2")"#),
        ("Meta.0[\"a b\"][`c`] not matches x.y", r#"Meta["0"]["a b"].c not matches "x.y""#),
        ("\"/Meta/a~1b.c\" is not empty", r#"Meta["a/b.c"] is not empty"#),
        ("\"/0/a~1b\" is empty", r#""/0/a~1b" is empty"#),
        ("not in Tags", r#""not" in Tags"#),
        ("not == not", r#""/not" == "not""#),
    ];
    for (text, printed) in table {
        let tree = text.parse::<Expression>().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(tree.to_string(), printed, "{text}");
    }
}

fn selectors() -> impl Strategy<Value = Selector> {
    let names =
        ("[a-zA-Z][a-zA-Z0-9_/]{0,5}|not|is|in|or", vec(".{0,4}|[a-z]{1,3}", 0..3)).prop_map(|(first, rest)| {
            let mut path = vec![first];
            path.extend(rest);
            Selector { path }
        });
    let pointers = vec("[0-9éa-z._~:|/-]{1,4}", 1..4).prop_map(|path| Selector { path });
    prop_oneof![names, pointers]
}

fn expressions() -> impl Strategy<Value = Expression> {
    let tests = prop_oneof![
        ".{0,6}".prop_map(Test::Equal),
        "(?s).{0,6}".prop_map(Test::In),
        "[\"`\\\\ /a-z\n]{0,6}".prop_map(Test::Matches),
        Just(Test::Empty),
    ];
    let comparisons = (selectors(), any::<bool>(), tests)
        .prop_map(|(selector, negated, test)| Expression::Match(Match { selector, negated, test }));
    comparisons.prop_recursive(6, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 2..4).prop_map(Expression::Or),
            vec(inner.clone(), 2..4).prop_map(Expression::And),
            inner.prop_map(|operand| match operand {
                Expression::Not(twice) => *twice,
                operand => Expression::Not(Box::new(operand)),
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(?s).{0,80}") {
        let _ = Filter::parse(&text, &schema::HEALTH_SERVICE).map(|filter| filter.matches(&json!({"Checks": [1, null]})));
    }

    #[test]
    fn any_words_are_read_or_refused(
        words in vec(
            prop_oneof![
                Just("not"), Just("and"), Just("or"), Just("("), Just(")"), Just("=="), Just("!="), Just("in"),
                Just("is"), Just("empty"), Just("contains"), Just("matches"), Just("Node"), Just("Meta"), Just("."),
                Just("["), Just("]"), Just("\"a\""), Just("\""), Just("`"), Just("\\u00e9"), Just("\"/Meta/é\""),
                Just("-"), Just("0"), Just("12.5"), Just("é"), Just("\n"),
            ],
            0..40,
        ),
        separator in prop_oneof![Just(" "), Just("")],
    ) {
        let _ = Filter::parse(&words.join(separator), &schema::CATALOG_NODE).map(|filter| filter.matches(&Value::Null));
    }

    #[test]
    fn a_printed_tree_reads_as_itself(tree in expressions()) {
        let printed = tree.to_string();
        prop_assume!(printed.len() <= MAX_TEXT_BYTES);
        prop_assert_eq!(printed.parse::<Expression>(), Ok(tree), "{}", printed);
    }
}
