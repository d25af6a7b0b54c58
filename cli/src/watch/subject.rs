//! What is watched: the endpoint to ask, and which part of its answer is new.

use anyhow::{anyhow, bail};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::{WatchFlags, refuse_others};
use crate::query::Query;

/// What is watched.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// Its kind, for messages.
    pub kind: String,
    /// What to ask.
    pub query: Query,
    /// Whether answers are lists of events: only the new ones count, and an index is no number that grows.
    pub is_event: bool,
}

impl Subject {
    /// What the flags say.
    ///
    /// # Errors
    /// An unknown kind, or flags that do not belong to it.
    pub fn of(flags: &WatchFlags) -> anyhow::Result<Self> {
        let kind = flags.kind.as_str();
        let known: &[&str] = match kind {
            "" => bail!("Watch -type must be specified: service, services, nodes, checks or event"),
            "service" => &["service", "tag", "passingonly", "filter"],
            "services" | "nodes" => &["filter"],
            "checks" => &["service", "state", "filter"],
            "event" => &["name"],
            "key" | "keyprefix" => bail!("-type={kind}: this version has no key/value store to watch"),
            other => bail!("Unsupported watch type: {other} (try service, services, nodes, checks or event)"),
        };
        refuse_others(kind, flags, known)?;
        let filter = flags.filter.as_deref();
        let query = match kind {
            "service" => {
                let service = flags.service.as_deref().filter(|name| !name.is_empty());
                let service = service.ok_or_else(|| anyhow!("-type=service: name it with -service"))?;
                let query = Query::of("/v1/health/service", service).each("tag", &flags.tag);
                query.maybe("passing", flags.passingonly.then_some("1")).maybe("filter", filter)
            }
            "checks" => checks(flags)?.maybe("filter", filter),
            "event" => Query::new("/v1/event/list").maybe("name", flags.name.as_deref()),
            _ => Query::new(&format!("/v1/catalog/{kind}")).maybe("filter", filter),
        };
        let is_event = kind == "event";
        let query = if is_event { query } else { query.read(&flags.http) };
        Ok(Self { kind: kind.into(), query, is_event })
    }

    /// The document to hand on: for events only those after the one whose index was seen last.
    ///
    /// # Errors
    /// The answer is no list of events.
    pub fn news(&self, answer: Bytes, seen: u64) -> Result<Bytes, serde_json::Error> {
        if self.is_event { after(&answer, seen).map(Bytes::from) } else { Ok(answer) }
    }
}

fn checks(flags: &WatchFlags) -> anyhow::Result<Query> {
    match (&flags.service, &flags.state) {
        (Some(_), Some(_)) => bail!("Cannot specify service and state"),
        (Some(service), None) => Ok(Query::of("/v1/health/checks", service)),
        (None, state) => Ok(Query::of("/v1/health/state", state.as_deref().unwrap_or("any"))),
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

    fn flags(kind: &str) -> WatchFlags {
        WatchFlags { kind: kind.into(), ..WatchFlags::default() }
    }

    #[test]
    fn each_kind_asks_its_endpoint() {
        let some = |text: &str| Some(text.to_string());
        for (flags, expected) in [
            (flags("services"), "/v1/catalog/services"),
            (WatchFlags { filter: some("a==b"), ..flags("nodes") }, "/v1/catalog/nodes?filter=a%3D%3Db"),
            (
                WatchFlags { service: some("web"), tag: vec!["x".into()], passingonly: true, ..flags("service") },
                "/v1/health/service/web?tag=x&passing=1",
            ),
            (flags("checks"), "/v1/health/state/any"),
            (WatchFlags { state: some("critical"), ..flags("checks") }, "/v1/health/state/critical"),
            (WatchFlags { service: some("web"), ..flags("checks") }, "/v1/health/checks/web"),
            (WatchFlags { name: some("deploy"), ..flags("event") }, "/v1/event/list?name=deploy"),
        ] {
            assert_eq!(Subject::of(&flags).unwrap().query.as_str(), expected);
        }
    }

    #[test]
    fn what_cannot_be_watched_is_refused() {
        let some = |text: &str| Some(text.to_string());
        for (flags, part) in [
            (flags(""), "-type must be specified"),
            (WatchFlags { key: some("a"), ..flags("key") }, "no key/value store"),
            (flags("keyprefix"), "no key/value store"),
            (flags("nods"), "Unsupported watch type: nods"),
            (flags("service"), "name it with -service"),
            (WatchFlags { state: some("any"), service: some("web"), ..flags("checks") }, "Cannot specify"),
            (WatchFlags { service: some("web"), ..flags("nodes") }, "-service means nothing with -type=nodes"),
        ] {
            let error = Subject::of(&flags).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn only_new_events_are_news() {
        let subject = Subject::of(&flags("event")).unwrap();
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
