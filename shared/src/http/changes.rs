//! `/v1/internal/ui/changes`: what has just changed, as it changes, a line of JSON each time. A web page shows it and learns
//! by it what to ask again.
//!
//! A caller that reads slowly is not waited for and nothing is queued for it: a line tells what differs between the snapshot
//! told last and the newest. Each line has the index, who leads and how that is known, and in `Touched` the tables of which
//! something changed; in `Nodes` and `Services` which ones, and in `Changes` what. Where that is more than [`MOST`], `Touched`
//! has `all`. The first line has in `Indexes` those of the tables: an answer that has a lower one may be from before. Lines
//! without a change come every [`HEARTBEAT`], so that silence means that the agent is gone, and when another leads. A stream
//! has one of the places that a caller has for reads that wait.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::{FutureExt, select_all},
    stream,
};
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Context, Failure,
    answer::{Answer, encode},
    context::datacenter_asked,
    insight::until_revoked,
    route::Request,
};
use crate::{
    acl::{Known, Level, Resource, Rights},
    backend::Backend,
    catalog::{Difference, State, Topic},
    limits::Place,
    model::{Check, Node, Service},
    view::{Reader, Waiting},
};

/// The most changes of a kind that a line tells one by one.
const MOST: usize = 100;
/// The longest time between two lines.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How often it is looked whether another leads: nobody is woken by that.
const LOOK: Duration = Duration::from_millis(200);
/// The shortest: what changes meanwhile is told together.
const BREATH: Duration = Duration::from_millis(100);

/// What a line may say was touched; `access` only to whoever may read that.
const TABLES: [(&str, Topic); 5] = [
    ("nodes", Topic::Nodes),
    ("services", Topic::Services),
    ("checks", Topic::Checks),
    ("queries", Topic::Queries),
    (ACCESS, Topic::Access),
];
const ACCESS: &str = "access";

/// One line.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Line<'a> {
    index: u64,
    known_leader: bool,
    /// The leader's RPC address; nothing where none is known.
    leader: &'a str,
    /// The age of the last word from a leader, in milliseconds.
    last_contact: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    indexes: BTreeMap<&'static str, u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    touched: Vec<&'static str>,
    #[serde(flatten)]
    told: Told<'a>,
}

/// What has changed, of what the caller may see.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Told<'a> {
    /// The nodes on which something did.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    nodes: BTreeSet<&'a str>,
    /// The services whose answers did.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    services: BTreeSet<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<ChangeRow<'a>>,
    /// Whether it is more than is told.
    #[serde(skip)]
    is_all: bool,
    /// The nodes whose services are named already.
    #[serde(skip)]
    done: BTreeSet<&'a str>,
}

/// One change: of a check its statuses; of a node or an instance that it is `registered` or `changed`; null where it was
/// not there, or is gone.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ChangeRow<'a> {
    kind: &'static str,
    node: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    service: &'a str,
    #[serde(rename = "ServiceID", skip_serializing_if = "str::is_empty")]
    service_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    check: &'a str,
    was: Option<&'static str>,
    is: Option<&'static str>,
}

/// Tells what changes until the caller goes, its token ends or this node stops.
pub(super) async fn changes(context: &Context, request: &Request) -> Result<Answer, Failure> {
    context.refuse_other_datacenter(datacenter_asked(&request.query)).map_err(|_| {
        Failure::BadRequest("Changes are told of this agent's own datacenter only; ask an agent there".into())
    })?;
    let place = context.guests.watch(request.client)?;
    let reads_access = request.caller.rights.allow(Resource::Acl, Level::Read, "");
    let tables: Vec<_> = TABLES.into_iter().filter(|(name, _)| reads_access || *name != ACCESS).collect();
    let follower = Follower {
        waiting: tables.iter().map(|(_, topic)| context.reader.wait_for(topic)).collect(),
        tables,
        _place: place,
        before: context.reader.load_full(),
        leader: None,
        reader: context.reader.clone(),
        backend: context.backend.clone(),
        caller: request.caller.clone(),
        stopping: request.stopping.clone(),
        is_first: true,
    };
    let lines = stream::unfold(follower, |mut follower| async move {
        let stopping = follower.stopping.clone();
        let line = stopping.run_until_cancelled(follower.next()).await?;
        Some((line, follower))
    });
    Ok(Answer::stream(lines.take_until(until_revoked(context, request))))
}

struct Follower {
    reader: Reader,
    backend: Arc<dyn Backend>,
    /// Those that are told of.
    tables: Vec<(&'static str, Topic)>,
    waiting: Vec<Waiting>,
    _place: Place,
    /// What was told last.
    before: Arc<State>,
    /// Who leads, as it was told last.
    leader: Option<String>,
    caller: Arc<Known>,
    stopping: CancellationToken,
    is_first: bool,
}

impl Follower {
    /// The next line; the first comes at once.
    async fn next(&mut self) -> Bytes {
        let is_first = std::mem::take(&mut self.is_first);
        // Made before the look at the state, so that no change falls between the two.
        let woken = select_all(self.waiting.iter().map(|waiting| waiting.next().boxed()));
        if !is_first && (self.is_due() || self.is_woken(woken).await) {
            tokio::time::sleep(BREATH).await;
        }
        let after = self.reader.load_full();
        let before = std::mem::replace(&mut self.before, after.clone());
        let contact = self.backend.contact();
        self.leader = leader(&*self.backend);
        let told = Told::between(&before, &after, &self.caller.rights);
        let mut touched = self.touched(&before, &after);
        if told.is_all {
            touched.push("all");
        }
        let indexes = self.tables.iter().map(|(name, topic)| (*name, after.index_of(topic).0));
        let indexes: BTreeMap<_, _> = indexes.collect();
        let line = Line {
            index: indexes.values().copied().max().unwrap_or(1),
            known_leader: contact.known_leader,
            leader: self.leader.as_deref().unwrap_or_default(),
            last_contact: u64::try_from(contact.last.as_millis()).unwrap_or(u64::MAX),
            indexes: if is_first { indexes } else { BTreeMap::new() },
            touched,
            told,
        };
        [&encode(&line, false)[..], b"\n"].concat().into()
    }

    fn is_due(&self) -> bool {
        !self.touched(&self.before, &self.reader.load()).is_empty()
    }

    /// Waits until something was touched, and for a heartbeat at most; ends at once when another leads.
    async fn is_woken(&self, mut woken: impl Future + Unpin) -> bool {
        let until = Instant::now() + HEARTBEAT;
        loop {
            let look = until.min(Instant::now() + LOOK);
            if tokio::time::timeout_at(look, &mut woken).await.is_ok() {
                return true;
            }
            if look == until || leader(&*self.backend) != self.leader {
                return false;
            }
        }
    }

    fn touched(&self, before: &State, after: &State) -> Vec<&'static str> {
        let differs = |topic: &Topic| before.index_of(topic) != after.index_of(topic);
        self.tables.iter().filter(|(_, topic)| differs(topic)).map(|(name, _)| *name).collect()
    }
}

/// Who leads, if that is known now.
fn leader(backend: &dyn Backend) -> Option<String> {
    backend.leader().filter(|_| backend.contact().known_leader)
}

/// The first [`MOST`], and in `is_all` whether there are more.
fn first<T>(rows: impl Iterator<Item = T>, is_all: &mut bool) -> impl Iterator<Item = T> {
    let fits = move |(count, _): &(usize, T)| {
        *is_all |= *count == MOST;
        *count < MOST
    };
    rows.enumerate().take_while(fits).map(|(_, row)| row)
}

impl<'a> Told<'a> {
    /// What differs. What somebody may not see counts too, so that the work is bounded.
    fn between(before: &'a State, after: &'a State, rights: &Rights) -> Self {
        let (mut told, mut is_all, states) = (Self::default(), false, [before, after]);
        first(after.changed_nodes(before), &mut is_all).for_each(|row| told.node(row, states, rights));
        first(after.changed_services(before), &mut is_all).for_each(|row| told.service(row, rights));
        first(after.changed_checks(before), &mut is_all).for_each(|row| told.check(row, states, rights));
        told.is_all |= is_all;
        told
    }

    fn node(&mut self, row: Difference<'a, Node>, states: [&'a State; 2], rights: &Rights) {
        // A node is also listed when something on it has changed.
        let is_same = row.before == row.after;
        let seen = row.filter(|node| !is_same && rights.allow(Resource::Node, Level::Read, &node.name));
        let Some(row) = seen else { return };
        let node = &*row.latest().name;
        self.nodes.insert(node);
        self.services_on(node, states, rights);
        let (was, is) = presence(&row);
        self.changes.push(ChangeRow { kind: "node", node, service: "", service_id: "", check: "", was, is });
    }

    fn service(&mut self, row: Difference<'a, Service>, rights: &Rights) {
        // It may have had another name, which somebody else may see.
        let Some(row) = row.filter(|service| rights.sees_instance(&service.node, &service.name)) else { return };
        let Service { node, name: service, id: service_id, .. } = row.latest();
        self.nodes.insert(node);
        self.services.extend(row.sides().map(|service| &*service.name));
        let (was, is) = presence(&row);
        self.changes.push(ChangeRow { kind: "service", node, service, service_id, check: "", was, is });
    }

    fn check(&mut self, row: Difference<'a, Check>, states: [&'a State; 2], rights: &Rights) {
        let Some(row) = row.filter(|check| rights.sees_check(&check.node, &check.service_name)) else { return };
        let Check { node, service_name: service, service_id, name, .. } = row.latest();
        self.nodes.insert(node);
        for check in row.sides() {
            if check.service_name.is_empty() {
                self.services_on(node, states, rights);
            } else {
                self.services.insert(&check.service_name);
            }
        }
        let status = |check: &Check| check.status.as_str();
        let (was, is) = (row.before.map(status), row.after.map(status));
        // Another output is shown where the check is, and is no news.
        if was != is {
            self.changes.push(ChangeRow { kind: "check", node, service, service_id, check: name, was, is });
        }
    }

    /// What is about a node is in the answers about all services on it. Once for a node, and up to [`MOST`].
    fn services_on(&mut self, node: &'a str, states: [&'a State; 2], rights: &Rights) {
        if !self.done.insert(node) {
            return;
        }
        for services in states.map(|state| state.node_services(node)) {
            let names = first(services, &mut self.is_all).filter(|own| rights.sees_instance(&own.node, &own.name));
            self.services.extend(names.map(|own| &*own.name));
        }
    }
}

fn presence<R>(row: &Difference<'_, R>) -> (Option<&'static str>, Option<&'static str>) {
    let is = if row.before.is_some() { "changed" } else { "registered" };
    (row.before.map(|_| "registered"), row.after.map(|_| is))
}
