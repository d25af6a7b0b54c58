//! Every setting, and the page of the book about them (`docs/src/settings.md`), which is made of `table` and of what
//! `keys` has. The tests hold the table against what is read from files, against the flags, and against what a reload
//! applies. After a change of the table:
//!
//! ```text
//! LICTOR_WRITE_DOCS=1 cargo test -p lictor-shared --lib config::settings
//! ```

mod table;
mod tests;

use std::fmt::Write;

use serde_json::{Value, json};

use self::table::{DEFINITIONS, FLAGS, IGNORED_FLAGS, IGNORED_IN_DEFINITIONS, IGNORED_WITHIN, REFUSED_FLAGS, SECTIONS};
use super::{
    Config, decode, hcl,
    host::{Host, Interface},
    keys,
    partial::Partial,
    resolve,
};
use crate::agent::definition::DefinitionError;

/// A reload applies it.
const RELOAD: bool = true;
/// It is read at the start alone.
const RESTART: bool = false;
/// A host with one private address.
const HOST: Host = Host {
    interfaces: || Ok(vec![Interface { name: "eth0".into(), address: [10, 0, 0, 1].into(), prefix: 8 }]),
    variable: |_| None,
};
/// The longest line of the page that can be broken.
const WIDTH: usize = 120;

/// Settings that belong together.
struct Section {
    title: &'static str,
    intro: &'static str,
    rows: &'static [Row],
}

/// A setting.
struct Row {
    /// As in files, dotted where it is in a stanza; others that mean the same after it. A `*` is [`expanded`].
    keys: &'static str,
    /// Empty: none.
    flag: &'static str,
    kind: Kind,
    otherwise: Otherwise,
    reload: bool,
    meaning: &'static str,
}

/// What a setting may be.
struct Kind {
    label: &'static str,
    /// In JSON; for a setting with a default that is a constant, another than that.
    sample: &'static str,
}

/// What it is where nothing is said.
enum Otherwise {
    /// In Markdown; empty: nothing.
    Words(&'static str),
    /// The same, taken from a configuration in which nothing is said.
    Of(fn(&Config) -> String),
}

const fn kind(label: &'static str, sample: &'static str) -> Kind {
    Kind { label, sample }
}

const fn words(text: &'static str) -> Otherwise {
    Otherwise::Words(text)
}

const fn of(read: fn(&Config) -> String) -> Otherwise {
    Otherwise::Of(read)
}

impl Kind {
    fn sample(&self) -> Value {
        serde_json::from_str(self.sample).unwrap()
    }
}

impl Row {
    fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.keys.split_whitespace()
    }

    fn otherwise(&self) -> String {
        let read = match self.otherwise {
            Otherwise::Words(text) => return text.into(),
            Otherwise::Of(read) => read,
        };
        match (read(&with("")), read(&with("server = true data_dir = \"/x\""))) {
            (both, at_server) if both == at_server => both,
            (sidecar, server) if sidecar.is_empty() => server,
            (sidecar, server) if server.is_empty() => sidecar,
            (sidecar, server) => format!("sidecars {sidecar}, servers {server}"),
        }
    }

    /// Its line in a table.
    fn line(&self, tells_reload: bool) -> String {
        let mut keys = self.keys().map(|key| format!("`{key}`"));
        let first = keys.next().unwrap();
        let flag = (!self.flag.is_empty()).then(|| format!("`{}`", self.flag));
        let names: Vec<_> = [first].into_iter().chain(flag).chain(keys.map(|key| format!("or {key}"))).collect();
        let reload = if tells_reload && self.reload { "*reload*" } else { "" };
        let kind = [self.kind.label, &self.otherwise(), reload];
        let kind: Vec<&str> = kind.into_iter().filter(|text| !text.is_empty()).collect();
        format!("| {} | {} | {} |\n", names.join("<br>"), kind.join("<br>"), self.meaning)
    }
}

/// A key for each stanza that `tls.*` stands for; in a map a `*` is any name.
fn expanded(key: &str) -> Vec<String> {
    match key.strip_prefix("tls.*") {
        Some(rest) => ["defaults", "internal_rpc", "https", "grpc"].map(|stanza| format!("tls.{stanza}{rest}")).into(),
        None => vec![key.replace('*', "x")],
    }
}

/// A document in which that key has that value.
fn document(key: &str, value: Value) -> Value {
    key.rsplit('.').filter(|part| !part.is_empty()).fold(value, |value, part| json!({ part: value }))
}

fn read(document: &Value) -> Result<Partial, DefinitionError> {
    decode::decode(document)
}

/// The configuration of a node whose files say that, on [`HOST`].
fn configured(document: &Value) -> Result<Config, String> {
    let said = read(document).map_err(|error| error.explain())?;
    let named = Partial { node_name: Some("n".into()), ..Partial::default() };
    resolve::resolve(named.then(said), HOST).map_err(|error| error.to_string())
}

/// The same of a text in HCL.
fn with(text: &str) -> Config {
    configured(&Value::Object(hcl::parse(text).unwrap())).unwrap_or_else(|error| panic!("{text}: {error}"))
}

const HCL: &str = r#"datacenter = "dc1"
data_dir   = "/var/lib/lictor"
retry_join = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
ports      { dns = 53 }

service {
  name = "web"
  port = 8080
  check {
    http     = "http://127.0.0.1:8080/health"
    interval = "10s"
  }
}
"#;

const JSON: &str = r#"{
  "datacenter": "dc1",
  "data_dir": "/var/lib/lictor",
  "retry_join": ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
  "ports": {"dns": 53},
  "service": {
    "name": "web",
    "port": 8080,
    "check": {"http": "http://127.0.0.1:8080/health", "interval": "10s"}
  }
}
"#;

const INTRODUCTION: &str = "Settings come from files, which `-config-file` and `-config-dir` name, and from flags. A \
    file is HCL (`.hcl`, version 1 of the language) or JSON (`.json`):";

const RULES: &[&str] = &[
    "Files are read in the order given, those of a directory in name order, then `-hcl`, the environment, and flags. \
     What comes later wins; lists grow, and maps are merged by key.",
    "Keys count in any letter case, with underscores or without. One that nobody knows is an error that names the file \
     and the key.",
    "A time is a text with a unit: `\"300ms\"`, `\"10s\"`, `\"1h30m\"`.",
    "Flags are written `-flag=value`, or `-flag value` where they are not true or false. One for a list may be given \
     several times.",
    "`lictor validate PATH…` says whether an agent would take the files.",
    "`lictor reload`, or SIGHUP, has an agent read its files again. It applies services, checks, watches and what is \
     marked *reload* below, and warns of everything else that has changed: that takes a restart. If a file is wrong, \
     nothing changes.",
];

const TABLES: &str = "In the tables a setting's flag stands below its key; after `or` come other keys that mean the \
    same, and count where the first is not given. Its default stands below its type; where there is none, nothing is \
    set. What is different from Consul: [Differences](differences.md).";

/// The page.
fn page() -> String {
    let mut page = String::from("<!-- test: none -->\n\n# Settings\n\n");
    paragraph(&mut page, "", INTRODUCTION);
    for (language, text) in [("hcl", HCL), ("json", JSON)] {
        let _ = write!(page, "```{language}\n{text}```\n\n");
    }
    for rule in RULES {
        paragraph(&mut page, "- ", rule);
        page.pop();
    }
    page.push('\n');
    paragraph(&mut page, "", TABLES);
    for section in SECTIONS {
        table(&mut page, section, true);
    }
    for section in DEFINITIONS {
        table(&mut page, section, false);
    }
    page += "## Flags alone\n\n| flag | what it does |\n|---|---|\n";
    for (flag, meaning) in FLAGS {
        let _ = writeln!(page, "| `{flag}` | {meaning} |");
    }
    page.push('\n');
    ignored(&mut page);
    refused(&mut page);
    page.truncate(page.trim_end().len());
    page + "\n"
}

fn table(page: &mut String, section: &Section, tells_reload: bool) {
    let _ = write!(page, "## {}\n\n", section.title);
    if !section.intro.is_empty() {
        paragraph(page, "", section.intro);
    }
    *page += "| setting | type, default | what it does |\n|---|---|---|\n";
    section.rows.iter().for_each(|row| *page += &row.line(tells_reload));
    page.push('\n');
}

fn ignored(page: &mut String) {
    *page += "## Accepted and ignored\n\n";
    let intro = "Keys of Consul's that have no meaning here. Those at the top level, and most of the others, are named \
                 in one warning at the start.";
    paragraph(page, "", intro);
    paragraph(page, "", &format!("At the top level: {}.", list(keys::IGNORED)));
    for (stanza, keys) in IGNORED_WITHIN {
        paragraph(page, "- ", &format!("in `{stanza}`: {}", list(keys)));
        page.pop();
    }
    let definitions = format!("in a service, or a check at the top level: {}", list(IGNORED_IN_DEFINITIONS));
    paragraph(page, "- ", &definitions);
    paragraph(page, "", &format!("Flags: {}.", list(IGNORED_FLAGS)));
}

fn refused(page: &mut String) {
    *page += "## Refused\n\n";
    let intro = "An operator relies on these, so an agent does not start with them. What asks for no protection is let \
                 pass: `false`, `\"\"`, `{}`, and a stanza with `enabled = false`.";
    paragraph(page, "", intro);
    *page += "| setting | why |\n|---|---|\n";
    for (key, reason) in keys::REFUSED {
        let flag = format!("-{}", key.replace('_', "-"));
        let flag = REFUSED_FLAGS.iter().find(|refused| **refused == flag);
        let flag = flag.map(|flag| format!("<br>`{flag}`")).unwrap_or_default();
        let _ = writeln!(page, "| `{key}`{flag} | {reason} |");
    }
    page.push('\n');
}

fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// Adds a paragraph, or with a mark an item of a list, and an empty line.
fn paragraph(page: &mut String, mark: &str, text: &str) {
    let mut line = String::from(mark);
    for word in words_of(text) {
        if line.len() > mark.len() {
            if line.chars().count() + 1 + word.chars().count() > WIDTH {
                *page += &line;
                page.push('\n');
                line = " ".repeat(mark.len());
            } else {
                line.push(' ');
            }
        }
        line += &word;
    }
    *page += &line;
    *page += "\n\n";
}

/// The words of a text; what stands between backticks is one.
fn words_of(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut in_code = false;
    for letter in text.chars() {
        in_code ^= letter == '`';
        match words.last_mut() {
            Some(word) if letter != ' ' || in_code => word.push(letter),
            _ => words.push(String::new()),
        }
    }
    words
}
