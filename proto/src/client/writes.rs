//! Writes on their way to one server, sent together.
//!
//! A request costs far more than the command in it, here, at the leader, and at every server that follows: a batch goes
//! through all of them as one. So one request is under way at a time, and commands that come meanwhile gather for the
//! next. Alone, a command is sent at once. Among many, the next request waits a moment for those whose callers have just
//! been answered, for most of them write again, so that all who write at the same time come to share each request.
//! Requests run in a task of their own, so that a caller who gives up takes nothing from the rest.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lictor_shared::{
    acl::Credential,
    command::Written,
    forward::{ANSWER_LIMIT, AskError},
    traces::{self, Kind, Place, Span},
};
use prost::Message;
use tokio::{
    sync::{Notify, oneshot},
    time::timeout,
};

use super::refusal::{missing, unreadable};
use crate::internal::{Command, WriteOutcome, WriteReply, WriteRequest, write_outcome};

/// A request waits no longer for callers who write again once none has come for so long ...
const PAUSE: Duration = Duration::from_millis(1);
/// ... nor for more than so many of these times.
const PAUSES: usize = 3;
/// Fewer callers than that are not waited for: they gain less than they lose.
const FEW: usize = 4;
/// The most commands of a request.
const COMMANDS: usize = 256;
/// The most bytes of a request with more than one command.
const BYTES: usize = 1 << 20;

type Answer = Result<Written, AskError>;

/// The writes of one server. Who bounds the callers bounds what waits here.
#[derive(Debug, Default)]
pub(super) struct Writes {
    queue: Mutex<Queue>,
    /// Woken when as many wait as are wanted.
    gathered: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Somebody sends.
    sending: bool,
    /// So many are wanted for the next request.
    wanted: Option<usize>,
}

#[derive(Debug)]
struct Waiting {
    command: Command,
    by: Credential,
    /// The span that waits.
    span: Option<Place>,
    caller: oneshot::Sender<Answer>,
}

impl Writes {
    /// Has `send` take the command to the server, with others.
    pub async fn write<F>(
        self: Arc<Self>,
        command: Command,
        by: Credential,
        send: impl Fn(WriteRequest) -> F + Send + 'static,
    ) -> Answer
    where
        F: Future<Output = Result<WriteReply, AskError>> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let first = {
            let mut queue = self.queue();
            queue.waiting.push_back(Waiting { command, by, span: traces::current(), caller });
            if queue.wanted.is_some_and(|wanted| queue.waiting.len() >= wanted) {
                queue.wanted = None;
                self.gathered.notify_one();
            }
            !std::mem::replace(&mut queue.sending, true)
        };
        if first {
            tokio::spawn(Sending { writes: self, ended: false }.run(send));
        }
        answer.await.unwrap_or_else(|_| Err(AskError::Unknown("this node is stopping".into())))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // No code that holds the lock can leave the queue half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `callers` have a command here, or for as long as they keep coming.
    async fn gather(&self, callers: usize) {
        let mut here = {
            let mut queue = self.queue();
            if callers < FEW || queue.waiting.len() >= callers {
                return;
            }
            queue.wanted = Some(callers);
            queue.waiting.len()
        };
        for _ in 0..PAUSES {
            let complete = timeout(PAUSE, self.gathered.notified()).await.is_ok();
            let before = std::mem::replace(&mut here, self.queue().waiting.len());
            if complete || here == before {
                break;
            }
        }
        self.queue().wanted = None;
    }

    /// The next commands to be sent, of callers who still wait. None: there are none, and nobody sends any more.
    fn next(&self) -> Option<Vec<Waiting>> {
        let mut queue = self.queue();
        let (mut next, mut bytes) = (Vec::new(), 0);
        while next.len() < COMMANDS
            && let Some(waiting) = queue.waiting.pop_front()
        {
            if waiting.caller.is_closed() {
                continue;
            }
            bytes += waiting.command.encoded_len();
            if bytes > BYTES && !next.is_empty() {
                queue.waiting.push_front(waiting);
                break;
            }
            next.push(waiting);
        }
        if next.is_empty() {
            queue.sending = false;
        }
        Some(next).filter(|next| !next.is_empty())
    }
}

/// Who sends, as long as there is something to send.
struct Sending {
    writes: Arc<Writes>,
    ended: bool,
}

impl Sending {
    async fn run<F>(mut self, send: impl Fn(WriteRequest) -> F)
    where
        F: Future<Output = Result<WriteReply, AskError>>,
    {
        let mut callers_seen = 0;
        loop {
            self.writes.gather(callers_seen).await;
            let Some(waiting) = self.writes.next() else { break };
            let mut span = Span::of(waiting.iter().filter_map(|waiting| waiting.span), Kind::Internal, "write.round");
            span.set("lictor.commands", waiting.len());
            let (mut commands, mut tokens, mut callers) = (Vec::new(), Vec::new(), Vec::new());
            for Waiting { command, by, caller, .. } in waiting {
                commands.push(command);
                tokens.push(by.expose().to_owned());
                callers.push(caller);
            }
            if tokens.iter().all(String::is_empty) {
                tokens.clear();
            }
            let sent = timeout(ANSWER_LIMIT, span.around(send(WriteRequest { commands, tokens }))).await;
            let sent = sent.unwrap_or_else(|_| Err(AskError::Unknown("it did not answer in time".into())));
            span.note(&sent);
            drop(span);
            callers_seen = COMMANDS.min(callers.len() + self.writes.queue().waiting.len());
            let mut answers = answers(sent, callers.len()).into_iter();
            for caller in callers {
                // A caller that gave up has dropped its receiver.
                let _ = caller.send(answers.next().unwrap_or_else(|| Err(missing("WriteReply.outcomes"))));
            }
        }
        self.ended = true;
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if !self.ended {
            self.writes.queue().sending = false;
        }
    }
}

/// The answer to each of the commands, in their order.
fn answers(sent: Result<WriteReply, AskError>, commands: usize) -> Vec<Answer> {
    match sent {
        Ok(reply) => reply.outcomes.into_iter().map(answer).collect(),
        Err(error) => vec![Err(error); commands],
    }
}

fn answer(outcome: WriteOutcome) -> Answer {
    match outcome.outcome {
        Some(write_outcome::Outcome::Written(written)) => written.try_into().map_err(unreadable),
        Some(write_outcome::Outcome::NotLeader(hint)) => Err(hint.into()),
        Some(write_outcome::Outcome::Unsent(unsent)) => Err(unsent.into()),
        Some(write_outcome::Outcome::Unknown(unknown)) => Err(unknown.into()),
        Some(write_outcome::Outcome::Rejected(rejected)) => Err(rejected.into()),
        Some(write_outcome::Outcome::Denied(denied)) => Err(denied.into()),
        None => Err(missing("WriteOutcome.outcome")),
    }
}

#[cfg(test)]
mod tests {
    use lictor_shared::{command::Outcome, model::Index};
    use tokio::sync::{Semaphore, mpsc};

    use super::*;
    use crate::internal;

    const LIMIT: Duration = Duration::from_secs(10);

    fn command(bytes: usize) -> Command {
        let deregistration = lictor_shared::command::Deregistration::Node("n".repeat(bytes).as_str().into());
        (&lictor_shared::command::Command::Deregister(deregistration)).into()
    }

    fn written(index: u64) -> WriteOutcome {
        let written = Written { index: Index(index), outcome: Outcome::Done };
        WriteOutcome { outcome: Some(write_outcome::Outcome::Written((&written).into())) }
    }

    /// Answers each request after a permit, with its number, and tells how many commands it had.
    struct Server {
        permits: Semaphore,
        requests: mpsc::UnboundedSender<usize>,
    }

    impl Server {
        fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<usize>) {
            let (requests, received) = mpsc::unbounded_channel();
            (Arc::new(Self { permits: Semaphore::new(0), requests }), received)
        }

        fn take(self: &Arc<Self>, request: WriteRequest) -> impl Future<Output = Result<WriteReply, AskError>> + use<> {
            let server = self.clone();
            async move {
                let count = request.commands.len();
                server.requests.send(count).unwrap();
                server.permits.acquire().await.unwrap().forget();
                Ok(WriteReply { outcomes: (0..count).map(|place| written(place as u64)).collect() })
            }
        }

        fn write(self: &Arc<Self>, writes: &Arc<Writes>, bytes: usize) -> tokio::task::JoinHandle<Answer> {
            let (server, writes) = (self.clone(), writes.clone());
            tokio::spawn(writes.write(command(bytes), Credential::none(), move |request| server.take(request)))
        }
    }

    async fn next(received: &mut mpsc::UnboundedReceiver<usize>) -> usize {
        timeout(LIMIT, received.recv()).await.unwrap().unwrap()
    }

    async fn waiting(writes: &Writes, count: usize) {
        timeout(LIMIT, async {
            while writes.queue().waiting.len() < count {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn one_request_is_under_way_and_the_rest_share_the_next() {
        let (server, mut received) = Server::new();
        let writes = Arc::new(Writes::default());
        let mut callers = vec![server.write(&writes, 1)];
        assert_eq!(next(&mut received).await, 1);
        for _ in 0..10 {
            callers.push(server.write(&writes, 1));
        }
        waiting(&writes, 10).await;
        server.permits.add_permits(1);
        assert_eq!(next(&mut received).await, 10);
        server.permits.add_permits(1);
        let mut indexes = Vec::new();
        for caller in callers {
            indexes.push(timeout(LIMIT, caller).await.unwrap().unwrap().unwrap().index.0);
        }
        assert_eq!(indexes, [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[tokio::test(start_paused = true)]
    async fn callers_who_write_again_are_waited_for_but_not_for_long() {
        let (server, mut received) = Server::new();
        let writes = Arc::new(Writes::default());
        server.permits.add_permits(100);
        let first = server.write(&writes, 1);
        assert_eq!(next(&mut received).await, 1);
        first.await.unwrap().unwrap();
        let together: Vec<_> = (0..4).map(|_| server.write(&writes, 1)).collect();
        assert_eq!(next(&mut received).await, 4);
        for caller in together {
            caller.await.unwrap().unwrap();
        }
        // Four were answered together: those of them who come again first wait for the last ...
        let again: Vec<_> = (0..3).map(|_| server.write(&writes, 1)).collect();
        waiting(&writes, 3).await;
        assert!(received.try_recv().is_err());
        let last = server.write(&writes, 1);
        assert_eq!(next(&mut received).await, 4);
        for caller in again.into_iter().chain([last]) {
            caller.await.unwrap().unwrap();
        }
        // ... and goes without those who do not come; nobody waits for them a second time.
        let alone = server.write(&writes, 1);
        assert_eq!(next(&mut received).await, 1);
        alone.await.unwrap().unwrap();
        let before = tokio::time::Instant::now();
        server.write(&writes, 1).await.unwrap().unwrap();
        assert_eq!((next(&mut received).await, before.elapsed()), (1, Duration::ZERO));
        timeout(LIMIT, async {
            while writes.queue().sending {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn a_request_is_bounded_and_holds_nothing_of_those_who_gave_up() {
        let (server, mut received) = Server::new();
        let writes = Arc::new(Writes::default());
        drop(server.write(&writes, 1));
        next(&mut received).await;
        let gone = server.write(&writes, 1);
        waiting(&writes, 1).await;
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        let large: Vec<_> = (0..3).map(|_| server.write(&writes, BYTES * 2 / 5)).collect();
        let huge = server.write(&writes, 2 * BYTES);
        waiting(&writes, 5).await;
        server.permits.add_permits(1);
        assert_eq!(next(&mut received).await, 2, "two of the large ones");
        server.permits.add_permits(1);
        assert_eq!(next(&mut received).await, 1, "the third");
        server.permits.add_permits(1);
        assert_eq!(next(&mut received).await, 1, "one that is larger than a request may be goes alone");
        server.permits.add_permits(1);
        for caller in large.into_iter().chain([huge]) {
            assert!(timeout(LIMIT, caller).await.unwrap().unwrap().is_ok());
        }
    }

    #[tokio::test]
    async fn each_command_has_the_answer_that_was_meant_for_it() {
        let rejected = internal::Rejected { reason: "no".into() };
        let rejected = WriteOutcome { outcome: Some(write_outcome::Outcome::Rejected(rejected)) };
        let reply = WriteReply { outcomes: vec![written(7), rejected] };
        let [first, second] = answers(Ok(reply), 2).try_into().unwrap();
        assert_eq!((first.unwrap().index, second), (Index(7), Err(AskError::Rejected("no".into()))));
        let unsent = AskError::Unsent("too many".into());
        assert_eq!(answers(Err(unsent.clone()), 2), [Err(unsent.clone()), Err(unsent)]);
        // A server that answers less than it was asked.
        let writes = Arc::new(Writes::default());
        let short = writes.write(command(1), Credential::none(), |_| async { Ok(WriteReply { outcomes: Vec::new() }) });
        assert!(matches!(timeout(LIMIT, short).await.unwrap(), Err(AskError::Unknown(_))));
    }
}
