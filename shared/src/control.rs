//! Requests that only the process as a whole can carry out: reload its files, leave the cluster.
//!
//! Handlers and signals send them; the agent's main loop answers.

use tokio::sync::{mpsc, oneshot};

/// Requests that may wait at once; more are refused.
const WAITING_REQUESTS: usize = 8;

/// One request and where its answer goes.
#[derive(Debug)]
pub enum Request {
    /// Read the configuration again and apply what can change while running.
    Reload(oneshot::Sender<Result<(), String>>),
    /// Leave the cluster gracefully, then stop.
    Leave(oneshot::Sender<Result<(), String>>),
}

/// The sending side. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Control {
    requests: mpsc::Sender<Request>,
}

/// Makes the channel between those who ask and the main loop.
#[must_use]
pub fn channel() -> (Control, mpsc::Receiver<Request>) {
    let (requests, receiver) = mpsc::channel(WAITING_REQUESTS);
    (Control { requests }, receiver)
}

impl Control {
    /// Reloads; resolves when it is done.
    ///
    /// # Errors
    /// Says which file or key is wrong; then nothing was changed.
    pub async fn reload(&self) -> Result<(), String> {
        self.ask(Request::Reload).await
    }

    /// Leaves; resolves when the cluster has been told, shortly before the process stops.
    ///
    /// # Errors
    /// Says why it could not leave.
    pub async fn leave(&self) -> Result<(), String> {
        self.ask(Request::Leave).await
    }

    async fn ask(&self, request: impl FnOnce(oneshot::Sender<Result<(), String>>) -> Request) -> Result<(), String> {
        let (answer, receiver) = oneshot::channel();
        self.requests.try_send(request(answer)).map_err(|_| "the agent is busy or stopping".to_string())?;
        receiver.await.unwrap_or_else(|_| Err("the agent is stopping".into()))
    }
}
