//! The gRPC interface for applications: `lictor.v1` (its `.proto` file says what is told when), gRPC health v1 and
//! server reflection, on the agent's gRPC port; at a server and at a sidecar alike, from the node's own view.
//!
//! How a change reaches an application: the view's writer touches a topic; each stream that waits for it looks at the
//! newest snapshot (`stream`), takes the rows of it from the feed that all streams of the same thing share (`feed`,
//! rows made by `subject`), compares them with what it told last (`told`) and sends the difference, cut into messages
//! (`parts`). So a burst of changes is one delta, a stream that is not read costs nobody else anything, and nothing is
//! queued for it but two messages and the rows it was told last.
//!
//! `question` is what each method asks for, `service` the methods; who may connect: `lictor_proto::connection`.
//!
//! Never changes the registry, and never asks the network before it answers.

mod feed;
mod parts;
mod question;
mod service;
mod stream;
mod subject;
#[cfg(test)]
mod tests;
mod told;

use std::{error::Error, sync::Arc, time::Duration};

use lictor_proto::{V1_DESCRIPTORS, connection, traced::Answering, v1::registry_server::RegistryServer};
use lictor_shared::{
    limits::{Door, Port},
    model::Index,
    node::Applications,
    tls::{self, Tls},
    view::Reader,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};

pub use self::{
    question::{MAX_NAME_BYTES, MAX_RESOLVED, MAX_TAGS},
    service::{MAX_STREAMS, RegistryService},
    stream::{Events, HEARTBEAT, QUEUED_MESSAGES, STALL_LIMIT},
};

/// The most connections to the interface; more are closed at once.
pub const MAX_CONNECTIONS: usize = 1024;
/// The most streams and requests of one connection at a time.
pub const MAX_STREAMS_OF_CONNECTION: u32 = 256;
/// The largest request, in bytes: above the longest name, tags and filter together.
pub const MAX_REQUEST_BYTES: usize = 64 << 10;

/// A connection whose other end went away without a word is closed after the sum of these.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_LIMIT: Duration = Duration::from_secs(5);
/// How long requests under way may take when the agent stops.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
/// The name of the service in gRPC health.
const REGISTRY: &str = "lictor.v1.Registry";

/// Serves applications until the tasks of the node stop.
pub fn serve(applications: Applications) {
    let listeners = applications.listeners.into_iter().map(|listener| (listener, None));
    let tls = applications.tls;
    let secured = applications.secured.into_iter().map(|listener| (listener, Some(tls.clone())));
    let listeners: Vec<_> = listeners.chain(secured).collect();
    if listeners.is_empty() {
        return;
    }
    let Applications { datacenter, reader, backend, authority, tasks, connections, streams_per_client, .. } =
        applications;
    let registry = RegistryService::new(reader.clone(), backend, authority, &datacenter, streams_per_client, &tasks);
    let door = Arc::new(Door::new(Port::Grpc, MAX_CONNECTIONS, connections));
    let health = HealthReporter::new();
    tasks.spawn("gRPC health", report(health.clone(), reader, tasks.stopping()));
    for listener in listeners {
        let serving = listen(listener, registry.clone(), health.clone(), door.clone(), tasks.stopping());
        tasks.spawn("gRPC", serving);
    }
}

/// Serves one listener, by TLS where that is given. Streams of the registry end by themselves when the node stops; a peer that does not read, or
/// that watches the health, cannot hold it open.
async fn listen(
    (listener, tls): (TcpListener, Option<Arc<Tls>>),
    registry: RegistryService,
    health: HealthReporter,
    door: Arc<Door>,
    stopping: CancellationToken,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(V1_DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let registry = RegistryServer::new(registry).max_decoding_message_size(MAX_REQUEST_BYTES);
    let health = tonic_health::server::HealthService::from_health_reporter(health);
    let router = connection::bounded_server()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_LIMIT))
        .max_concurrent_streams(MAX_STREAMS_OF_CONNECTION)
        .add_service(Answering::applications(registry))
        .add_service(tonic_health::pb::health_server::HealthServer::new(health))
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    let drained = async {
        stopping.cancelled().await;
        tokio::time::sleep(DRAIN_LIMIT).await;
    };
    let incoming = connection::accept(listener, tls.map(|tls| (tls, tls::Port::Grpc)), door);
    tokio::select! {
        served = router.serve_with_incoming_shutdown(incoming, stopping.cancelled()) => Ok(served?),
        () = drained => Ok(()),
    }
}

/// Says that the registry is served as soon as the view has one, and until the node stops.
async fn report(health: HealthReporter, reader: Reader, stopping: CancellationToken) -> Result<(), String> {
    health.set_service_status(REGISTRY, ServingStatus::NotServing).await;
    if stopping.run_until_cancelled(reader.reach(Index(1))).await.is_some() {
        health.set_service_status(REGISTRY, ServingStatus::Serving).await;
        stopping.cancelled().await;
    }
    for service in [REGISTRY, ""] {
        health.set_service_status(service, ServingStatus::NotServing).await;
        // Ends the streams of those who watch it.
        health.clone().clear_service_status(service).await;
    }
    Ok(())
}
