//! Live copies of named services of other datacenters (`cache.remote`), so that this node answers about them when the
//! way there is cut.
//!
//! A task for each keeps its copy with blocking reads of `/v1/health/service/NAME`, one after the other: of all
//! instances, as that datacenter has written them. Callers' filters are applied here, to those rows. A read of `stale` or
//! `cached` data, or one that waits for a change of such, is answered from the copy as it is. Others are passed on, and
//! answered from the copy only if nobody over there, or on the way, answers; never those that want `consistent`.
//!
//! An answer says how old it is: `X-Consul-Lastcontact` is the time since the datacenter last confirmed the copy, and
//! `X-Consul-Knownleader` is false while it cannot be asked. What is older than `discovery_max_stale` is not given any more.
//!
//! Nothing else is kept, and nothing for longer than the process lives. Named services and their bytes are bounded.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, value::RawValue};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};

use super::{
    Context, Failure,
    answer::Answer,
    catalog::Wanted,
    params::{JITTER_PART, Mode, Options, switch},
    query::encode,
    read::{Freshness, INDEX, KNOWN_LEADER, LAST_CONTACT, Rows, finish, with_jitter},
    route::Request,
    translate::translate,
};
use crate::{
    acl::{Authority, Rights},
    backend::{Backend, Contact, Fetch},
    filter::schema,
    metrics::STALE_COPIES,
    model::Index,
    tasks::Tasks,
};

/// The most services that copies are kept of.
pub const MAX_COPIES: usize = 64;
/// The largest copy, in bytes.
const COPY_BYTES: usize = 4 << 20;
/// How long one read waits for a change: so often a copy is confirmed at least.
const WAIT: Duration = Duration::from_secs(10);
/// How long a read may take beyond that.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Between two reads, however often the service changes.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// Between two reads that fail; each time twice as long.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The endpoint that copies answer for.
const ENDPOINT: &str = "/v1/health/service/";

/// A service of another datacenter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteService {
    /// The datacenter.
    pub datacenter: String,
    /// The service's name.
    pub service: String,
}

/// All copies that this node keeps.
#[derive(Default)]
pub struct Copies {
    copies: Vec<Copy>,
}

/// One of them.
pub(super) struct Copy {
    what: RemoteService,
    kept: watch::Receiver<Kept>,
    /// Somebody has found that the datacenter does not answer.
    doubt: Arc<Notify>,
}

/// What is known of a service.
#[derive(Clone, Default)]
struct Kept {
    /// None until the first answer.
    rows: Option<Arc<[Row]>>,
    index: u64,
    /// When the datacenter last said that this is so, and how fresh its own knowledge was.
    confirmed: Option<Instant>,
    contact: Option<Contact>,
    /// Whether the last read was answered.
    is_reachable: bool,
}

/// An instance, as it was written, and to look into.
struct Row {
    text: String,
    value: Value,
}

impl Copies {
    /// Starts to keep copies of those services.
    #[must_use]
    pub fn start(
        services: &[RemoteService],
        translates: bool,
        backend: &Arc<dyn Backend>,
        authority: &Arc<Authority>,
        tasks: &Tasks,
    ) -> Self {
        let copies = services.iter().take(MAX_COPIES).map(|what| {
            let (sender, kept) = watch::channel(Kept::default());
            let doubt = Arc::new(Notify::new());
            let (what, backend, authority) = (what.clone(), backend.clone(), authority.clone());
            let keeper =
                Keeper { what: what.clone(), kept: sender, doubt: doubt.clone(), backend, authority, translates };
            let stopping = tasks.stopping();
            tasks.spawn("a copy of a remote service", async move {
                stopping.run_until_cancelled(keeper.keep()).await;
                Ok::<(), String>(())
            });
            Copy { what, kept, doubt }
        });
        Self { copies: copies.collect() }
    }

    /// The copy that can answer a request to another datacenter, where there is one.
    pub(super) fn find(&self, datacenter: &str, request: &Request) -> Option<&Copy> {
        if request.method != Method::GET || !request.target.starts_with(ENDPOINT) {
            return None;
        }
        let is_asked = |what: &RemoteService| {
            what.datacenter.eq_ignore_ascii_case(datacenter) && what.service.eq_ignore_ascii_case(&request.parameter)
        };
        self.copies.iter().find(|copy| is_asked(&copy.what))
    }
}

impl Kept {
    fn contact(&self) -> Contact {
        let since = self.confirmed.map_or(Duration::MAX, |confirmed| confirmed.elapsed());
        match self.contact {
            Some(contact) if self.is_reachable => {
                Contact { last: since.saturating_add(contact.last), known_leader: contact.known_leader }
            }
            contact => {
                let before = contact.map_or(Duration::ZERO, |contact| contact.last);
                Contact { last: since.saturating_add(before), known_leader: false }
            }
        }
    }
}

impl Copy {
    /// Whether a request of that mode is answered from the copy without a look over there.
    pub fn comes_first(&self, mode: Mode) -> bool {
        let kept = self.kept.borrow();
        let last = kept.contact().last;
        kept.rows.is_some()
            && match mode {
                Mode::Cached => true,
                Mode::Stale(limit) => limit.is_none_or(|limit| last <= limit),
                Mode::Leader | Mode::Consistent => false,
            }
    }

    /// The answer from the copy, once it is another than the caller knows; `None` where there is none that may be given.
    /// `is_lost`: the datacenter has just been asked in vain.
    pub async fn answer(
        &self,
        context: &Context,
        request: &Request,
        options: &Options,
        is_lost: bool,
    ) -> Result<Option<Answer>, Failure> {
        if is_lost {
            self.doubt.notify_one();
        }
        let mut kept = self.kept.clone();
        if options.index > Index(0) {
            let changed = kept.wait_for(|kept| kept.rows.is_some() && kept.index != options.index.0);
            let waited = timeout(with_jitter(options.wait), changed);
            // Whatever there is then is the answer.
            request.stopping.run_until_cancelled(waited).await;
        }
        let kept = kept.borrow().clone();
        let contact = kept.contact();
        let contact = Contact { known_leader: contact.known_leader && !is_lost, ..contact };
        let Some(rows) = kept.rows.filter(|_| !contact.is_lost_for(context.settings.discovery_max_stale)) else {
            return Ok(None);
        };
        // The copy was given to this node's token: whoever asks sees of it what it might see of a service of this name here.
        let caller = context.authority.identify(&request.token)?;
        let body = shown(&rows, request, &caller.rights)?.with_header(INDEX, kept.index.max(1));
        Ok(Some(finish(body, options.mode, Freshness { contact, level: "stale" })))
    }
}

/// The rows that the caller wants. They are not sorted by distance: no node here has one.
fn shown(rows: &[Row], request: &Request, rights: &Rights) -> Result<Answer, Failure> {
    let wanted = Wanted::parse(request);
    let passing = switch(&request.query, "passing")?;
    let form = Rows::wanted(request, Some(&schema::HEALTH_SERVICE))?;
    let is_shown = |row: &&Row| {
        (!passing || is_passing(&row.value))
            && wanted.matches_row(&row.value)
            && is_visible(&row.value, rights)
            && form.passes(&row.value)
    };
    let rows = rows.iter().filter(is_shown);
    if request.query.has("pretty") {
        return Ok(Answer::json(form.value(&rows.map(|row| &row.value).collect::<Vec<_>>())));
    }
    let texts: Vec<&str> = rows.map(|row| row.text.as_str()).collect();
    Ok(Answer::json(format!("[{}]", texts.join(",")).into()))
}

fn is_visible(row: &Value, rights: &Rights) -> bool {
    let [node, service] = [&row["Node"]["Node"], &row["Service"]["Service"]];
    rights.sees_instance(node.as_str().unwrap_or_default(), service.as_str().unwrap_or_default())
}

fn is_passing(row: &Value) -> bool {
    row["Checks"].as_array().into_iter().flatten().all(|check| check["Status"] == "passing")
}

/// Keeps one copy.
struct Keeper {
    what: RemoteService,
    kept: watch::Sender<Kept>,
    doubt: Arc<Notify>,
    backend: Arc<dyn Backend>,
    authority: Arc<Authority>,
    translates: bool,
}

impl Keeper {
    async fn keep(self) {
        let RemoteService { datacenter, service } = &self.what;
        let (mut pause, mut lost, mut in_doubt) = (SHORTEST_PAUSE, None, false);
        loop {
            let read = tokio::select! {
                read = self.read(in_doubt) => read,
                // What it waits for may never come.
                () = self.doubt.notified(), if !in_doubt => {
                    in_doubt = true;
                    continue;
                }
            };
            in_doubt = false;
            match read {
                Ok(kept) => {
                    if lost.take().is_some() {
                        tracing::info!(datacenter, service, "the copy of this remote service is kept up to date again");
                    }
                    self.kept.send_replace(kept);
                    pause = SHORTEST_PAUSE;
                }
                Err(reason) => {
                    if lost.is_none() {
                        lost = Some(STALE_COPIES.hold());
                        tracing::warn!(datacenter, service, reason, "the copy of this remote service grows old");
                    }
                    self.kept.send_modify(|kept| kept.is_reachable = false);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
            sleep(pause.mul_f64(rand::random_range(0.75..1.25))).await;
        }
    }

    /// What there is: once it is another than before or the wait is over; now, where there is doubt about the way.
    async fn read(&self, in_doubt: bool) -> Result<Kept, String> {
        let before = self.kept.borrow().clone();
        let index = if before.is_reachable && !in_doubt { before.index } else { 0 };
        let (datacenter, service) = (&self.what.datacenter, &self.what.service);
        let target = format!(
            "{ENDPOINT}{}?stale&dc={}&index={index}&wait={}s",
            encode(service),
            encode(datacenter),
            WAIT.as_secs()
        );
        let limit = WAIT + WAIT / JITTER_PART + ANSWER_LIMIT;
        let fetch = Fetch {
            method: "GET".into(),
            path_and_query: target,
            any_server: true,
            limit,
            datacenter: datacenter.clone(),
            token: self.authority.own().default.clone(),
            ..Fetch::default()
        };
        let answered = async {
            let fetched = self.backend.fetch(fetch).await.map_err(|error| error.to_string())?;
            let (status, headers) = (fetched.status, headers(&fetched.headers));
            let body = fetched.whole(COPY_BYTES).await.map_err(|error| error.to_string())?;
            if status != StatusCode::OK.as_u16() {
                return Err(String::from_utf8_lossy(&body).into_owned());
            }
            Ok((headers, if self.translates { translate(body) } else { body }))
        };
        let (headers, body) = timeout(limit, answered).await.map_err(|_| "no answer came in time".to_owned())??;
        let index = headers.get(INDEX).and_then(|index| index.to_str().ok()?.parse().ok()).ok_or("it has no index")?;
        let is_same = before.is_reachable && index == before.index;
        let rows = if is_same { before.rows } else { Some(rows(&body)?) };
        let contact = Some(contact(&headers));
        Ok(Kept { rows, index, confirmed: Some(Instant::now()), contact, is_reachable: true })
    }
}

fn rows(body: &[u8]) -> Result<Arc<[Row]>, String> {
    let texts: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let row = |text: &RawValue| {
        let value = serde_json::from_str(text.get()).map_err(|error| error.to_string())?;
        Ok(Row { text: text.get().to_owned(), value })
    };
    texts.into_iter().map(row).collect()
}

fn headers(given: &[(String, bytes::Bytes)]) -> HeaderMap {
    let header = |(name, value): &(String, bytes::Bytes)| {
        Some((name.parse::<http::HeaderName>().ok()?, http::HeaderValue::from_bytes(value).ok()?))
    };
    given.iter().filter_map(header).collect()
}

/// How fresh the datacenter's own knowledge is, by its words.
fn contact(headers: &HeaderMap) -> Contact {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let last_ms = text(LAST_CONTACT).and_then(|text| text.parse().ok()).unwrap_or_default();
    Contact { known_leader: text(KNOWN_LEADER) != Some("false"), last: Duration::from_millis(last_ms) }
}
