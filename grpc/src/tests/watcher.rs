//! A watcher of a service that believes what it is told, and refuses what the `.proto` file rules out.

use std::{collections::BTreeMap, time::Duration};

use futures_util::StreamExt;
use lictor_proto::v1::{
    Instance, InstanceId, Position, ServiceState, WatchServiceRequest, WatchServiceResponse, registry_server::Registry,
    watch_service_response::Event,
};
use tokio::time::timeout;
use tonic::Request;

use super::world::World;
use crate::Events;

/// Time stands still while a task can run, so this long without a message means that there is none.
const NOTHING_COMES: Duration = Duration::from_millis(1);

/// One watcher and its streams, one after the other.
pub struct Watcher {
    pub request: WatchServiceRequest,
    pub stream: Option<Events<WatchServiceResponse>>,
    pub instances: BTreeMap<(String, String), Instance>,
    pub state: ServiceState,
    /// The last one with a digest.
    pub position: Option<Position>,
    /// What was told, in short.
    pub events: Vec<&'static str>,
    parts: (Vec<Instance>, Vec<InstanceId>),
    /// The index of the last message of this stream.
    heard: u64,
    /// The highest index of any stream.
    pub highest: u64,
}

fn key(id: &InstanceId) -> (String, String) {
    (id.node.to_lowercase(), id.instance.to_lowercase())
}

impl Watcher {
    pub fn of(request: WatchServiceRequest) -> Self {
        Self {
            request,
            stream: None,
            instances: BTreeMap::new(),
            state: ServiceState::Unspecified,
            position: None,
            events: Vec::new(),
            parts: Default::default(),
            heard: 0,
            highest: 0,
        }
    }

    pub fn all_of(service: &str) -> Self {
        let wanted = lictor_proto::v1::Wanted::All.into();
        Self::of(WatchServiceRequest { service: service.into(), wanted, ..Default::default() })
    }

    /// Opens a stream from where the watcher is.
    pub async fn connect(&mut self, world: &World) {
        let request = WatchServiceRequest { resume: self.position, ..self.request.clone() };
        self.stream = Some(world.service.watch_service(Request::new(request)).await.unwrap().into_inner());
        (self.parts, self.heard) = (Default::default(), 0);
    }

    pub fn disconnect(&mut self) {
        self.stream = None;
    }

    /// Reads one message, if there is one.
    pub async fn read(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let Ok(message) = timeout(NOTHING_COMES, stream.next()).await else { return false };
        self.take(message.expect("the stream goes on").expect("no status"));
        true
    }

    /// Reads all there is.
    pub async fn catch_up(&mut self) {
        while self.read().await {}
    }

    /// What was told since the last time this was asked.
    pub fn told(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.events)
    }

    pub fn ids(&self) -> Vec<&str> {
        self.instances.keys().map(|(_, id)| id.as_str()).collect()
    }

    fn take(&mut self, message: WatchServiceResponse) {
        let position = message.position.expect("every message has a position");
        assert!(position.index >= self.heard, "the index went back from {} to {}", self.heard, position.index);
        self.heard = position.index;
        self.highest = self.highest.max(position.index);
        let is_in_parts = !self.parts.0.is_empty() || !self.parts.1.is_empty();
        let (name, complete) = match message.event.expect("every message has an event") {
            Event::Whole(part) => {
                self.state = if part.complete { part.state() } else { self.state };
                self.parts.0.extend(part.instances);
                if part.complete {
                    self.instances.clear();
                }
                ("whole", part.complete)
            }
            Event::Delta(part) => {
                assert!(self.position.is_some(), "a delta before the whole");
                self.state = if part.complete { part.state() } else { self.state };
                self.parts.0.extend(part.upserted);
                self.parts.1.extend(part.removed);
                ("delta", part.complete)
            }
            Event::Resumed(_) => ("resumed", true),
            Event::Heartbeat(_) => {
                assert!(!is_in_parts, "a heartbeat between parts");
                ("heartbeat", true)
            }
        };
        assert!(complete || position.digest == 0, "a part has no digest");
        if complete {
            let (upserted, removed) = std::mem::take(&mut self.parts);
            self.instances.extend(upserted.into_iter().map(|one| (key(one.id.as_ref().unwrap()), one)));
            for id in &removed {
                assert!(self.instances.remove(&key(id)).is_some(), "{id:?} was removed and is not there");
            }
        }
        self.position = Some(position).filter(|position| position.digest != 0).or(self.position);
        self.events.push(if complete { name } else { "part" });
    }
}
