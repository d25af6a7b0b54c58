//! Whether the table is complete and right, and the page is what it makes.

use std::{collections::BTreeSet, env, fs, path::Path};

use clap::{Args, Command};

use super::*;
use crate::{
    agent::definition::{ASKED, Asked, fold},
    config::AgentFlags,
    node::needs_restart,
};

/// What a file registers.
const STANZAS: [&str; 6] = ["service", "services", "check", "checks", "watch", "watches"];
/// Settings of which there is nothing to choose, or that count for another interface alone.
const WITHOUT_EFFECT: [&str; 4] =
    ["audit.sink.format", "audit.sink.type", "tls.grpc.verify_server_hostname", "tls.https.verify_server_hostname"];
/// Files in which every setting has an effect, of a server and of a sidecar.
const NODES: [&str; 2] = ["server = true", "server = false"];
const EVERYTHING: &str = r#"
    data_dir = "/base" bind_addr = "127.0.0.1" encrypt_verify_incoming = false
    ca_file = "ca" cert_file = "c" key_file = "k" verify_outgoing = true verify_server_hostname = true
    ports { https = 8501 grpc_tls = 8503 }
    log_file = "/base.log" audit { sink { path = "/audit" } } discovery_protection {}
    traces { otlp_endpoint = "http://127.0.0.9" }
    limits { http_rate_per_client = 1 http_rate_per_token = 1 rpc_rate = 1 }
"#;

fn rows() -> impl Iterator<Item = &'static Row> {
    SECTIONS.iter().flat_map(|section| section.rows)
}

fn keys_of<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Vec<String> {
    rows.into_iter().flat_map(Row::keys).flat_map(expanded).collect()
}

/// The stanza that a key stands in; empty: none.
fn stanza(key: &str) -> &str {
    key.rsplit_once('.').map_or("", |(stanza, _)| stanza)
}

/// What stands right in a stanza, folded.
fn within(keys: &[String], stanza: &str) -> BTreeSet<String> {
    let rest = |key: &String| match stanza {
        "" => Some(key.clone()),
        _ => key.strip_prefix(stanza)?.strip_prefix('.').map(String::from),
    };
    keys.iter().filter_map(rest).map(|rest| fold(rest.split('.').next().unwrap())).collect()
}

/// What is asked for while that document is read.
fn asked(document: &Value) -> Asked {
    ASKED.set(Some(Asked::default()));
    let read = read(document);
    let asked = ASKED.take().unwrap();
    assert!(read.is_ok(), "{document}: {}", read.unwrap_err().explain());
    asked
}

/// What is asked for, and what ignored, in one document and not in the other.
fn asked_beyond(without: &Value, with: &Value) -> [BTreeSet<String>; 2] {
    let (without, mut with) = (asked(without), asked(with));
    for (names, others) in [(&mut with.taken, without.taken), (&mut with.ignored, without.ignored)] {
        for name in others {
            let place = names.iter().position(|other| *other == name);
            names.remove(place.unwrap_or_else(|| panic!("{name} is not asked for")));
        }
    }
    [with.taken, with.ignored].map(BTreeSet::from_iter)
}

fn folded(keys: &[&str]) -> BTreeSet<String> {
    keys.iter().map(|key| fold(key)).collect()
}

#[test]
fn every_key_that_is_read_has_a_row_and_no_other() {
    let keys = keys_of(rows());
    let top = asked(&json!({}));
    let known: BTreeSet<String> = within(&keys, "").into_iter().chain(folded(&STANZAS)).collect();
    let refused: Vec<&str> = keys::REFUSED.iter().map(|(key, _)| *key).collect();
    assert_eq!(BTreeSet::from_iter(top.taken), &known | &folded(&refused));
    assert_eq!(BTreeSet::from_iter(top.ignored), folded(keys::IGNORED));

    let mut stanzas = BTreeSet::new();
    for key in &keys {
        let mut place = stanza(key);
        while !place.is_empty() {
            stanzas.insert(place);
            place = stanza(place);
        }
    }
    let ignored_within: Vec<_> = IGNORED_WITHIN
        .iter()
        .flat_map(|(place, keys)| expanded(place).into_iter().map(|place| (place, folded(keys))))
        .collect();
    for place in &stanzas {
        let sample = rows().find_map(|row| {
            let key = row.keys().flat_map(expanded).find(|key| stanza(key) == *place)?;
            Some(document(&key, row.kind.sample()))
        });
        let with = sample.unwrap_or_else(|| document(place, json!({})));
        let [taken, ignored] = asked_beyond(&document(stanza(place), json!({})), &with);
        assert_eq!(taken, within(&keys, place), "{place}");
        let expected = ignored_within.iter().find(|(other, _)| other == place).map(|(_, keys)| keys.clone());
        assert_eq!(ignored, expected.unwrap_or_default(), "{place}");
    }
    assert!(ignored_within.iter().all(|(place, _)| stanzas.contains(place.as_str())));
}

#[test]
fn every_field_of_a_definition_has_a_row_and_no_other() {
    let [service, check, watch] = [0, 1, 2].map(|number| keys_of(DEFINITIONS[number].rows));
    let nested: Vec<String> = check.iter().filter(|key| *key != "token").cloned().collect();
    let no_keys = || folded(&[]);
    let mesh = || folded(IGNORED_IN_DEFINITIONS);
    let bare = json!({"service": {"name": "x"}});
    let run = json!({"watch": {"type": "nodes", "args": ["x"]}});
    for (without, with, known, ignored) in [
        (json!({}), bare.clone(), within(&service, ""), mesh()),
        (
            bare.clone(),
            json!({"service": {"name": "x", "weights": {"passing": 1}}}),
            within(&service, "weights"),
            no_keys(),
        ),
        (
            bare.clone(),
            json!({"service": {"name": "x", "tagged_addresses": {"wan": {}}}}),
            within(&service, "tagged_addresses.x"),
            no_keys(),
        ),
        (bare, json!({"service": {"name": "x", "check": {"ttl": "1s"}}}), within(&nested, ""), no_keys()),
        (json!({}), json!({"check": {"name": "x", "ttl": "1s"}}), within(&check, ""), mesh()),
        (json!({}), run.clone(), within(&watch, ""), no_keys()),
        (
            run,
            json!({"watch": {"type": "nodes", "http_handler_config": {"path": "http://x/"}}}),
            within(&watch, "http_handler_config"),
            no_keys(),
        ),
    ] {
        assert_eq!(asked_beyond(&without, &with), [known, ignored], "{with}");
    }
}

#[test]
fn every_setting_may_be_what_its_row_says() {
    let may_be = |document: &Value| read(document).map_or_else(|error| !error.is_decoding(), |_| true);
    let in_stanzas = DEFINITIONS.iter().zip(["service", "check", "watch"]);
    let fields = in_stanzas.flat_map(|(section, stanza)| section.rows.iter().map(move |row| (stanza, row)));
    for (stanza, row) in rows().map(|row| ("", row)).chain(fields) {
        for key in row.keys().flat_map(expanded) {
            let of = |value: Value| {
                let mut with = document(&key, value);
                match stanza {
                    "" => {}
                    "watch" if key.starts_with("http") => with["type"] = json!("nodes"),
                    "watch" => merge(&mut with, json!({"type": "nodes", "args": ["x"]})),
                    _ => merge(&mut with, json!({"name": "x"})),
                }
                document(stanza, with)
            };
            assert!(may_be(&of(row.kind.sample())), "{stanza} {key}");
            assert!(read(&of(json!([{}]))).is_err(), "{stanza} {key}");
            assert!(row.kind.label != "time" || read(&of(json!("7"))).is_err(), "{stanza} {key}");
        }
    }
}

/// Adds what is not there yet.
fn merge(into: &mut Value, other: Value) {
    if let (Value::Object(into), Value::Object(other)) = (into, other) {
        for (key, value) in other {
            match into.get_mut(&key) {
                Some(there) => merge(there, value),
                None => drop(into.insert(key, value)),
            }
        }
    }
}

#[test]
fn a_reload_applies_what_the_rows_say() {
    let mut wrong = Vec::new();
    for (row, key) in rows().flat_map(|row| row.keys().flat_map(expanded).map(move |key| (row, key))) {
        let (mut found, mut refused) = (Vec::new(), Vec::new());
        for node in NODES {
            let node = Value::Object(hcl::parse(&format!("{node} {EVERYTHING}")).unwrap());
            let taken = |document: &Value| configured(document).map(|config| Config { ignored: Vec::new(), ..config });
            let old = taken(&node).unwrap();
            let other = (row.kind.sample == "true").then_some(Value::Bool(false));
            for sample in [row.kind.sample()].into_iter().chain(other) {
                let mut changed = document(&key, sample);
                merge(&mut changed, node.clone());
                match taken(&changed) {
                    Ok(new) if format!("{old:?}") != format!("{new:?}") => found.push(needs_restart(&old, &new)),
                    Ok(_) => {}
                    Err(error) => refused.push(error),
                }
            }
        }
        let as_said = found.iter().all(|restart| restart.is_empty() == row.reload);
        if found.is_empty() != WITHOUT_EFFECT.contains(&&*key) || !as_said {
            wrong.push(format!("{key}: changes {found:?}, refused {refused:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_flag_is_named_and_its_default_is_that_of_its_row() {
    let command = AgentFlags::augment_args(Command::new("agent"));
    let mut flags = BTreeSet::new();
    for argument in command.get_arguments() {
        let Some(name) = argument.get_long() else { continue };
        let aliases = argument.get_visible_aliases().unwrap_or_default();
        flags.extend([name].into_iter().chain(aliases).map(|name| format!("-{name}")));
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let default = help.split_once("[default: ").and_then(|(_, rest)| rest.strip_suffix(']'));
        let Some(row) = rows().find(|row| row.flag == format!("-{name}")) else { continue };
        if let Some(default) = default.filter(|default| !default.contains(' ') && !default.starts_with("-a")) {
            assert_eq!(row.otherwise().trim_matches('`'), default, "{name}");
        }
    }
    let alone = FLAGS.iter().map(|(flag, _)| *flag);
    let of_rows = rows().map(|row| row.flag).filter(|flag| !flag.is_empty());
    let named = of_rows.chain(alone).chain(IGNORED_FLAGS.iter().chain(REFUSED_FLAGS).copied());
    assert_eq!(flags, named.map(String::from).collect());
}

#[test]
fn both_examples_say_the_same() {
    let hcl = with(HCL);
    let json = configured(&serde_json::from_str(JSON).unwrap()).unwrap();
    assert_eq!(format!("{hcl:?}"), format!("{json:?}"));
}

#[test]
fn the_page_is_what_the_table_makes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/settings.md");
    let page = page();
    if env::var_os("LICTOR_WRITE_DOCS").is_some() {
        return fs::write(path, page).unwrap();
    }
    let written = fs::read_to_string(path).unwrap();
    let differs = written.lines().zip(page.lines()).find(|(written, made)| written != made);
    assert_eq!(differs, None, "make it anew with LICTOR_WRITE_DOCS=1 (see settings.rs)");
    assert_eq!(written.lines().count(), page.lines().count());
}
