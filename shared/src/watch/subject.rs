//! What is watched: the path to ask, and which part of its answer is new.

use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

use crate::http::query::encode;

/// The kinds there are, for messages.
const KINDS: &str = "service, services, nodes, checks, key, keyprefix or event";

/// What a handler is given of a key that is not there.
const NOTHING: &str = "null";

/// What is to be watched, by Consul's names; which of it makes sense depends on the kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `service`, `services`, `nodes`, `checks`, `key`, `keyprefix` or `event`.
    pub kind: String,
    /// A service (service, checks).
    pub service: Option<String>,
    /// Only instances with all of these (service).
    pub tags: Vec<String>,
    /// Only instances whose checks all pass (service).
    pub passing_only: bool,
    /// Only checks in this state (checks).
    pub state: Option<String>,
    /// Only events of this name (event).
    pub name: Option<String>,
    /// Only what this is true for (service, services, nodes, checks).
    pub filter: Option<String>,
    /// A key (key).
    pub key: Option<String>,
    /// A prefix of keys (keyprefix).
    pub prefix: Option<String>,
    /// Another datacenter than that of who is asked (all but event).
    pub datacenter: Option<String>,
    /// Whether an answer that may be old will do (all but event).
    pub stale: bool,
    /// Who asks.
    pub token: Option<String>,
}

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Its kind, for messages.
    pub kind: String,
    /// What to ask.
    pub path: String,
    /// Whether answers are lists of events: only the new ones count, and an index is no number that grows.
    pub is_event: bool,
}

impl Subject {
    /// What is wanted, if it can be watched.
    ///
    /// # Errors
    /// A sentence: an unknown kind, or something that does not belong to it, so that nobody believes in a filter that
    /// is not applied.
    pub fn of(wanted: &Wanted) -> Result<Self, String> {
        let kind = wanted.kind.as_str();
        let known: &[&str] = match kind {
            "" => return Err(format!("Watch type must be specified: {KINDS}")),
            "service" => &["service", "tag", "passingonly", "filter"],
            "services" | "nodes" => &["filter"],
            "checks" => &["service", "state", "filter"],
            "event" => &["name"],
            "key" => &["key"],
            "keyprefix" => &["prefix"],
            other => return Err(format!("Unsupported watch type: {other} (try {KINDS})")),
        };
        wanted.refuse_others(known)?;
        let path = match kind {
            "service" => format!("/v1/health/service/{}", encode(named(wanted.service.as_deref(), "service")?)),
            "checks" => wanted.checks()?,
            "key" => format!("/v1/kv/{}", encode(named(wanted.key.as_deref(), "key")?)),
            "keyprefix" => format!("/v1/kv/{}", encode(named(wanted.prefix.as_deref(), "prefix")?)),
            "event" => "/v1/event/list".into(),
            _ => format!("/v1/catalog/{kind}"),
        };
        let is_event = kind == "event";
        Ok(Self { kind: kind.into(), path: path + &wanted.parameters(is_event), is_event })
    }

    /// The document to hand on: for events only those after the one whose index was seen last, of a key its row.
    ///
    /// # Errors
    /// The answer is no list of them.
    pub fn news(&self, answer: Bytes, seen: u64) -> Result<Bytes, serde_json::Error> {
        match self.kind.as_str() {
            "event" => after(&answer, seen).map(Bytes::from),
            // Of a key, or a prefix, that is not there.
            "key" | "keyprefix" if answer.is_empty() => Ok(Bytes::from_static(NOTHING.as_bytes())),
            "key" => only(&answer),
            _ => Ok(answer),
        }
    }

    /// Whether an answer that says that nothing is there is one like others.
    #[must_use]
    pub fn may_be_absent(&self) -> bool {
        matches!(self.kind.as_str(), "key" | "keyprefix")
    }
}

/// What a kind of watch cannot do without.
fn named<'a>(name: Option<&'a str>, what: &str) -> Result<&'a str, String> {
    name.filter(|name| !name.is_empty()).ok_or_else(|| format!("the {what} to watch is not named ({what})"))
}

/// The row of a key alone: what stands between the brackets of its list, in the order in which the agent wrote it.
fn only(list: &Bytes) -> Result<Bytes, serde_json::Error> {
    let [_] = <[IgnoredAny; 1]>::deserialize(&mut serde_json::Deserializer::from_slice(list))?;
    let (begin, end) = (list.iter().position(|byte| *byte == b'['), list.iter().rposition(|byte| *byte == b']'));
    Ok(begin.zip(end).map_or_else(Bytes::new, |(begin, end)| list.slice(begin + 1..end)))
}

impl Wanted {
    fn refuse_others(&self, known: &[&str]) -> Result<(), String> {
        let given = [
            ("service", self.service.is_some()),
            ("tag", !self.tags.is_empty()),
            ("passingonly", self.passing_only),
            ("state", self.state.is_some()),
            ("name", self.name.is_some()),
            ("filter", self.filter.is_some()),
            ("key", self.key.is_some()),
            ("prefix", self.prefix.is_some()),
        ];
        match given.iter().find(|(name, given)| *given && !known.contains(name)) {
            Some((name, _)) => Err(format!("{name} means nothing for a watch of type {}", self.kind)),
            None => Ok(()),
        }
    }

    fn checks(&self) -> Result<String, String> {
        match (&self.service, &self.state) {
            (Some(_), Some(_)) => Err("Cannot specify service and state".into()),
            (Some(service), None) => Ok(format!("/v1/health/checks/{}", encode(service))),
            (None, state) => Ok(format!("/v1/health/state/{}", encode(state.as_deref().unwrap_or("any")))),
        }
    }

    /// What follows the path.
    fn parameters(&self, is_event: bool) -> String {
        let mut pairs: Vec<(&str, &str)> = self.tags.iter().map(|tag| ("tag", tag.as_str())).collect();
        pairs.extend(self.passing_only.then_some(("passing", "1")));
        pairs.extend(self.prefix.is_some().then_some(("recurse", "")));
        pairs.extend(self.filter.as_deref().map(|filter| ("filter", filter)));
        pairs.extend(self.name.as_deref().map(|name| ("name", name)));
        if !is_event {
            pairs.extend(self.datacenter.as_deref().map(|datacenter| ("dc", datacenter)));
            pairs.extend(self.stale.then_some(("stale", "")));
        }
        pairs.extend(self.token.as_deref().map(|token| ("token", token)));
        let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
    }
}

#[derive(Deserialize)]
struct EventId {
    #[serde(rename = "ID")]
    id: String,
}

/// The events that follow the one with that index; all of them if it is not in the list.
fn after(events: &[u8], seen: u64) -> Result<Vec<u8>, serde_json::Error> {
    let events: Option<Vec<Value>> = serde_json::from_slice(events)?;
    let events = events.unwrap_or_default();
    let known = events.iter().position(|event| {
        EventId::deserialize(event).is_ok_and(|event| seen != 0 && index_of(&event.id) == Some(seen))
    });
    serde_json::to_vec(&events[known.map_or(0, |known| known + 1)..])
}

/// The index that an event list has when this event is its last: the two halves of the UUID, combined by exclusive or.
fn index_of(id: &str) -> Option<u64> {
    let digits: String = id.chars().filter(|character| *character != '-').collect();
    let number = u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 32)?;
    let (upper, lower) = ((number >> 64) as u64, number as u64);
    Some(upper ^ lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &str) -> Wanted {
        Wanted { kind: kind.into(), ..Wanted::default() }
    }

    #[test]
    fn each_kind_asks_its_endpoint() {
        let some = |text: &str| Some(text.to_string());
        for (wanted, expected) in [
            (of("services"), "/v1/catalog/services"),
            (
                Wanted { filter: some("a==b"), datacenter: some("dc2"), stale: true, ..of("nodes") },
                "/v1/catalog/nodes?filter=a%3D%3Db&dc=dc2&stale=",
            ),
            (
                Wanted { service: some("web"), tags: vec!["x".into()], passing_only: true, ..of("service") },
                "/v1/health/service/web?tag=x&passing=1",
            ),
            (of("checks"), "/v1/health/state/any"),
            (Wanted { state: some("critical"), ..of("checks") }, "/v1/health/state/critical"),
            (Wanted { service: some("a/b"), ..of("checks") }, "/v1/health/checks/a%2Fb"),
            (Wanted { key: some("a/b c"), ..of("key") }, "/v1/kv/a%2Fb%20c"),
            (Wanted { prefix: some("a/"), stale: true, ..of("keyprefix") }, "/v1/kv/a%2F?recurse=&stale="),
            (Wanted { name: some("deploy"), datacenter: some("dc2"), ..of("event") }, "/v1/event/list?name=deploy"),
        ] {
            assert_eq!(Subject::of(&wanted).unwrap().path, expected);
        }
    }

    #[test]
    fn what_cannot_be_watched_is_refused() {
        let some = |text: &str| Some(text.to_string());
        for (wanted, part) in [
            (of(""), "Watch type must be specified"),
            (of("key"), "the key to watch is not named"),
            (Wanted { key: some("a"), ..of("keyprefix") }, "key means nothing"),
            (of("nods"), "Unsupported watch type: nods"),
            (of("service"), "not named"),
            (Wanted { state: some("any"), service: some("web"), ..of("checks") }, "Cannot specify"),
            (Wanted { service: some("web"), ..of("nodes") }, "service means nothing for a watch of type nodes"),
        ] {
            let error = Subject::of(&wanted).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn the_row_of_a_key_is_handed_on_and_null_where_there_is_none() {
        for (kind, answer, document) in [
            ("key", r#"[{"B":1,"A":2}]"#, r#"{"B":1,"A":2}"#),
            ("key", "", "null"),
            ("keyprefix", r#"[{"A":2}]"#, r#"[{"A":2}]"#),
            ("keyprefix", "", "null"),
        ] {
            let wanted = Wanted { key: Some("a".into()), ..of("key") };
            let subject = Subject { kind: kind.into(), ..Subject::of(&wanted).unwrap() };
            assert_eq!(subject.news(Bytes::from(answer), 1).unwrap(), document);
            assert!(subject.may_be_absent());
        }
    }

    #[test]
    fn only_new_events_are_news() {
        let subject = Subject::of(&of("event")).unwrap();
        let first = "00000000-0000-0001-0000-000000000003";
        let events = format!(r#"[{{"ID":"{first}"}},{{"ID":"00000000-0000-0001-0000-000000000004"}}]"#);
        let news = |seen| {
            let news = subject.news(Bytes::from(events.clone()), seen).unwrap();
            serde_json::from_slice::<Vec<Value>>(&news).unwrap().len()
        };
        assert_eq!(index_of(first), Some(2));
        assert_eq!((news(0), news(2), news(5), news(77)), (2, 1, 0, 2));
        assert_eq!(index_of("no-uuid"), None);
        assert_eq!(subject.news(Bytes::from("null"), 1).unwrap(), "[]");
        assert!(subject.news(Bytes::from("{}"), 1).is_err());
    }
}
