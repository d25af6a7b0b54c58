//! The interface on a socket: health, reflection, watches, and an end after which the port is free.

use std::sync::Arc;
use lictor_shared::acl::Authority;
use std::{net::SocketAddr, time::Duration};

use lictor_proto::v1::{WatchServiceRequest, registry_client::RegistryClient};
use lictor_shared::{model::Status, node::Applications};
use tokio::{net::TcpListener, time::timeout};
use tonic::{Code, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use super::world::{World, register};

/// Longest time that anything here may take.
const LIMIT: Duration = Duration::from_secs(20);

async fn served(world: &World) -> (SocketAddr, Channel) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    crate::serve(Applications {
        listeners: vec![listener],
        secured: Vec::new(),
        tls: std::sync::Arc::default(),
        datacenter: "dc1".into(),
        reader: world.reader.clone(),
        backend: world.backend.clone(),
            authority: Arc::new(Authority::open(world.reader.clone())),
        tasks: world.tasks.clone(),
    });
    (address, Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap())
}

#[tokio::test]
async fn health_says_whether_the_registry_is_known() {
    let mut world = World::new();
    let (_, channel) = served(&world).await;
    let mut health = HealthClient::new(channel);
    let request = |service: &str| HealthCheckRequest { service: service.into() };
    let mut statuses = health.watch(request("lictor.v1.Registry")).await.unwrap().into_inner();
    let mut next = async || timeout(LIMIT, statuses.message()).await.unwrap().unwrap();
    assert_eq!(next().await.unwrap().status(), ServingStatus::NotServing);
    assert_eq!(health.check(request("")).await.unwrap().into_inner().status(), ServingStatus::Serving);
    world.apply(&register("n1", "web", "web", &[], 80, Status::Passing));
    assert_eq!(next().await.unwrap().status(), ServingStatus::Serving);
    assert!(world.tasks.shutdown(LIMIT).await);
    while let Ok(Some(status)) = timeout(LIMIT, statuses.message()).await.unwrap() {
        assert_eq!(status.status(), ServingStatus::NotServing);
    }
}

#[tokio::test]
async fn reflection_names_the_services() {
    let world = World::new();
    let (_, channel) = served(&world).await;
    let ask = |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
    let questions = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("lictor.v1.Registry.WatchService".into())),
    ];
    let answers =
        ServerReflectionClient::new(channel).server_reflection_info(tokio_stream::iter(questions)).await.unwrap();
    let mut answers = answers.into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) = answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("no list")
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&"lictor.v1.Registry") && names.contains(&"grpc.health.v1.Health"), "{names:?}");
    let file = answers.message().await.unwrap().unwrap().message_response;
    assert!(matches!(file, Some(MessageResponse::FileDescriptorResponse(_))), "{file:?}");
}

#[tokio::test]
async fn watches_end_at_shutdown_and_the_port_can_be_bound_again() {
    let mut world = World::new();
    world.apply(&register("n1", "web", "web", &[], 80, Status::Passing));
    let (address, channel) = served(&world).await;
    let request = WatchServiceRequest { service: "web".into(), ..Default::default() };
    let mut stream = RegistryClient::new(channel).watch_service(request).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    assert!(world.tasks.shutdown(LIMIT).await);
    let end = loop {
        match timeout(LIMIT, stream.message()).await.unwrap() {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert_eq!(end.unwrap_err().code(), Code::Unavailable);
    TcpListener::bind(address).await.unwrap();
}
