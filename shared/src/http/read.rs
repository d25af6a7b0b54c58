//! The read path of catalog and health: how fresh, whether to wait, then one answer from one snapshot.
//!
//! 1. `?stale` and `?cached` take the view as it is. Others ask the leader for its index (a barrier) and wait until
//!    the view has it. Without a leader the last view is answered, marked as such, while it is younger than
//!    `discovery_max_stale`; only `?consistent` insists.
//! 2. `?index=` holds until what is asked about (its [`Topic`]s) has changed after that index, the wait is over, or
//!    this node stops. An index that is ahead of the view is not waited for: it is of another life of the registry.
//! 3. The answer is a pure function of the snapshot and the question, with the index of its topics. It is kept (`kept`)
//!    and given again until something that it is made of has changed; [`again`] does so without taking the request apart.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::{Either, FutureExt, OptionFuture, select_all};
use http::{HeaderName, HeaderValue};
use serde::Serialize;

use super::{
    Context, Failure,
    answer::{Answer, encode},
    context::datacenter_asked,
    kept::{Repeat, question_key},
    params::{JITTER_PART, Mode, Options},
    remote::pass_on,
    route::{Request, admit_again},
};
use crate::{
    acl::{Known, Rights},
    backend::{BackendError, Consistency, Contact},
    catalog::{State, Topic},
    filter::{Filter, Schema},
    metrics::{BLOCKED_READERS, LEADERLESS_ANSWERS, WAKE_UPS},
    model::Index,
    traces::{Kind, Span},
    view::Waiting,
};

/// How long a read waits for the leader's index and for the view to reach it, before it does without.
const LEADER_LIMIT: Duration = Duration::from_secs(2);

pub(super) const INDEX: HeaderName = HeaderName::from_static("x-consul-index");
pub(super) const KNOWN_LEADER: HeaderName = HeaderName::from_static("x-consul-knownleader");
pub(super) const LAST_CONTACT: HeaderName = HeaderName::from_static("x-consul-lastcontact");
const FILTERED: HeaderName = HeaderName::from_static("x-consul-results-filtered-by-acls");
const EFFECTIVE_CONSISTENCY: HeaderName = HeaderName::from_static("x-consul-effective-consistency");
const CACHE: HeaderName = HeaderName::from_static("x-cache");

/// What is asked.
pub(super) struct Question {
    /// What it is about: its index, and what a blocking read holds on.
    pub topics: Vec<Topic>,
    /// What its answer is made of besides: nobody wakes for it, but an answer is not given again when it has changed.
    /// `None` where the answer depends on more than the catalog, and is never given again.
    pub besides: Option<Vec<Topic>>,
    /// The row type that `?filter=` is for; `None` where the parameter does not exist.
    pub schema: Option<&'static Schema>,
    /// Whether a failure carries the index headers too, as most of Consul's do.
    pub headers_on_failure: bool,
    /// Whether the caller is told when nobody knows what is current, rather than what was: locks are decided by it.
    pub insists: bool,
}

impl Question {
    /// About one thing.
    pub fn about(topic: Topic, schema: &'static Schema) -> Self {
        let besides = Some(Vec::new());
        Self { topics: vec![topic], besides, schema: Some(schema), headers_on_failure: true, insists: false }
    }

    /// The same, whose answer is made of this too where `condition` holds.
    pub fn besides_if(mut self, condition: bool, topic: Topic) -> Self {
        if condition {
            self.besides.get_or_insert_default().push(topic);
        }
        self
    }

    fn index(&self, state: &State) -> Index {
        self.topics.iter().map(|topic| state.index_of(topic)).max().unwrap_or(Index(1))
    }
}

/// What a row is about, and so who may see it.
pub(super) trait Guarded {
    /// Whether somebody with these rights may.
    fn is_visible(&self, rights: &Rights) -> bool;
}

/// Writes rows: only those that the caller may see and its filter lets through, in the form it wants.
pub(super) struct Rows {
    filter: Option<Filter>,
    pretty: bool,
    pub(super) caller: Arc<Known>,
    /// Whether something was left out because the caller may not see it.
    has_hidden: AtomicBool,
}

impl Rows {
    /// Rows as a caller wants them.
    pub fn wanted(request: &Request, schema: Option<&Schema>) -> Result<Self, Failure> {
        let query = &request.query;
        let text = query.filled("filter");
        let filter = match text.zip(schema) {
            Some((text, schema)) => Some(Filter::parse(text, schema)?),
            None => None,
        };
        let (caller, has_hidden) = (request.caller.clone(), AtomicBool::new(false));
        Ok(Self { filter, pretty: query.has("pretty"), caller, has_hidden })
    }

    /// What the caller may do.
    pub fn rights(&self) -> &Rights {
        &self.caller.rights
    }

    /// Notes whether something may be seen.
    pub fn sees(&self, is_visible: bool) -> bool {
        if !is_visible {
            self.has_hidden.store(true, Relaxed);
        }
        is_visible
    }

    /// The answer, with a word about what was left out. Who has shown no token is not told that there is more.
    pub fn told(&self, answer: impl Into<Answer>) -> Answer {
        let answer = answer.into();
        if self.has_hidden.swap(false, Relaxed) && !self.caller.is_anonymous() {
            answer.with_header(FILTERED, HeaderValue::from_static("true"))
        } else {
            answer
        }
    }

    /// Whether the caller may see a row and its filter lets it through.
    pub fn keeps(&self, row: &(impl Serialize + Guarded)) -> bool {
        self.sees(row.is_visible(self.rights())) && self.passes(row)
    }

    /// Whether the filter lets a row through.
    pub fn passes(&self, row: &impl Serialize) -> bool {
        let Some(filter) = &self.filter else { return true };
        serde_json::to_value(row).is_ok_and(|row| filter.matches(&row))
    }

    /// The list of those rows that the caller may see and its filter lets through.
    pub fn list<R: Serialize + Guarded>(&self, rows: impl Iterator<Item = R>) -> Bytes {
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
    let answered = match answer(context, request, &question, &options, encode).await {
        Err(Failure::OtherDatacenter(name)) => pass_on(context, request, &name).await,
        answered => answered,
    };
    match answered {
        Err(failure) if question.headers_on_failure => Ok(with_headers(context, failure.into())),
        other => other,
    }
}

/// The answer with the headers that say how fresh it is, although it says nothing of the registry.
pub(super) fn with_headers(context: &Context, answer: Answer) -> Answer {
    with_contact(answer.with_header(INDEX, 1), context.backend.contact())
}

async fn answer<A: Into<Answer>>(
    context: &Context,
    request: &Request,
    question: &Question,
    options: &Options,
    encode: impl Fn(&State, &Rows) -> A,
) -> Result<Answer, Failure> {
    context.refuse_other_datacenter(datacenter_asked(&request.query))?;
    let mut rows = Rows::wanted(request, question.schema)?;
    let freshness = freshen(context, options.mode).await?;
    if question.insists && !freshness.is_as_wanted(options.mode) {
        return Err(BackendError::NoLeader.into());
    }
    let has_waited = wait_for_change(context, request, question, options).await;
    if has_waited && context.authority.is_enabled() {
        rows.caller = admit_again(context, request)?;
    }
    // Much may have happened to the leader meanwhile.
    let contact = if has_waited { context.backend.contact() } else { freshness.contact };
    let encode = |state: &State| rows.told(encode(state, &rows)).with_header(INDEX, question.index(state).0.max(1));
    let Some(besides) = &question.besides else {
        let answer = encode(&context.reader.load_full());
        return Ok(finish(answer, options.mode, Freshness { contact, ..freshness }));
    };
    let made_of = question.topics.iter().chain(besides).cloned();
    let key = question_key(request, rows.rights());
    let (answer, slot) = request.answers.answer(&key, &context.reader, made_of, encode);
    let answer = finish(answer, options.mode, Freshness { contact, ..freshness });
    let asks_nobody = matches!(options.mode, Mode::Stale(_) | Mode::Cached);
    Ok(match slot {
        Some(slot) if asks_nobody && options.index == Index(0) => {
            answer.with_repeat(Repeat { slot, mode: options.mode, rights: rows.caller.rights.clone() })
        }
        _ => answer,
    })
}

/// The same answer as before to the same request, without a wait; `None` where that must be found out anew.
pub(super) fn again(context: &Context, repeat: &Repeat) -> Option<Answer> {
    let freshness = without_asking(context, repeat.mode)?.ok()?;
    let answer = repeat.slot.upgrade()?.current(&context.reader)?;
    Some(finish(answer, repeat.mode, freshness))
}

/// The answer with the headers that say how fresh it is.
pub(super) fn finish(answer: Answer, mode: Mode, freshness: Freshness) -> Answer {
    if !freshness.contact.known_leader {
        LEADERLESS_ANSWERS.count(0);
    }
    let answer = with_contact(answer, freshness.contact)
        .with_header(EFFECTIVE_CONSISTENCY, HeaderValue::from_static(freshness.level));
    match mode {
        Mode::Cached => answer.with_header(CACHE, HeaderValue::from_static("HIT")),
        _ => answer,
    }
}

pub(super) fn with_contact(answer: Answer, contact: Contact) -> Answer {
    let last = match contact.last.as_millis() {
        // As at every server that leads.
        0 => HeaderValue::from_static("0"),
        last_ms => u64::try_from(last_ms).unwrap_or(u64::MAX).into(),
    };
    let known = if contact.known_leader { "true" } else { "false" };
    answer.with_header(KNOWN_LEADER, HeaderValue::from_static(known)).with_header(LAST_CONTACT, last)
}

/// How fresh the view is, and what that is called.
pub(super) struct Freshness {
    pub contact: Contact,
    pub level: &'static str,
}

impl Freshness {
    /// False where the servers were to be asked and could not be.
    pub fn is_as_wanted(&self, mode: Mode) -> bool {
        self.level != "stale" || matches!(mode, Mode::Stale(_) | Mode::Cached)
    }
}

/// Makes the view as fresh as that mode wants it, where the servers can be asked.
pub(super) async fn freshen(context: &Context, mode: Mode) -> Result<Freshness, Failure> {
    if let Some(freshness) = without_asking(context, mode) {
        return freshness;
    }
    let (consistency, level) = match mode {
        Mode::Consistent => (Consistency::Quorum, "consistent"),
        Mode::Stale(_) | Mode::Leader | Mode::Cached => (Consistency::Leader, "leader"),
    };
    let failure = match tokio::time::timeout(LEADER_LIMIT, catch_up(context, consistency)).await {
        Ok(Ok(())) => {
            return Ok(Freshness { contact: Contact { known_leader: true, last: Duration::ZERO }, level });
        }
        Ok(Err(error)) => error,
        Err(_) => BackendError::NoLeader,
    };
    let contact = Contact { known_leader: false, ..context.backend.contact() };
    let fresh_enough = !contact.is_lost_for(context.settings.discovery_max_stale);
    if consistency == Consistency::Quorum || !fresh_enough { Err(failure.into()) } else { as_it_is(context, contact) }
}

/// The view as it is, where that mode takes it so; `None` where the servers must be asked.
fn without_asking(context: &Context, mode: Mode) -> Option<Result<Freshness, Failure>> {
    let contact = context.backend.contact();
    let takes_it = match mode {
        Mode::Cached => true,
        Mode::Stale(limit) => limit.is_none_or(|limit| contact.last <= limit),
        Mode::Leader | Mode::Consistent => false,
    };
    takes_it.then(|| as_it_is(context, contact))
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
    let access = context.authority.is_enabled().then(|| context.reader.wait_for(&Topic::Access));
    let time_out = tokio::time::sleep(with_jitter(options.wait));
    tokio::pin!(time_out);
    let (mut has_waited, mut held) = (false, None);
    loop {
        // Made before the look at the state, so that no change falls between the two.
        let next = next_of(&waiting);
        let revoked = access.as_ref().map(Waiting::next);
        if access.is_some() && admit_again(context, request).is_err() {
            return true;
        }
        let has_changed = seen(&context.reader.load());
        if has_waited {
            WAKE_UPS.count(usize::from(!has_changed));
        }
        if has_changed {
            return has_waited;
        }
        has_waited = true;
        held.get_or_insert_with(|| (BLOCKED_READERS.hold(), Span::inside(Kind::Internal, "wait")));
        tokio::select! {
            _ = next => {}
            Some(()) = OptionFuture::from(revoked) => {}
            () = &mut time_out => return true,
            () = request.stopping.cancelled() => return true,
        }
    }
}

/// The next wake-up for any of them. Most reads have one topic, and ten thousand of them may wait: then nothing is
/// allocated.
fn next_of(waiting: &[Waiting]) -> impl Future<Output = ()> + use<> {
    match waiting {
        [only] => Either::Left(only.next()),
        many => Either::Right(select_all(many.iter().map(|topic| topic.next().boxed())).map(drop)),
    }
}

/// A wait with up to 1/16 more, so that callers who began together do not return together.
pub(super) fn with_jitter(wait: Duration) -> Duration {
    wait + wait.mul_f64(rand::random_range(0.0..=1.0) / f64::from(JITTER_PART))
}
