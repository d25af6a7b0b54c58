//! `lictor members`: the members that an agent knows, as Consul's table.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    process::ExitCode,
};

use anyhow::Context;
use clap::{ArgAction::Set, Args};
use regex::Regex;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    arguments::go_bool,
    format::{FormatFlags, json},
    query::Query,
    table::aligned,
    target::{self, HttpFlags},
};

/// Exit code when no member matches: Consul's.
const NO_MATCH: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  All members, as this host's agent sees them:
    lictor members
  Only those that failed; the exit code is 2 if there is none:
    lictor members -status=failed
  For a program:
    lictor members -format=json";

/// Flags of `members`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub struct MembersFlags {
    /// Every tag of each member
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    pub detailed: bool,
    /// The servers of all datacenters instead
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    pub wan: bool,
    /// Only members whose status matches: alive, leaving, left, failed
    #[arg(long, value_name = "REGEX", default_value = ".*", hide_default_value = true)]
    pub status: String,
    /// Only members of this segment
    #[arg(long, value_name = "NAME", default_value = "_all", hide = true)]
    pub segment: String,
    #[command(flatten)]
    pub format: FormatFlags,
    #[command(flatten)]
    pub http: HttpFlags,
}

/// A member as `/v1/agent/members` says it. Fields that no table shows are left out.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Member {
    /// Node name; with the datacenter in the WAN pool.
    pub name: String,
    addr: String,
    port: u16,
    #[serde(default, deserialize_with = "null_is_empty")]
    tags: BTreeMap<String, String>,
    status: u8,
}

/// An agent without members or tags may say `null`, as Go does for an empty map.
fn null_is_empty<'de, D: Deserializer<'de>>(input: D) -> Result<BTreeMap<String, String>, D::Error> {
    Option::deserialize(input).map(Option::unwrap_or_default)
}

impl Member {
    /// The status in words (Serf's `MemberStatus`).
    pub fn status(&self) -> &'static str {
        match self.status {
            0 => "none",
            1 => "alive",
            2 => "leaving",
            3 => "left",
            4 => "failed",
            _ => "unknown",
        }
    }

    fn tag(&self, name: &str) -> &str {
        self.tags.get(name).map_or("", String::as_str)
    }

    /// `IP:PORT`, an IPv6 address in brackets.
    fn address(&self) -> String {
        match self.addr.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, self.port).to_string(),
            Err(_) => format!(":{}", self.port),
        }
    }

    /// A server is of every segment; a sidecar without one is of the default one.
    fn segment(&self) -> &str {
        match (self.tag("role"), self.tag("segment")) {
            ("consul", _) => "<all>",
            (_, "") => "<default>",
            (_, segment) => segment,
        }
    }

    fn row(&self) -> Vec<String> {
        let known = match self.tag("role") {
            "consul" => "server",
            "node" => "client",
            _ => {
                return [&self.name, &self.address(), self.status(), "unknown", "", "", "", ""]
                    .map(String::from)
                    .into();
            }
        };
        let build = match self.tag("build") {
            "" => "< 0.3",
            build => build.split(':').next().unwrap_or(build),
        };
        [&self.name, &self.address(), self.status(), known, build, self.tag("vsn"), self.tag("dc"), self.segment()]
            .map(String::from)
            .into()
    }

    fn detailed_row(&self) -> Vec<String> {
        let mut tags = self.tags.clone();
        tags.insert("segment".into(), self.segment().into());
        let tags: Vec<String> = tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
        vec![self.name.clone(), self.address(), self.status().into(), tags.join(",")]
    }
}

/// Prints the members that match.
///
/// # Errors
/// The expression is none, the agent gave no members, or `out` cannot be written to.
pub async fn run(flags: MembersFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let status = Regex::new(&flags.status)
        .map_err(|error| anyhow::anyhow!("Failed to compile status regexp: {}", last_line(&error.to_string())))?;
    let agent = target::agent(&flags.http)?;
    let query = Query::new("/v1/agent/members").pair("segment", &flags.segment);
    let query = query.maybe("wan", flags.wan.then_some("1"));
    let members: Option<Vec<Member>> = agent.get(query.as_str()).await.context("Error retrieving members")?;
    let mut members = members.unwrap_or_default();
    members.retain(|member| status.is_match(member.status()));
    if members.is_empty() {
        return Ok(ExitCode::from(NO_MATCH));
    }
    let text = match (flags.format.is_json(), flags.detailed) {
        (true, _) => json(&sorted(members))?,
        (false, true) => detailed_table(members),
        (false, false) => table(members),
    };
    write!(out, "{text}")?;
    Ok(ExitCode::SUCCESS)
}

/// The regex crate draws a picture over several lines; its last one says what is wrong.
fn last_line(text: &str) -> &str {
    text.lines().last().map_or(text, |line| line.trim_start_matches("error: "))
}

/// Consul's table: servers first, by name.
pub fn table(members: Vec<Member>) -> String {
    let header = ["Node", "Address", "Status", "Type", "Build", "Protocol", "DC", "Segment"];
    aligned(&header, sorted(members).iter().map(Member::row))
}

fn detailed_table(members: Vec<Member>) -> String {
    aligned(&["Node", "Address", "Status", "Tags"], sorted(members).iter().map(Member::detailed_row))
}

fn sorted(mut members: Vec<Member>) -> Vec<Member> {
    members.sort_by(|one, other| (one.segment(), &one.name).cmp(&(other.segment(), &other.name)));
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members() -> Vec<Member> {
        let answer = r#"[
            {"Name": "web-1", "Addr": "10.0.0.21", "Port": 8301, "Status": 4,
             "Tags": {"build": "1.10.12:deadbeef", "dc": "dc1", "role": "node", "segment": "", "vsn": "2"}},
            {"Name": "server-2", "Addr": "fd00::2", "Port": 8301, "Status": 1,
             "Tags": {"build": "1.10.12", "dc": "dc1", "role": "consul", "segment": "", "vsn": "2"}},
            {"Name": "server-1", "Addr": "10.0.0.1", "Port": 8301, "Status": 1,
             "Tags": {"build": "1.10.12", "dc": "dc1", "role": "consul", "segment": "", "vsn": "2"}},
            {"Name": "stranger", "Addr": "10.0.0.9", "Port": 7946, "Status": 3, "Tags": null}
        ]"#;
        serde_json::from_str(answer).unwrap()
    }

    #[test]
    fn the_table_is_consuls() {
        let expected = [
            "Node      Address         Status  Type     Build    Protocol  DC   Segment",
            "server-1  10.0.0.1:8301   alive   server   1.10.12  2         dc1  <all>",
            "server-2  [fd00::2]:8301  alive   server   1.10.12  2         dc1  <all>",
            "stranger  10.0.0.9:7946   left    unknown                          ",
            "web-1     10.0.0.21:8301  failed  client   1.10.12  2         dc1  <default>",
        ];
        assert_eq!(table(members()).lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_detailed_table_has_every_tag() {
        let table = detailed_table(members());
        assert!(table.starts_with("Node      Address"));
        assert!(table.contains("  failed  build=1.10.12:deadbeef,dc=dc1,role=node,segment=<default>,vsn=2\n"));
        assert!(table.contains("  left    segment=<default>\n"));
    }
}
