//! What an operator looks at in a running agent: its version, its host, its metrics, its log.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderValue, header};
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;
use tracing_subscriber::fmt::{
    format::Writer,
    time::{FormatTime, SystemTime as Clock},
};

use super::{
    Context, Failure, acl,
    answer::{Answer, encode},
    json,
    params::switch,
    read::Rows,
    route::{self, Request},
};
use crate::{
    acl::{Credential, OwnTokens},
    agent::definition::{Fields, Strictness},
    backend::Backend,
    gossip::{MemberStatus, Pool},
    host, limits,
    metrics::{self, Series, as_f64},
    monitor::{self, Watch},
    node::own_tokens,
    view::Reader,
};

/// The time between two pieces of `/v1/agent/metrics/stream`.
const METRICS_INTERVAL: Duration = Duration::from_secs(10);
/// The time between two looks whether a stream's token still counts.
const TOKEN_INTERVAL: Duration = Duration::from_secs(1);

pub(super) async fn version(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let versions = &context.settings.versions;
    let answer = json!({
        "SHA": "",
        "BuildDate": "1970-01-01T00:00:01Z",
        "HumanVersion": versions.api_level,
        "FIPS": "",
        "LictorVersion": versions.own,
    });
    Ok(Answer::json(Rows::wanted(request, None)?.value(&answer)))
}

pub(super) async fn host(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let rows = Rows::wanted(request, None)?;
    let path = context.settings.data_dir.clone().unwrap_or_else(|| Path::new("/").into());
    // The disk may let us wait.
    let look = tokio::task::spawn_blocking(move || {
        let disk = host::disk(&path).map_err(|error| error.to_string());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        json::host::host(&host::memory(), &host::cpus(), &host::system(), &path, &disk, now_ns)
    });
    let answer = look.await.map_err(|error| Failure::Rejected(format!("The host cannot be read: {error}")))?;
    Ok(Answer::json(rows.value(&answer)))
}

pub(super) async fn metrics(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let sources = Sources::of(context);
    match request.query.filled("format") {
        Some("prometheus") => {
            let kind = HeaderValue::from_static(metrics::CONTENT_TYPE);
            Ok(Answer::text(metrics::exposition(&sources.read())).with_header(header::CONTENT_TYPE, kind))
        }
        _ => Ok(Answer::json(Rows::wanted(request, None)?.value(&sources.summary()))),
    }
}

/// The metrics now, and again every [`METRICS_INTERVAL`]: JSON objects one behind the other.
pub(super) async fn metrics_stream(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let mut ticks = tokio::time::interval(METRICS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let begin = (ticks, Sources::of(context), request.stopping.clone());
    let pieces = stream::unfold(begin, |(mut ticks, sources, stopping)| async move {
        stopping.run_until_cancelled(ticks.tick()).await?;
        let piece = [&encode(&sources.summary(), false)[..], b"\n"].concat();
        Some((Bytes::from(piece), (ticks, sources, stopping)))
    });
    Ok(Answer::stream(pieces.take_until(until_revoked(context, request))))
}

/// The log from now on, at the level asked for (`info`), a line for each event.
pub(super) async fn monitor(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let name = request.query.filled("loglevel").unwrap_or("info");
    let level = monitor::level(name).ok_or_else(|| Failure::BadRequest(format!("Unknown log level: {name}")))?;
    let as_json = switch(&request.query, "logjson")?;
    let begin = Some((context.monitor.watch(level), request.stopping.clone()));
    let lines = stream::unfold(begin, move |state| async move {
        let (mut watch, stopping) = state?;
        let (line, ended) = stopping.run_until_cancelled(next_line(&mut watch, as_json)).await?;
        Some((line, (!ended).then_some((watch, stopping))))
    });
    Ok(Answer::stream(lines.take_until(until_revoked(context, request))))
}

/// Ends when who asked may not do the same as then any more: a token was taken away, or changed.
pub(super) fn until_revoked(context: &Context, request: &Request) -> impl Future<Output = ()> + Send + use<> {
    let (authority, token, known) = (context.authority.clone(), request.token.clone(), request.caller.clone());
    async move {
        while authority.still_has(&token, &known.rights) {
            tokio::time::sleep(TOKEN_INTERVAL).await;
        }
    }
}

/// The next line, and whether it is the last: who is too slow is told so and has to come again.
async fn next_line(watch: &mut Watch, as_json: bool) -> (Bytes, bool) {
    match watch.next().await {
        Ok(record) if as_json => (record.json().into(), false),
        Ok(record) => (record.line().into(), false),
        Err(lost) => {
            (format!("{lost} log lines were lost, as they were not read in time; the log ends here\n").into(), true)
        }
    }
}

/// Changes what this node shows to others: `{"Token": "..."}`, by the kind that the path names. Kept in the data directory
/// where the configuration says so.
pub(super) async fn token(context: &Context, request: &Request) -> Result<Answer, Failure> {
    acl::enabled(context)?;
    let body = json::parse(&request.body)?;
    let token = Credential::new(&Fields::of(&body, Strictness::Body)?.text("token")?);
    let mut own = OwnTokens::clone(&context.authority.own());
    let place = match request.parameter.as_str() {
        "default" | "acl_token" => &mut own.default,
        "agent" | "acl_agent_token" => &mut own.agent,
        "agent_master" | "agent_recovery" | "recovery" | "acl_agent_master_token" => &mut own.recovery,
        "replication" | "acl_replication_token" => &mut own.replication,
        "dns" => &mut own.dns,
        kind => {
            let known = "default, agent, recovery, replication and dns";
            return Err(Failure::NotFound(format!("Token {kind:?} is unknown (there are {known})")));
        }
    };
    *place = token;
    if let Some(data_dir) = context.settings.token_dir.clone() {
        let kept = own.clone();
        let keep = tokio::task::spawn_blocking(move || own_tokens::keep(&data_dir, &kept)).await;
        let keep = keep.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        keep.map_err(|error| Failure::Rejected(format!("The tokens cannot be kept, and are as they were: {error}")))?;
    }
    context.authority.set_own(own);
    tracing::info!(kind = request.parameter, "a token of this agent was changed");
    Ok(Answer::empty())
}

/// Where metrics come from that are not counted but looked up.
struct Sources {
    reader: Reader,
    backend: Arc<dyn Backend>,
    members: Pool,
    version: String,
    role: &'static str,
}

impl Sources {
    fn of(context: &Context) -> Self {
        Self {
            reader: context.reader.clone(),
            backend: context.backend.clone(),
            members: context.members.clone(),
            version: context.settings.versions.own.clone(),
            role: if context.holds_keys() { "server" } else { "sidecar" },
        }
    }

    fn summary(&self) -> Value {
        json::metrics::summary(&self.read(), &timestamp(), host::process().uptime())
    }

    fn read(&self) -> Vec<Series> {
        let mut all = metrics::read();
        all.extend(route::requests());
        all.extend(self.pool());
        all.extend(self.view());
        let build = Series::gauge(metrics::BUILD, "This program, always 1.", 1.0);
        all.push(build.with("version", self.version.clone()).with("role", self.role));
        let process = host::process();
        all.extend([
            Series::gauge(metrics::RESIDENT_BYTES, "Memory in RAM.", as_f64(process.resident_bytes)),
            Series::gauge(metrics::OPEN_FILES, "Open file descriptors.", as_f64(process.open_files as u64)),
            Series::gauge(metrics::MAX_OPEN_FILES, "File descriptors it may have open.", as_f64(limits::open_files())),
            Series::gauge(metrics::START_SECONDS, "Start of the process since 1970.", process.started.as_secs_f64()),
            Series::counter(metrics::PROCESSOR_SECONDS, "Time on a processor.", process.processor.as_secs_f64()),
        ]);
        all
    }

    fn pool(&self) -> impl Iterator<Item = Series> {
        use MemberStatus::{Alive, Failed, Leaving, Left};
        let members = self.members.members();
        [Alive, Leaving, Left, Failed].into_iter().map(move |status| {
            let count = members.iter().filter(|member| member.status == status).count();
            Series::gauge(metrics::GOSSIP_MEMBERS, "Members of the LAN pool.", as_f64(count as u64))
                .with("status", status.as_str())
        })
    }

    fn view(&self) -> impl Iterator<Item = Series> {
        let state = self.reader.load();
        let rows = [
            ("nodes", state.nodes().count()),
            ("services", state.services().count()),
            ("instances", state.all_instances().count()),
            ("checks", state.checks().count()),
        ];
        let contact = self.backend.contact();
        let knows = f64::from(u8::from(contact.known_leader));
        let rows = rows.map(|(kind, count)| {
            Series::gauge(metrics::VIEW_ROWS, "What this node's view holds.", as_f64(count as u64)).with("kind", kind)
        });
        let others = [
            Series::gauge(metrics::VIEW_INDEX, "The index of this node's view.", as_f64(state.index().0)),
            Series::gauge(metrics::KNOWS_LEADER, "Whether a leader is known.", knows),
            Series::gauge(metrics::LAST_CONTACT, "Age of the last word from a leader.", contact.last.as_secs_f64()),
        ];
        rows.into_iter().chain(others)
    }
}

/// Now, as Consul writes moments: `2026-01-02 03:04:05 +0000 UTC`.
fn timestamp() -> String {
    let mut text = String::new();
    // It writes to a text, which grows.
    let _ = Clock.format_time(&mut Writer::new(&mut text));
    let seconds = text.split(['.', 'Z']).next().unwrap_or_default();
    format!("{} +0000 UTC", seconds.replace('T', " "))
}
