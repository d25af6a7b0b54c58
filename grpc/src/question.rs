//! What each watch asks for: which rows of its subject, and in what messages it is told of them. Requests are checked
//! here; what is wrong with one is said in its status.

use std::{sync::Arc, time::Duration};

use lictor_proto::v1::{
    self, ServiceState, Wanted, watch_node_response, watch_service_response, watch_services_response,
};
use lictor_shared::{
    acl::{Level, Resource, Rights},
    catalog::Instance,
    filter,
    http::InstanceFilter,
    model::{Key, Status as Health},
};
use tonic::Status;

use crate::{
    parts::Part,
    subject::{Entry, NamesSubject, NodeSubject, Row, ServiceSubject, Subject},
};

/// The longest name of a service, node or tag in a request, in bytes.
pub const MAX_NAME_BYTES: usize = 512;
/// The most tags of a request.
pub const MAX_TAGS: usize = 64;
/// The most instances of an answer to `Resolve`.
pub const MAX_RESOLVED: usize = 1000;

/// What a row is to a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Not for this watcher: as if it were not there.
    Hidden,
    /// Not what is asked for.
    Other,
    /// As asked for, but for its health.
    Matching,
    /// To be told.
    Selected,
}

/// What a watch tells.
pub enum Event<R: Row> {
    /// The present set, or a part of it.
    Whole(Part<R>),
    /// What has changed, or a part of it.
    Delta(Part<R>),
    /// The watcher has the present set.
    Resumed,
    /// The stream is live.
    Heartbeat(v1::Freshness),
}

/// What one watch asks for.
pub trait Question: Send + Sync + 'static {
    /// Of what.
    type Subject: Subject;
    /// The messages of its stream.
    type Response: Send + 'static;
    /// The least time between two deltas.
    const PACE: Duration = Duration::ZERO;

    /// What a row is to it.
    fn standing(&self, entry: &Entry<<Self::Subject as Subject>::Row>) -> Standing;

    /// The message of an event.
    fn response(position: v1::Position, event: Event<<Self::Subject as Subject>::Row>) -> Self::Response;
}

/// Which instances of a service.
pub struct ServiceQuestion {
    wanted: Wanted,
    tags: Vec<String>,
    filter: Option<InstanceFilter>,
    rights: Arc<Rights>,
}

impl ServiceQuestion {
    /// Reads the conditions of a request.
    pub fn new(
        wanted: i32,
        tags: Vec<String>,
        filter: &str,
        datacenter: &str,
        rights: Arc<Rights>,
    ) -> Result<Self, Status> {
        let wanted = Wanted::try_from(wanted)
            .map_err(|_| Status::invalid_argument(format!("wanted: {wanted} is none of Wanted's values")))?;
        if tags.len() > MAX_TAGS {
            return Err(Status::invalid_argument(format!("tags: {}, the most are {MAX_TAGS}", tags.len())));
        }
        for tag in &tags {
            checked("tags", tag)?;
        }
        // The parser has the same limit; its sentence is for those who speak HTTP.
        if filter.len() > filter::MAX_TEXT_BYTES {
            let most = filter::MAX_TEXT_BYTES;
            return Err(Status::invalid_argument(format!("filter: {} bytes, the most are {most}", filter.len())));
        }
        let filter = match filter {
            "" => None,
            text => Some(
                InstanceFilter::parse(text, datacenter)
                    .map_err(|error| Status::invalid_argument(format!("filter: {error}")))?,
            ),
        };
        Ok(Self { wanted, tags, filter, rights })
    }

    /// What an instance is to it.
    pub fn judge(&self, instance: &Instance) -> Standing {
        if !self.rights.sees_instance(&instance.node.name, &instance.service.name) {
            return Standing::Hidden;
        }
        let matches = self.tags.iter().all(|tag| instance.has_tag(tag))
            && self.filter.as_ref().is_none_or(|filter| filter.keeps(instance));
        let healthy = match self.wanted {
            Wanted::Unspecified | Wanted::Healthy => instance.status() != Health::Critical,
            Wanted::Passing => instance.status() == Health::Passing,
            Wanted::All => true,
        };
        match (matches, healthy) {
            (false, _) => Standing::Other,
            (true, false) => Standing::Matching,
            (true, true) => Standing::Selected,
        }
    }
}

/// What there is of a service whose instances have these standings.
pub fn service_state(standings: impl Iterator<Item = Standing>) -> ServiceState {
    match standings.filter(|standing| *standing != Standing::Hidden).max() {
        None | Some(Standing::Hidden) => ServiceState::Unknown,
        Some(Standing::Other) => ServiceState::NoneMatches,
        Some(Standing::Matching) => ServiceState::NoneHealthy,
        Some(Standing::Selected) => ServiceState::Available,
    }
}

impl Question for ServiceQuestion {
    type Subject = ServiceSubject;
    type Response = v1::WatchServiceResponse;

    fn standing(&self, entry: &Entry<v1::Instance>) -> Standing {
        entry.instance.as_ref().map_or(Standing::Other, |instance| self.judge(instance))
    }

    fn response(position: v1::Position, event: Event<v1::Instance>) -> v1::WatchServiceResponse {
        use watch_service_response::Event as Told;
        let event = match event {
            Event::Whole(part) => Told::Whole(v1::ServiceInstances {
                complete: part.is_last(),
                state: part.state().into(),
                instances: part.upserted,
            }),
            Event::Delta(part) => Told::Delta(v1::ServiceDelta {
                complete: part.is_last(),
                state: part.state().into(),
                upserted: part.upserted,
                removed: part.removed,
            }),
            Event::Resumed => Told::Resumed(v1::Resumed {}),
            Event::Heartbeat(freshness) => Told::Heartbeat(v1::Heartbeat { freshness: Some(freshness) }),
        };
        v1::WatchServiceResponse { position: Some(position), event: Some(event) }
    }
}

fn shown(is_visible: bool) -> Standing {
    if is_visible { Standing::Selected } else { Standing::Hidden }
}

/// All services.
pub struct NamesQuestion {
    /// What the watcher may see.
    pub rights: Arc<Rights>,
}

impl Question for NamesQuestion {
    type Subject = NamesSubject;
    type Response = v1::WatchServicesResponse;
    /// Listing all services reads every instance there is.
    const PACE: Duration = Duration::from_millis(100);

    fn standing(&self, entry: &Entry<v1::ServiceName>) -> Standing {
        shown(self.rights.allow(Resource::Service, Level::Read, &entry.row.name))
    }

    fn response(position: v1::Position, event: Event<v1::ServiceName>) -> v1::WatchServicesResponse {
        use watch_services_response::Event as Told;
        let event = match event {
            Event::Whole(part) => Told::Whole(v1::ServiceNames { complete: part.is_last(), services: part.upserted }),
            Event::Delta(part) => Told::Delta(v1::ServiceNamesDelta {
                complete: part.is_last(),
                upserted: part.upserted,
                removed: part.removed,
            }),
            Event::Resumed => Told::Resumed(v1::Resumed {}),
            Event::Heartbeat(freshness) => Told::Heartbeat(v1::Heartbeat { freshness: Some(freshness) }),
        };
        v1::WatchServicesResponse { position: Some(position), event: Some(event) }
    }
}

/// A node and all that is on it.
pub struct NodeQuestion {
    /// What the watcher may see.
    pub rights: Arc<Rights>,
}

impl Question for NodeQuestion {
    type Subject = NodeSubject;
    type Response = v1::WatchNodeResponse;

    fn standing(&self, entry: &Entry<v1::Instance>) -> Standing {
        shown(self.rights.allow(Resource::Service, Level::Read, &entry.row.service))
    }

    fn response(position: v1::Position, event: Event<v1::Instance>) -> v1::WatchNodeResponse {
        use watch_node_response::Event as Told;
        let event = match event {
            Event::Whole(part) => Told::Whole(v1::NodeInstances {
                complete: part.is_last(),
                node: part.end.and_then(|end| end.node),
                instances: part.upserted,
            }),
            Event::Delta(part) => Told::Delta(v1::NodeDelta {
                complete: part.is_last(),
                node: part.end.and_then(|end| end.node),
                upserted: part.upserted,
                removed: part.removed,
            }),
            Event::Resumed => Told::Resumed(v1::Resumed {}),
            Event::Heartbeat(freshness) => Told::Heartbeat(v1::Heartbeat { freshness: Some(freshness) }),
        };
        v1::WatchNodeResponse { position: Some(position), event: Some(event) }
    }
}

/// A name that must be given, as a key.
pub fn name(field: &str, text: &str) -> Result<Key, Status> {
    if text.is_empty() {
        return Err(Status::invalid_argument(format!("{field}: empty (give a name)")));
    }
    checked(field, text).map(Key::new)
}

fn checked<'a>(field: &str, text: &'a str) -> Result<&'a str, Status> {
    if text.len() > MAX_NAME_BYTES {
        let length = text.len();
        return Err(Status::invalid_argument(format!("{field}: {length} bytes, the most are {MAX_NAME_BYTES}")));
    }
    Ok(text)
}
