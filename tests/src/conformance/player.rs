//! Plays the steps of a scenario against an agent and gives each answer in the form of the recordings.

use std::{thread, time::Duration};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{RData, Record, RecordType},
};
use serde_json::{Map, Value, json};

use crate::{
    agent::Agent,
    conformance::{mask::Mask, scenario::Step},
    dns::Transport,
    wait,
};

/// Longest time until a new agent has registered itself.
const REGISTRATION_LIMIT: Duration = Duration::from_secs(20);
/// Letters of a text body that are kept.
const TEXT_KEPT: usize = 2000;
/// The headers whose presence is compared.
const HEADERS: [&str; 3] = ["X-Consul-Index", "X-Consul-Knownleader", "X-Consul-Lastcontact"];

/// The JSON pointer of a place: `0.ModifyIndex`, `.ID`.
fn pointer(place: &str) -> String {
    format!("/{}", place.trim_start_matches('.').replace('.', "/"))
}

/// Starts an agent with `config`, plays the steps and returns each step's text with its answer.
///
/// # Panics
/// The agent does not start.
#[must_use]
pub fn play(config: &Value, steps: &[Step]) -> Vec<(String, Value)> {
    let agent = start(config);
    let mut player = Player { mask: Mask::new(&agent.ports), agent, kept: Vec::new() };
    let mut answers = Vec::new();
    for step in steps {
        let (verb, rest) = step.head.split_once(' ').unwrap_or((&step.head, ""));
        if verb == "SLEEP" {
            // The conversation was recorded with this pause in it.
            thread::sleep(Duration::from_secs_f64(rest.parse().unwrap_or_default()));
            continue;
        }
        let answer = if verb.starts_with("DNS") { player.question(verb, rest) } else { player.request(step) };
        answers.push((step.head.clone(), answer.unwrap_or_else(|error| json!({ "no_answer": error }))));
    }
    answers
}

fn start(config: &Value) -> Agent {
    let mut agent = Agent::dev("node-a").with_config_directory();
    // What the agent has become is asked with the token that may know; steps bring their own.
    if let Some(token) = config.pointer("/acl/tokens/master").and_then(Value::as_str) {
        agent = agent.shown(token.to_owned().leak());
    }
    let mut file = json!({"datacenter": "dc1", "node_id": "11111111-2222-3333-4444-555555555555"});
    for (name, value) in config.as_object().into_iter().flatten() {
        file[name] = value.clone();
    }
    agent.write_file("scenario.json", &file.to_string());
    let agent = agent.started();
    wait::until("the agent has registered itself", REGISTRATION_LIMIT, || {
        let status = agent.check_status("node-a", "serfHealth")?;
        let servers = agent.passing("consul")?;
        // The leader makes the node's row, and the agent completes it.
        let node = agent.http().json("/v1/catalog/node/node-a")?["Node"].take();
        let is_complete = node["Meta"].is_object();
        wait::ensure(status.as_deref() == Some("passing") && servers == ["consul"] && is_complete, || {
            format!("{status:?} {servers:?} {node}")
        })
    });
    agent
}

struct Player {
    agent: Agent,
    mask: Mask,
    kept: Vec<(String, String)>,
}

impl Player {
    fn fill(&self, text: &str) -> String {
        let kept = self.kept.iter().rev();
        kept.fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
    }

    fn request(&mut self, step: &Step) -> Result<Value, String> {
        let head = self.fill(&step.head);
        let (method, path) = head.split_once(' ').unwrap_or((&head, "/"));
        let headers: Vec<(&str, String)> =
            step.headers.iter().map(|(name, value)| (name.as_str(), self.fill(value))).collect();
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let body = self.fill(&step.body);
        let reply = self.agent.http().showing(None).with_time_out(Duration::from_secs(30)).send(
            method,
            path,
            &headers,
            body.as_bytes(),
        )?;
        let present = HEADERS.iter().filter(|name| reply.header(&name.to_ascii_lowercase()).is_some());
        let mut answer = json!({
            "status": reply.status,
            "type": reply.header("content-type").unwrap_or_default().split(';').next(),
            "headers": present.collect::<Vec<_>>(),
        });
        match serde_json::from_slice::<Value>(&reply.body) {
            Ok(parsed) => {
                for (name, place) in &step.captures {
                    let field = parsed.pointer(&pointer(place)).cloned().unwrap_or_default();
                    self.kept.push((name.clone(), field.as_str().map_or(field.to_string(), str::to_owned)));
                }
                let parsed = self.ordered(path, parsed, &reply.text());
                answer["json"] = self.mask.value(&parsed, "");
            }
            Err(_) => {
                let kept: String = self.mask.text(&reply.text()).chars().take(TEXT_KEPT).collect();
                answer["text"] = kept.into();
            }
        }
        Ok(answer)
    }

    /// Sorts what comes in no order, and shows the mask the UUIDs in the order that is compared.
    fn ordered(&mut self, path: &str, mut parsed: Value, text: &str) -> Value {
        if path.starts_with("/v1/catalog/services") {
            for tags in parsed.as_object_mut().into_iter().flat_map(Map::values_mut).filter_map(Value::as_array_mut) {
                tags.sort_by_key(Value::to_string);
            }
        }
        if path.contains("/execute") && parsed.is_object() {
            let mut nodes = parsed["Nodes"].as_array_mut().map(std::mem::take).unwrap_or_default();
            nodes.sort_by_key(|node| node["Node"]["Node"].to_string());
            parsed["Nodes"] = nodes.into();
            self.mask.show(&parsed.to_string());
        } else {
            self.mask.show(text);
        }
        parsed
    }

    fn question(&mut self, verb: &str, rest: &str) -> Result<Value, String> {
        let transport = match verb {
            "DNS-PLAIN" => Transport::UdpPlain,
            "DNS-TCP" => Transport::Tcp,
            _ => Transport::Udp,
        };
        let filled = self.fill(rest);
        let (name, kind) = filled.split_once(' ').ok_or("a question is NAME TYPE")?;
        let kind: RecordType = kind.trim().parse().map_err(|error| format!("{kind}: {error}"))?;
        let reply = self.agent.dns().ask(transport, name, kind)?;
        Ok(json!({
            "rcode": code(reply.metadata.response_code),
            "flags": flags(&reply),
            "answer": self.rows(&reply.answers),
            "authority": self.rows(&reply.authorities),
            "additional": self.rows(&reply.additionals),
            "edns": reply.edns.is_some(),
        }))
    }

    /// The records as text, sorted; the same record twice counts once, as it does for a resolver.
    fn rows(&mut self, records: &[Record]) -> Vec<String> {
        let mut rows: Vec<String> = records.iter().map(|record| self.mask.text(&row(record))).collect();
        rows.sort_unstable();
        rows.dedup();
        rows
    }
}

fn row(record: &Record) -> String {
    let data = match &record.data {
        RData::SOA(soa) => {
            format!("{} {} <serial> {} {} {} {}", soa.mname, soa.rname, soa.refresh, soa.retry, soa.expire, soa.minimum)
        }
        RData::TXT(text) => {
            let parts = text.txt_data.iter().map(|part| format!("\"{}\"", String::from_utf8_lossy(part)));
            parts.collect::<Vec<_>>().join(" ")
        }
        data => data.to_string(),
    };
    format!("{} {} {} {data}", record.name, record.ttl, record.data.record_type())
}

fn code(code: ResponseCode) -> &'static str {
    match code {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        _ => "another code",
    }
}

fn flags(reply: &Message) -> String {
    let metadata = &reply.metadata;
    let flags = [
        (true, "QR"),
        (metadata.authoritative, "AA"),
        (metadata.truncation, "TC"),
        (metadata.recursion_desired, "RD"),
        (metadata.recursion_available, "RA"),
        (metadata.authentic_data, "AD"),
        (metadata.checking_disabled, "CD"),
    ];
    let set: Vec<&str> = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, name)| *name).collect();
    set.join(" ")
}
