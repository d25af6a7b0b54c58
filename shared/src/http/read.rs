//! The read path of catalog and health: how fresh, whether to wait, then one answer from one snapshot.
//!
//! 1. `?stale` and `?cached` take the view as it is. Others ask the leader for its index (a barrier) and wait until
//!    the view has it. Without a leader the last view is answered, marked as such, while it is younger than
//!    `discovery_max_stale`; only `?consistent` insists.
//! 2. `?index=` holds until what is asked about (its [`Topic`]s) has changed after that index, the wait is over, or
//!    this node stops. An index that is ahead of the view is not waited for: it is of another life of the registry.
//! 3. The answer is a pure function of the snapshot and the question, with the index of its topics.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{FutureExt, select_all};
use http::{HeaderName, HeaderValue};
use serde::Serialize;

use super::{
    Context, Failure,
    answer::{Answer, encode},
    context::datacenter_asked,
    params::{JITTER_PART, Mode, Options},
    query::Query,
    route::Request,
};
use crate::{
    backend::{BackendError, Consistency, Contact},
    catalog::{State, Topic},
    filter::{Filter, Schema},
    metrics::{BLOCKED_READERS, LEADERLESS_ANSWERS},
    model::Index,
};

/// How long a read waits for the leader's index and for the view to reach it, before it does without.
const LEADER_LIMIT: Duration = Duration::from_secs(2);

pub(super) const INDEX: HeaderName = HeaderName::from_static("x-consul-index");
const KNOWN_LEADER: HeaderName = HeaderName::from_static("x-consul-knownleader");
const LAST_CONTACT: HeaderName = HeaderName::from_static("x-consul-lastcontact");
const EFFECTIVE_CONSISTENCY: HeaderName = HeaderName::from_static("x-consul-effective-consistency");
const CACHE: HeaderName = HeaderName::from_static("x-cache");

/// What is asked.
pub(super) struct Question {
    /// What it is about: its index, and what a blocking read holds on.
    pub topics: Vec<Topic>,
    /// The row type that `?filter=` is for; `None` where the parameter does not exist.
    pub schema: Option<&'static Schema>,
    /// Whether a failure carries the index headers too, as most of Consul's do.
    pub headers_on_failure: bool,
}

impl Question {
    /// About one thing.
    pub fn about(topic: Topic, schema: &'static Schema) -> Self {
        Self { topics: vec![topic], schema: Some(schema), headers_on_failure: true }
    }

    fn index(&self, state: &State) -> Index {
        self.topics.iter().map(|topic| state.index_of(topic)).max().unwrap_or(Index(1))
    }
}

/// Writes rows: only those the caller's filter lets through, in the form it wants.
pub(super) struct Rows {
    filter: Option<Filter>,
    pretty: bool,
}

impl Rows {
    /// Rows as a caller wants them.
    pub fn wanted(query: &Query, schema: Option<&Schema>) -> Result<Self, Failure> {
        let text = query.filled("filter");
        let filter = match text.zip(schema) {
            Some((text, schema)) => Some(Filter::parse(text, schema)?),
            None => None,
        };
        Ok(Self { filter, pretty: query.has("pretty") })
    }

    /// Whether the filter lets a row through.
    pub fn keeps(&self, row: &impl Serialize) -> bool {
        let Some(filter) = &self.filter else { return true };
        serde_json::to_value(row).is_ok_and(|row| filter.matches(&row))
    }

    /// The list of those rows that the filter lets through.
    pub fn list<R: Serialize>(&self, rows: impl Iterator<Item = R>) -> Bytes {
        self.value(&rows.filter(|row| self.keeps(row)).collect::<Vec<_>>())
    }

    /// A value as it is.
    pub fn value(&self, value: &impl Serialize) -> Bytes {
        encode(value, self.pretty)
    }
}

/// Answers a question from this node's view.
pub(super) async fn read<A: Into<Answer>>(
    context: &Context,
    request: &Request,
    question: Question,
    encode: impl Fn(&State, &Rows) -> A,
) -> Result<Answer, Failure> {
    let options = Options::parse(&request.query)?;
    match answer(context, request, &question, &options, encode).await {
        Err(failure) if question.headers_on_failure => {
            let contact = context.backend.contact();
            Ok(with_headers(failure.into(), Index(1), contact))
        }
        other => other,
    }
}

async fn answer<A: Into<Answer>>(
    context: &Context,
    request: &Request,
    question: &Question,
    options: &Options,
    encode: impl Fn(&State, &Rows) -> A,
) -> Result<Answer, Failure> {
    context.refuse_other_datacenter(datacenter_asked(&request.query))?;
    let rows = Rows::wanted(&request.query, question.schema)?;
    let freshness = freshen(context, options.mode).await?;
    let has_waited = wait_for_change(context, request, question, options).await;
    // Much may have happened to the leader meanwhile.
    let contact = if has_waited { context.backend.contact() } else { freshness.contact };
    let state = context.reader.load_full();
    let answer = encode(&state, &rows).into();
    if !contact.known_leader {
        LEADERLESS_ANSWERS.count(0);
    }
    let answer = with_headers(answer, question.index(&state), contact)
        .with_header(EFFECTIVE_CONSISTENCY, HeaderValue::from_static(freshness.level));
    Ok(match options.mode {
        Mode::Cached => answer.with_header(CACHE, HeaderValue::from_static("HIT")),
        _ => answer,
    })
}

fn with_headers(answer: Answer, index: Index, contact: Contact) -> Answer {
    let last_ms = u64::try_from(contact.last.as_millis()).unwrap_or(u64::MAX);
    let known = if contact.known_leader { "true" } else { "false" };
    answer
        .with_header(INDEX, index.0.max(1))
        .with_header(KNOWN_LEADER, HeaderValue::from_static(known))
        .with_header(LAST_CONTACT, last_ms)
}

/// How fresh the view is, and what that is called.
pub(super) struct Freshness {
    contact: Contact,
    level: &'static str,
}

/// Makes the view as fresh as that mode wants it, where the servers can be asked.
pub(super) async fn freshen(context: &Context, mode: Mode) -> Result<Freshness, Failure> {
    let contact = context.backend.contact();
    let (consistency, level) = match mode {
        Mode::Stale(limit) if limit.is_none_or(|limit| contact.last <= limit) => return as_it_is(context, contact),
        Mode::Cached => return as_it_is(context, contact),
        Mode::Consistent => (Consistency::Quorum, "consistent"),
        Mode::Stale(_) | Mode::Leader => (Consistency::Leader, "leader"),
    };
    let failure = match tokio::time::timeout(LEADER_LIMIT, catch_up(context, consistency)).await {
        Ok(Ok(())) => {
            return Ok(Freshness { contact: Contact { known_leader: true, last: Duration::ZERO }, level });
        }
        Ok(Err(error)) => error,
        Err(_) => BackendError::NoLeader,
    };
    let contact = Contact { known_leader: false, ..context.backend.contact() };
    let fresh_enough = contact.last < context.settings.discovery_max_stale;
    if consistency == Consistency::Quorum || !fresh_enough { Err(failure.into()) } else { as_it_is(context, contact) }
}

/// The view as it is; a node that has never seen one, and knows no leader, knows nothing.
fn as_it_is(context: &Context, contact: Contact) -> Result<Freshness, Failure> {
    if context.reader.load().index() == Index(0) && !contact.known_leader {
        return Err(BackendError::NoLeader.into());
    }
    Ok(Freshness { contact, level: "stale" })
}

async fn catch_up(context: &Context, consistency: Consistency) -> Result<(), BackendError> {
    let index = context.backend.barrier(consistency).await?;
    context.reader.reach(index).await;
    Ok(())
}

/// True when it had to wait.
async fn wait_for_change(context: &Context, request: &Request, question: &Question, options: &Options) -> bool {
    if options.index == Index(0) {
        return false;
    }
    let seen = |state: &State| {
        let ahead = options.index > state.highest_index().max(Index(1));
        ahead || question.index(state) > options.index
    };
    let waiting: Vec<_> = question.topics.iter().map(|topic| context.reader.wait_for(topic)).collect();
    let time_out = tokio::time::sleep(with_jitter(options.wait));
    tokio::pin!(time_out);
    let (mut has_waited, mut held) = (false, None);
    loop {
        // Made before the look at the state, so that no change falls between the two.
        let next = select_all(waiting.iter().map(|topic| topic.next().boxed()));
        if seen(&context.reader.load()) {
            return has_waited;
        }
        has_waited = true;
        held.get_or_insert_with(|| BLOCKED_READERS.hold());
        tokio::select! {
            _ = next => {}
            () = &mut time_out => return true,
            () = request.stopping.cancelled() => return true,
        }
    }
}

/// A wait with up to 1/16 more, so that callers who began together do not return together.
pub(super) fn with_jitter(wait: Duration) -> Duration {
    wait + wait.mul_f64(rand::random_range(0.0..=1.0) / f64::from(JITTER_PART))
}
