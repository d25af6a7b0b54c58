//! What is watched: the path to ask, and which part of its answer is new.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use crate::http::query::encode;

/// The kinds there are, for messages.
const KINDS: &str = "service, services, nodes, checks or event";

/// What is to be watched, by Consul's names; which of it makes sense depends on the kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `service`, `services`, `nodes`, `checks` or `event`.
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
    /// Only what this is true for (all but event).
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
            "key" | "keyprefix" => return Err(format!("{kind}: this version has no key/value store to watch")),
            other => return Err(format!("Unsupported watch type: {other} (try {KINDS})")),
        };
        wanted.refuse_others(known)?;
        let path = match kind {
            "service" => {
                let service = wanted.service.as_deref().filter(|name| !name.is_empty());
                format!("/v1/health/service/{}", encode(service.ok_or("the service to watch is not named (service)")?))
            }
            "checks" => wanted.checks()?,
            "event" => "/v1/event/list".into(),
            _ => format!("/v1/catalog/{kind}"),
        };
        let is_event = kind == "event";
        Ok(Self { kind: kind.into(), path: path + &wanted.parameters(is_event), is_event })
    }

    /// The document to hand on: for events only those after the one whose index was seen last.
    ///
    /// # Errors
    /// The answer is no list of events.
    pub fn news(&self, answer: Bytes, seen: u64) -> Result<Bytes, serde_json::Error> {
        if self.is_event { after(&answer, seen).map(Bytes::from) } else { Ok(answer) }
    }
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
            (Wanted { key: some("a"), ..of("key") }, "no key/value store"),
            (of("keyprefix"), "no key/value store"),
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
