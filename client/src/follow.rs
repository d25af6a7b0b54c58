//! Keeps one watch open for as long as somebody looks at what it tells.
//!
//! A stream that ends, breaks or falls silent is opened again, after pauses that grow, and goes on from where it was.
//! Until then the last set stands.

use std::{sync::Arc, time::Duration};

use lictor_proto::v1::registry_client::RegistryClient;
use tokio::{sync::watch, time::timeout};
use tonic::{Code, Status, transport::Channel};
use tracing::{debug, warn};

use crate::{
    Endpoints, Service,
    set::{Set, SetError, Taken},
};

/// The first pause before a stream is opened again; doubled from then on, up to the longest.
const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// How long an agent may take to open a stream.
const OPEN_LIMIT: Duration = Duration::from_secs(5);
/// How long a stream may be silent: heartbeats come every 5 s.
const SILENCE_LIMIT: Duration = Duration::from_secs(15);

/// Why a stream is followed no longer.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("{}: {}", .0.code(), .0.message())]
    Status(Status),
    #[error("the agent did not answer within {OPEN_LIMIT:?}")]
    NoAnswer,
    #[error("the agent was silent for {SILENCE_LIMIT:?}")]
    Silent,
    #[error("the agent closed the stream")]
    Closed,
    #[error(transparent)]
    Set(#[from] SetError),
}

impl Ended {
    /// Whether asking again is of no use until someone changes something.
    fn is_refusal(&self) -> bool {
        let Self::Status(status) = self else { return false };
        matches!(status.code(), Code::InvalidArgument | Code::FailedPrecondition | Code::Unimplemented)
    }
}

/// Tells `endpoints` of the instances of `service` until nobody looks any more.
pub async fn follow(mut registry: RegistryClient<Channel>, service: Service, endpoints: watch::Sender<Endpoints>) {
    let nobody_looks = endpoints.clone();
    let mut followed = Followed { service, endpoints, set: Set::default() };
    tokio::select! {
        () = nobody_looks.closed() => {}
        () = followed.forever(&mut registry) => {}
    }
}

struct Followed {
    service: Service,
    endpoints: watch::Sender<Endpoints>,
    set: Set,
}

impl Followed {
    async fn forever(&mut self, registry: &mut RegistryClient<Channel>) {
        let mut backoff = MIN_BACKOFF;
        loop {
            let (ended, has_worked) = self.one_stream(registry).await;
            let (service, trouble) = (self.service.name(), ended.to_string());
            if ended.is_refusal() {
                warn!(service, trouble, "the agent refuses to tell of the service; it is asked again and again");
            } else {
                debug!(service, trouble, "the agent cannot be heard; the last set stands");
            }
            self.endpoints.send_if_modified(|told| told.trouble.replace(trouble.clone()) != Some(trouble));
            if has_worked {
                backoff = MIN_BACKOFF;
            }
            tokio::time::sleep(backoff.mul_f64(rand::random_range(0.5..1.0))).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    /// Follows one stream to its end; says whether anything came of it.
    async fn one_stream(&mut self, registry: &mut RegistryClient<Channel>) -> (Ended, bool) {
        self.set.begin();
        let request = self.service.request(self.set.position());
        let mut stream = match timeout(OPEN_LIMIT, registry.watch_service(request)).await {
            Err(_) => return (Ended::NoAnswer, false),
            Ok(Err(status)) => return (Ended::Status(status), false),
            Ok(Ok(response)) => response.into_inner(),
        };
        let mut has_worked = false;
        let ended = loop {
            let message = match timeout(SILENCE_LIMIT, stream.message()).await {
                Err(_) => break Ended::Silent,
                Ok(Err(status)) => break Ended::Status(status),
                Ok(Ok(None)) => break Ended::Closed,
                Ok(Ok(Some(message))) => message,
            };
            match self.set.take(message) {
                Ok(Taken::Part) => {}
                Ok(taken) => {
                    has_worked = true;
                    self.tell(&taken);
                }
                Err(error) => break error.into(),
            }
        };
        (ended, has_worked)
    }

    fn tell(&self, taken: &Taken) {
        let index = self.set.position().map_or(0, |position| position.index);
        self.endpoints.send_if_modified(|told| {
            told.index = index;
            let was_troubled = told.trouble.take().is_some();
            if *taken == Taken::Changed {
                told.instances = self.set.instances().map(|(_, instance)| Arc::clone(instance)).collect();
                told.state = self.set.state().into();
            }
            was_troubled || *taken == Taken::Changed
        });
    }
}
