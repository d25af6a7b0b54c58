//! The methods of `lictor.v1.Registry`: each checks its request, takes a place, and starts a watch or answers.

use std::{net::IpAddr, sync::Arc};

use lictor_proto::connection::ConnectInfo;
use lictor_proto::v1::{
    self, ResolveRequest, ResolveResponse, WatchNodeRequest, WatchNodeResponse, WatchServiceRequest,
    WatchServiceResponse, WatchServicesRequest, WatchServicesResponse, registry_server::Registry,
};
use lictor_shared::{
    acl::{Authority, Credential, Denial, Level, Resource, Rights},
    backend::Backend,
    catalog::Instance,
    limits::{Clients, Place},
    metrics::{GRPC_WATCHING_CLIENTS, Refusal},
    model::{Index, Key},
    tasks::Tasks,
    view::Reader,
};
use prost::Message;
use rand::seq::SliceRandom;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Request, Response, Status};

use crate::{
    feed::{Feed, Feeds},
    question::{MAX_RESOLVED, NamesQuestion, NodeQuestion, Question, ServiceQuestion, Standing, name, service_state},
    stream::{self, Events, Opening, Permit},
    subject::{NamesSubject, NodeSubject, ServiceSubject},
};

const TOKEN: &str = "x-consul-token";
const AUTHORIZATION: &str = "authorization";
/// The most watches of an agent.
pub const MAX_STREAMS: usize = 4096;
/// The largest answer to `Resolve`, but for one instance more.
const MAX_RESOLVED_BYTES: usize = 1 << 20;

/// The place of a watch; given back when it is dropped.
pub struct StreamPlace {
    _of_all: OwnedSemaphorePermit,
    _of_client: Place,
}

/// Answers the public service.
#[derive(Clone)]
pub struct RegistryService {
    inner: Arc<Inner>,
}

struct Inner {
    reader: Reader,
    backend: Arc<dyn Backend>,
    authority: Arc<Authority>,
    datacenter: String,
    tasks: Tasks,
    places: Arc<Semaphore>,
    clients: Clients,
    streams_per_client: usize,
    services: Feeds<ServiceSubject>,
    nodes: Feeds<NodeSubject>,
    names: Feeds<NamesSubject>,
}

impl RegistryService {
    /// The service of a node of `datacenter` whose view `reader` sees; `backend` says how fresh that is.
    #[must_use]
    pub fn new(
        reader: Reader,
        backend: Arc<dyn Backend>,
        authority: Arc<Authority>,
        datacenter: &str,
        streams_per_client: usize,
        tasks: &Tasks,
    ) -> Self {
        let inner = Inner {
            reader,
            backend,
            authority,
            datacenter: datacenter.to_owned(),
            tasks: tasks.clone(),
            places: Arc::new(Semaphore::new(MAX_STREAMS)),
            clients: Clients::measured(&GRPC_WATCHING_CLIENTS),
            streams_per_client,
            services: Feeds::default(),
            nodes: Feeds::default(),
            names: Feeds::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// How many watches there are.
    #[must_use]
    pub fn streams(&self) -> usize {
        MAX_STREAMS - self.inner.places.available_permits()
    }
}

/// Whoever asks, by what is shown in `x-consul-token` or as a bearer; what this node shows for those who show nothing.
struct Caller {
    /// The address that it comes from.
    client: Option<IpAddr>,
    shown: Credential,
    rights: Arc<Rights>,
}

impl Inner {
    fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let text = |name| request.metadata().get(name).and_then(|value| value.to_str().ok());
        let bearer = || {
            let (scheme, token) = text(AUTHORIZATION)?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        };
        let shown = Credential::new(text(TOKEN).or_else(bearer).unwrap_or_default());
        let shown = shown.or(&self.authority.own().default);
        let known = self.authority.identify(&shown).map_err(denied)?;
        let client = request.extensions().get::<ConnectInfo>().and_then(|info| info.remote).map(|address| address.ip());
        Ok(Caller { shown, rights: known.rights.clone(), client })
    }

    fn refuse_other_datacenter(&self, asked: &str) -> Result<(), Status> {
        if asked.is_empty() || asked.eq_ignore_ascii_case(&self.datacenter) {
            return Ok(());
        }
        let ours = &self.datacenter;
        let asked: String = asked.chars().take(64).collect();
        Err(Status::failed_precondition(format!(
            "datacenter: this agent answers for {ours:?}, not {asked:?} (ask an agent there)"
        )))
    }

    fn place(&self, client: Option<IpAddr>) -> Result<StreamPlace, Status> {
        let full = |sentence: String| {
            Refusal::GrpcStreams.count();
            Status::resource_exhausted(sentence)
        };
        let of_all = self
            .places
            .clone()
            .try_acquire_owned()
            .map_err(|_| full(format!("this agent has {MAX_STREAMS} watches, the most it takes (come later)")))?;
        let limit = self.streams_per_client;
        let of_client = self.clients.enter(client, limit).ok_or_else(|| {
            full(format!("this address has {limit} watches, the most it may (limits.grpc_max_streams_per_client)"))
        })?;
        Ok(StreamPlace { _of_all: of_all, _of_client: of_client })
    }

    fn watch<Q: Question>(
        &self,
        question: Q,
        feed: Arc<Feed<Q::Subject>>,
        resume: Option<v1::Position>,
        caller: Caller,
    ) -> Result<Response<Events<Q::Response>>, Status> {
        let (reader, backend, place) = (self.reader.clone(), self.backend.clone(), self.place(caller.client)?);
        let permit = Permit { authority: self.authority.clone(), shown: caller.shown, rights: caller.rights };
        let opening = Opening { question, feed, resume, reader, backend, permit, place };
        Ok(Response::new(stream::start(opening, &self.tasks)))
    }

    fn resolve(&self, key: &Key, question: &ServiceQuestion, limit: u32) -> Result<ResolveResponse, Status> {
        let state = self.reader.load_full();
        if state.index() == Index(0) {
            return Err(Status::unavailable("this agent has no copy of the registry yet (come again)"));
        }
        let standings: Vec<(Standing, &Arc<Instance>)> =
            state.instances(key.as_str()).map(|instance| (question.judge(instance), instance)).collect();
        let service_state = service_state(standings.iter().map(|(standing, _)| *standing));
        let selected = standings.iter().filter(|(standing, _)| *standing == Standing::Selected);
        let mut selected: Vec<&Arc<Instance>> = selected.map(|(_, instance)| *instance).collect();
        selected.shuffle(&mut rand::rng());
        let limit = usize::try_from(limit).ok().filter(|limit| (1..MAX_RESOLVED).contains(limit));
        let mut bytes = 0;
        let told = selected.iter().take(limit.unwrap_or(MAX_RESOLVED)).map(|instance| v1::Instance::from(&***instance));
        let instances = told.take_while(|instance| {
            let fits = bytes < MAX_RESOLVED_BYTES;
            bytes += instance.encoded_len();
            fits
        });
        Ok(ResolveResponse {
            index: state.index().0,
            state: service_state.into(),
            instances: instances.collect(),
            total: u32::try_from(selected.len()).unwrap_or(u32::MAX),
            freshness: Some(self.backend.contact().into()),
        })
    }
}

#[allow(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn denied(denial: Denial) -> Status {
    match denial {
        Denial::NotFound => Status::unauthenticated(denial.to_string()),
        Denial::Missing { .. } => Status::permission_denied(denial.to_string()),
    }
}

#[tonic::async_trait]
impl Registry for RegistryService {
    type WatchServiceStream = Events<WatchServiceResponse>;
    type WatchServicesStream = Events<WatchServicesResponse>;
    type WatchNodeStream = Events<WatchNodeResponse>;

    async fn watch_service(
        &self,
        request: Request<WatchServiceRequest>,
    ) -> Result<Response<Self::WatchServiceStream>, Status> {
        let inner = &self.inner;
        let caller = inner.caller(&request)?;
        let asked = request.into_inner();
        inner.refuse_other_datacenter(&asked.datacenter)?;
        let key = name("service", &asked.service)?;
        caller.rights.require(Resource::Service, Level::Read, &asked.service).map_err(denied)?;
        let question =
            ServiceQuestion::new(asked.wanted, asked.tags, &asked.filter, &inner.datacenter, caller.rights.clone())?;
        inner.watch(question, inner.services.get(&key, ServiceSubject), asked.resume, caller)
    }

    async fn watch_services(
        &self,
        request: Request<WatchServicesRequest>,
    ) -> Result<Response<Self::WatchServicesStream>, Status> {
        let inner = &self.inner;
        let caller = inner.caller(&request)?;
        let asked = request.into_inner();
        inner.refuse_other_datacenter(&asked.datacenter)?;
        let question = NamesQuestion { rights: caller.rights.clone() };
        inner.watch(question, inner.names.get(&Key::default(), |_| NamesSubject), asked.resume, caller)
    }

    async fn watch_node(&self, request: Request<WatchNodeRequest>) -> Result<Response<Self::WatchNodeStream>, Status> {
        let inner = &self.inner;
        let caller = inner.caller(&request)?;
        let asked = request.into_inner();
        inner.refuse_other_datacenter(&asked.datacenter)?;
        let key = name("node", &asked.node)?;
        caller.rights.require(Resource::Node, Level::Read, &asked.node).map_err(denied)?;
        let question = NodeQuestion { rights: caller.rights.clone() };
        inner.watch(question, inner.nodes.get(&key, NodeSubject), asked.resume, caller)
    }

    async fn resolve(&self, request: Request<ResolveRequest>) -> Result<Response<ResolveResponse>, Status> {
        let inner = &self.inner;
        let caller = inner.caller(&request)?;
        let asked = request.into_inner();
        inner.refuse_other_datacenter(&asked.datacenter)?;
        let key = name("service", &asked.service)?;
        caller.rights.require(Resource::Service, Level::Read, &asked.service).map_err(denied)?;
        let question =
            ServiceQuestion::new(asked.wanted, asked.tags, &asked.filter, &inner.datacenter, caller.rights.clone())?;
        Ok(Response::new(inner.resolve(&key, &question, asked.limit)?))
    }
}
