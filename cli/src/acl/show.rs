//! How policies, roles, tokens, auth methods and binding rules are printed for people. The labels are Consul's.
//!
//! A row is printed as the agent gave it: what it does not have is not printed, and times are as they are in JSON.

use std::{fmt::Write, io};

use base64::{Engine, prelude::BASE64_STANDARD};
use clap::{ArgAction::Set, Args};
use serde_json::Value;

use crate::{
    arguments::go_bool,
    format::{FormatFlags, indented},
};

/// How to print.
#[derive(Args, Debug, Default)]
pub struct ShowFlags {
    /// Print hashes and indexes too
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    meta: bool,
    #[command(flatten)]
    format: FormatFlags,
}

/// One row as a text; whether hashes and indexes are in it.
pub type Text = fn(&Value, bool) -> String;

impl ShowFlags {
    /// Prints one row.
    ///
    /// # Errors
    /// The document is not JSON, or `out` cannot be written to.
    pub fn one(&self, out: &mut impl io::Write, document: &[u8], text: Text) -> anyhow::Result<()> {
        if self.format.is_json() {
            return Ok(write!(out, "{}", indented(document)?)?);
        }
        Ok(write!(out, "{}", text(&serde_json::from_slice(document)?, self.meta))?)
    }

    /// Prints the rows of a list.
    ///
    /// # Errors
    /// As [`ShowFlags::one`].
    pub fn list(&self, out: &mut impl io::Write, document: &[u8], between: &str, text: Text) -> anyhow::Result<()> {
        if self.format.is_json() {
            return Ok(write!(out, "{}", indented(document)?)?);
        }
        let rows: Option<Vec<Value>> = serde_json::from_slice(document)?;
        let texts: Vec<String> = rows.unwrap_or_default().iter().map(|row| text(row, self.meta)).collect();
        Ok(write!(out, "{}", texts.join(between))?)
    }
}

/// Lines with labels that are as wide as each other.
struct Lines {
    text: String,
    indent: &'static str,
    width: usize,
}

impl Lines {
    /// For labels of at most `width` characters with what follows them.
    fn new(indent: &'static str, width: usize) -> Self {
        Self { text: String::new(), indent, width }
    }

    fn line(mut self, label: &str, value: &str) -> Self {
        let (label, width) = (format!("{label}:"), self.width);
        // A text cannot fail to be written to.
        let _ = writeln!(self.text, "{}", format!("{}{label:width$}{value}", self.indent).trim_end());
        self
    }

    /// What the row has under that key.
    fn of(self, label: &str, row: &Value, key: &str) -> Self {
        self.line(label, &plain(&row[key]))
    }

    /// The same, unless the row has nothing there.
    fn maybe(self, label: &str, row: &Value, key: &str) -> Self {
        if plain(&row[key]).is_empty() { self } else { self.of(label, row, key) }
    }

    fn meta(self, row: &Value, wanted: bool) -> Self {
        if !wanted {
            return self;
        }
        let lines = match hash(&row["Hash"]) {
            Some(hash) => self.line("Hash", &hash),
            None => self,
        };
        lines.of("Create Index", row, "CreateIndex").of("Modify Index", row, "ModifyIndex")
    }

    /// What is granted, a thing each line.
    fn grants(mut self, row: &Value) -> Self {
        let link = |link: &Value| format!("{} - {}", plain(&link["ID"]), plain(&link["Name"]));
        let service = |identity: &Value| {
            let datacenters = plain(&identity["Datacenters"]);
            let datacenters = if datacenters.is_empty() { "all".into() } else { datacenters };
            format!("{} (Datacenters: {datacenters})", plain(&identity["ServiceName"]))
        };
        let node = |identity: &Value| {
            format!("{} (Datacenter: {})", plain(&identity["NodeName"]), plain(&identity["Datacenter"]))
        };
        self.things("Policies", &row["Policies"], link);
        self.things("Roles", &row["Roles"], link);
        self.things("Service Identities", &row["ServiceIdentities"], service);
        self.things("Node Identities", &row["NodeIdentities"], node);
        self
    }

    fn things(&mut self, title: &str, things: &Value, text: impl Fn(&Value) -> String) {
        let things = list(things);
        if things.is_empty() {
            return;
        }
        let _ = writeln!(self.text, "{}{title}:", self.indent);
        for thing in things {
            let _ = writeln!(self.text, "{}   {}", self.indent, text(thing));
        }
    }

    fn block(mut self, label: &str, text: &str) -> Self {
        let _ = writeln!(self.text, "{}{label}:", self.indent);
        for line in text.lines() {
            let _ = writeln!(self.text, "{}{line}", self.indent);
        }
        self
    }
}

/// A policy with its rules.
pub fn policy(row: &Value, meta: bool) -> String {
    let lines = Lines::new("", 14).of("ID", row, "ID").of("Name", row, "Name").of("Description", row, "Description");
    let lines = lines.of("Datacenters", row, "Datacenters").meta(row, meta);
    lines.block("Rules", &plain(&row["Rules"])).text
}

/// A policy in a list.
pub fn policy_in_list(row: &Value, meta: bool) -> String {
    let lines = Lines::new("   ", 14).of("ID", row, "ID").of("Description", row, "Description");
    entry(row, lines.of("Datacenters", row, "Datacenters").meta(row, meta))
}

/// A role.
pub fn role(row: &Value, meta: bool) -> String {
    let lines = Lines::new("", 14).of("ID", row, "ID").of("Name", row, "Name").of("Description", row, "Description");
    lines.meta(row, meta).grants(row).text
}

/// A role in a list.
pub fn role_in_list(row: &Value, meta: bool) -> String {
    let lines = Lines::new("   ", 14).of("ID", row, "ID").of("Description", row, "Description");
    entry(row, lines.meta(row, meta).grants(row))
}

/// A token.
pub fn token(row: &Value, meta: bool) -> String {
    let lines = Lines::new("", 18).of("AccessorID", row, "AccessorID").maybe("SecretID", row, "SecretID");
    let lines = lines.of("Description", row, "Description").of("Local", row, "Local");
    let lines = lines.maybe("Auth Method", row, "AuthMethod").of("Create Time", row, "CreateTime");
    lines.maybe("Expiration Time", row, "ExpirationTime").meta(row, meta).grants(row).text
}

/// A token with the rules of all that it has, and what counts where they say nothing.
pub fn expanded_token(row: &Value, meta: bool) -> String {
    let mut text = token(row, meta);
    for role in list(&row["ExpandedRoles"]) {
        let lines = Lines::new("      ", 14).of("ID", role, "ID").of("Description", role, "Description");
        let _ = write!(text, "Role {}:\n{}", plain(&role["Name"]), lines.grants(role).text);
    }
    for policy in list(&row["ExpandedPolicies"]) {
        let lines = Lines::new("      ", 14).of("ID", policy, "ID").of("Description", policy, "Description");
        let lines = lines.maybe("Datacenters", policy, "Datacenters").block("Rules", &plain(&policy["Rules"]));
        let _ = write!(text, "Policy {}:\n{}", plain(&policy["Name"]), lines.text);
    }
    let lines = Lines::new("", 18).of("Default Policy", row, "AgentACLDefaultPolicy");
    let lines = lines.of("Down Policy", row, "AgentACLDownPolicy").of("Resolved By", row, "ResolvedByAgent");
    text + &lines.text
}

/// An auth method.
pub fn auth_method(row: &Value, meta: bool) -> String {
    let lines = Lines::new("", 18).of("Name", row, "Name").of("Type", row, "Type");
    let lines = lines.maybe("Display Name", row, "DisplayName").of("Description", row, "Description");
    let lines = lines.maybe("Max Token TTL", row, "MaxTokenTTL").maybe("Token Locality", row, "TokenLocality");
    let configuration = indented(row["Config"].to_string().as_bytes()).unwrap_or_default();
    lines.meta(row, meta).block("Config", &configuration).text
}

/// An auth method in a list.
pub fn auth_method_in_list(row: &Value, meta: bool) -> String {
    let lines = Lines::new("   ", 16).of("Type", row, "Type").maybe("Display Name", row, "DisplayName");
    entry(row, lines.of("Description", row, "Description").meta(row, meta))
}

/// A binding rule.
pub fn binding_rule(row: &Value, meta: bool) -> String {
    rule_lines(Lines::new("", 14).of("ID", row, "ID"), row, meta).text
}

/// A binding rule in a list.
pub fn binding_rule_in_list(row: &Value, meta: bool) -> String {
    format!("{}:\n{}", plain(&row["ID"]), rule_lines(Lines::new("   ", 14), row, meta).text)
}

fn rule_lines(lines: Lines, row: &Value, meta: bool) -> Lines {
    let lines = lines.of("AuthMethod", row, "AuthMethod").of("Description", row, "Description");
    let lines = lines.of("BindType", row, "BindType").of("BindName", row, "BindName");
    lines.of("Selector", row, "Selector").meta(row, meta)
}

fn entry(row: &Value, lines: Lines) -> String {
    format!("{}:\n{}", plain(&row["Name"]), lines.text)
}

/// A value without quotes; the items of a list with commas between them.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Base64 in JSON, hexadecimal for people, as Consul.
fn hash(value: &Value) -> Option<String> {
    let bytes = BASE64_STANDARD.decode(value.as_str()?).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_has_consuls_labels() {
        let row = json!({
            "AccessorID": "a-1", "SecretID": "s-1", "Description": "for web", "Local": true, "AuthMethod": "jwt",
            "ExpirationTime": "2030-01-01T00:00:00Z", "CreateTime": "2026-01-01T00:00:00Z", "Hash": "AAEC",
            "Policies": [{"ID": "p-1", "Name": "web"}], "ServiceIdentities": [
                {"ServiceName": "web"}, {"ServiceName": "db", "Datacenters": ["dc1", "dc2"]}],
            "NodeIdentities": [{"NodeName": "n1", "Datacenter": "dc1"}], "CreateIndex": 7, "ModifyIndex": 9,
        });
        let expected = "\
AccessorID:       a-1
SecretID:         s-1
Description:      for web
Local:            true
Auth Method:      jwt
Create Time:      2026-01-01T00:00:00Z
Expiration Time:  2030-01-01T00:00:00Z
Hash:             000102
Create Index:     7
Modify Index:     9
Policies:
   p-1 - web
Service Identities:
   web (Datacenters: all)
   db (Datacenters: dc1, dc2)
Node Identities:
   n1 (Datacenter: dc1)
";
        assert_eq!(token(&row, true), expected);
        assert!(!token(&row, false).contains("Index"));
        let bare = json!({"AccessorID": "a", "Description": "", "Local": false, "CreateTime": "t"});
        assert_eq!(token(&bare, true).lines().nth(1), Some("Description:"), "no secret in a list, no space at the end");
    }

    #[test]
    fn an_expanded_token_has_its_rules() {
        let row = json!({
            "AccessorID": "a", "Description": "", "Local": false, "CreateTime": "t",
            "ExpandedRoles": [{"ID": "r", "Name": "ops", "Description": "", "Policies": [{"ID": "p", "Name": "web"}]}],
            "ExpandedPolicies": [{"ID": "p", "Name": "web", "Description": "d", "Rules": "key \"a\" {\n}"}],
            "AgentACLDefaultPolicy": "deny", "AgentACLDownPolicy": "extend-cache", "ResolvedByAgent": "n1",
        });
        let expected = "\
Role ops:
      ID:           r
      Description:
      Policies:
         p - web
Policy web:
      ID:           p
      Description:  d
      Rules:
      key \"a\" {
      }
Default Policy:   deny
Down Policy:      extend-cache
Resolved By:      n1
";
        let text = expanded_token(&row, false);
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn policies_methods_and_rules_have_consuls_labels() {
        let policy_row = json!({"ID": "p", "Name": "web", "Description": "d", "Datacenters": ["a", "b"], "Rules": "x"});
        assert_eq!(
            policy(&policy_row, false),
            "ID:           p\nName:         web\nDescription:  d\nDatacenters:  a, b\nRules:\nx\n"
        );
        assert_eq!(
            policy_in_list(&policy_row, false),
            "web:\n   ID:           p\n   Description:  d\n   Datacenters:  a, b\n"
        );
        let method = json!({"Name": "ci", "Type": "jwt", "Description": "", "Config": {"a": 1}});
        assert_eq!(
            auth_method(&method, false),
            "Name:             ci\nType:             jwt\nDescription:\nConfig:\n{\n    \"a\": 1\n}\n"
        );
        let rule = json!({"ID": "r", "AuthMethod": "ci", "BindType": "service", "BindName": "web", "Selector": "a==b"});
        let text = "AuthMethod:   ci\nDescription:\nBindType:     service\nBindName:     web\nSelector:     a==b\n";
        assert_eq!(binding_rule(&rule, false), format!("ID:           r\n{text}"));
        assert!(binding_rule_in_list(&rule, false).starts_with("r:\n   AuthMethod:   ci\n   Description:\n"));
    }
}
