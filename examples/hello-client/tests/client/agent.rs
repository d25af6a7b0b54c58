//! An agent that answers `/v1/health/service/NAME` with what the test says, holding blocking queries, on
//! a port that it keeps when it is stopped and started again.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// What the agent answers with.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub index: u64,
    pub body: String,
    /// Whether a query for the present index is held.
    pub holds: bool,
}

impl Answer {
    /// What a real agent answers: the hosts with their addresses in the service or, every second one, in the node.
    pub fn hosts(index: u64, hosts: &[SocketAddr]) -> Self {
        let entries = hosts.iter().enumerate().map(|(number, host)| {
            let (node, service) = if number % 2 == 0 {
                ("192.0.2.1".into(), host.ip().to_string())
            } else {
                (host.ip().to_string(), String::new())
            };
            serde_json::json!({
                "Node": {"Node": "h", "Address": node},
                "Service": {"ID": host.to_string(), "Address": service, "Port": host.port()},
                "Checks": [],
            })
        });
        Self { status: 200, index, body: serde_json::Value::from_iter(entries).to_string(), holds: true }
    }
}

/// The queries the agent got, with their times.
type Queries = Arc<Mutex<Vec<(Instant, String)>>>;

pub struct Agent {
    pub address: SocketAddr,
    answer: watch::Sender<Answer>,
    queries: Queries,
    serving: Option<JoinHandle<()>>,
}

impl Agent {
    pub async fn start(answer: Answer) -> Self {
        let any = ([127, 0, 0, 1], 0).into();
        let mut agent =
            Self { address: any, answer: watch::Sender::new(answer), queries: Queries::default(), serving: None };
        agent.start_again().await;
        agent
    }

    /// Changes the answer and wakes the held queries.
    pub fn set(&self, answer: Answer) {
        self.answer.send_replace(answer);
    }

    pub fn queries(&self) -> Vec<(Instant, String)> {
        self.queries.lock().unwrap().clone()
    }

    /// Closes the listener and every connection.
    pub async fn stop(&mut self) {
        let serving = self.serving.take().unwrap();
        serving.abort();
        assert!(serving.await.unwrap_err().is_cancelled());
    }

    pub async fn start_again(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        let (answer, queries) = (self.answer.clone(), Arc::clone(&self.queries));
        self.serving = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answer, queries) = (answer.clone(), Arc::clone(&queries));
                let service = service_fn(move |request| respond(request, answer.subscribe(), Arc::clone(&queries)));
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        }));
    }
}

async fn respond(
    request: Request<Incoming>,
    mut answer: watch::Receiver<Answer>,
    queries: Queries,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let query = request.uri().to_string();
    queries.lock().unwrap().push((Instant::now(), query.clone()));
    let index = query.split_once("index=").unwrap().1.split('&').next().unwrap().parse::<u64>().unwrap();
    // As Consul does: an index other than the present one is answered at once.
    let changed = answer.wait_for(|answer| !answer.holds || answer.index != index);
    let answer = match tokio::time::timeout(Duration::from_secs(30), changed).await {
        Ok(answer) => answer.unwrap().clone(),
        Err(_) => panic!("no test takes that long"),
    };
    let response = Response::builder().status(answer.status).header("X-Consul-Index", answer.index);
    Ok(response.body(Full::from(answer.body)).unwrap())
}
