//! The way to the leader, with servers that answer as scripted.

use crate::acl::Credential;
use std::{collections::VecDeque, time::Duration};

use super::*;
use crate::{
    command::{Deregistration, Outcome},
    view,
};

const SHORT: Limits = Limits {
    write_hold: Duration::from_millis(700),
    barrier_hold: Duration::from_millis(300),
    answer: Duration::from_millis(100),
};

/// Servers that answer as scripted, in order; every server that is asked is noted.
#[derive(Default)]
struct Scripted {
    leader: Option<String>,
    all: Vec<String>,
    answers: Mutex<VecDeque<Result<u64, AskError>>>,
    asked: Mutex<Vec<String>>,
    leaderless_for: Duration,
}

impl Scripted {
    fn answer(&self, server: &str) -> Result<Index, AskError> {
        self.asked.lock().unwrap().push(server.into());
        let next = self.answers.lock().unwrap().pop_front();
        next.unwrap_or(Err(AskError::NotLeader { leader: None })).map(Index)
    }
}

#[async_trait]
impl Servers for Scripted {
    fn leader(&self) -> Option<String> {
        self.leader.clone()
    }

    fn to_ask(&self) -> Vec<String> {
        self.all.clone()
    }

    fn peers(&self) -> Vec<String> {
        self.all.clone()
    }

    fn contact(&self) -> Contact {
        Contact { known_leader: self.leader.is_some(), last: self.leaderless_for }
    }

    async fn write(&self, server: &str, _: &Command, _: &Credential) -> Result<Written, AskError> {
        self.answer(server).map(|index| Written { index, outcome: Outcome::Done })
    }

    async fn barrier(&self, server: &str, _: Consistency) -> Result<Index, AskError> {
        self.answer(server)
    }

    async fn servers(&self, server: &str, _: bool, _: &Credential) -> Result<ServersReport, AskError> {
        self.answer(server).map(|last_index| ServersReport { last_index, ..ServersReport::default() })
    }

    async fn fetch(&self, server: &str, _: &Fetch) -> Result<Fetched, AskError> {
        self.answer(server).map(|_| Fetched { body: server.to_owned().into(), ..Fetched::default() })
    }

    async fn renew(&self, server: &str, _: Uuid, _: &Credential) -> Result<bool, AskError> {
        self.answer(server).map(|_| true)
    }
}

fn not_leader(leader: Option<&str>) -> Result<u64, AskError> {
    Err(AskError::NotLeader { leader: leader.map(Into::into) })
}

fn unsent() -> Result<u64, AskError> {
    Err(AskError::Unsent("connection refused".into()))
}

fn forward(leader: Option<&str>, all: &[&str], answers: Vec<Result<u64, AskError>>) -> Forward<Scripted> {
    forward_to(scripted(leader, all, answers))
}

fn scripted(leader: Option<&str>, all: &[&str], answers: Vec<Result<u64, AskError>>) -> Scripted {
    let all = all.iter().map(ToString::to_string).collect();
    let (leader, answers) = (leader.map(Into::into), Mutex::new(answers.into()));
    Scripted { leader, all, answers, ..Scripted::default() }
}

fn forward_to(scripted: Scripted) -> Forward<Scripted> {
    let (mut writer, reader) = view::new();
    let mut state = crate::catalog::State::default();
    state.skip_to(Index(1000));
    writer.replace(state);
    Forward::within(SHORT, scripted, reader, &Tasks::new())
}

fn command() -> Command {
    Command::Deregister(Deregistration::Node("n".into()))
}

fn asked(forward: &Forward<Scripted>) -> Vec<String> {
    std::mem::take(&mut forward.servers().asked.lock().unwrap())
}

#[tokio::test]
async fn a_hint_is_followed_and_remembered() {
    let forward = forward(Some("a"), &["a", "b"], vec![not_leader(Some("b")), Ok(5), Ok(6)]);
    assert_eq!(forward.write(command(), &Credential::none()).await.unwrap().index, Index(5));
    assert_eq!(asked(&forward), ["a", "b"]);
    assert_eq!(forward.barrier(Consistency::Leader).await, Ok(Index(6)));
    assert_eq!(asked(&forward), ["b"]);
}

#[tokio::test]
async fn an_election_is_waited_for() {
    let mut answers = vec![unsent()];
    answers.extend((0..5).map(|_| not_leader(None)));
    answers.push(Ok(9));
    let forward = forward(Some("a"), &["a", "b", "c"], answers);
    let started = Instant::now();
    assert_eq!(forward.write(command(), &Credential::none()).await.unwrap().index, Index(9));
    assert!(started.elapsed() >= RETRY_PAUSE * 5);
    let servers = asked(&forward);
    assert_eq!(servers.iter().filter(|server| *server == "a").count(), 1, "the dead leader is not asked again");
}

#[tokio::test]
async fn without_a_leader_a_write_gives_up_in_time_and_a_barrier_sooner() {
    let forward = forward(None, &["a", "b"], vec![]);
    let started = Instant::now();
    assert_eq!(forward.write(command(), &Credential::none()).await, Err(BackendError::NoLeader));
    assert!(started.elapsed() >= SHORT.write_hold - RETRY_PAUSE * 2);
    let started = Instant::now();
    assert_eq!(forward.barrier(Consistency::Quorum).await, Err(BackendError::NoLeader));
    assert!(started.elapsed() >= SHORT.barrier_hold - RETRY_PAUSE * 2);
}

#[tokio::test]
async fn a_barrier_with_nobody_there_fails_at_once() {
    let forward = forward(Some("a"), &["a", "b", "c"], (0..9).map(|_| unsent()).collect());
    assert_eq!(forward.barrier(Consistency::Leader).await, Err(BackendError::NoServers));
    let mut servers = asked(&forward);
    servers.sort();
    assert_eq!(servers, ["a", "b", "c"]);
}

#[tokio::test]
async fn long_without_a_leader_a_barrier_asks_nobody() {
    let scripted = Scripted { leaderless_for: LEADERLESS_LIMIT, ..scripted(None, &["a", "b"], vec![]) };
    let forward = forward_to(scripted);
    assert_eq!(forward.barrier(Consistency::Leader).await, Err(BackendError::NoLeader));
    assert!(asked(&forward).is_empty());
}

#[tokio::test]
async fn a_refused_write_is_not_tried_again_and_an_unknown_one_is_when_idempotent() {
    let rejected = Err(AskError::Rejected("too large".into()));
    let forward = forward(Some("a"), &["a"], vec![rejected, Err(AskError::Unknown("reset".into())), Ok(3)]);
    assert_eq!(forward.write(command(), &Credential::none()).await, Err(BackendError::Failed("too large".into())));
    assert_eq!(forward.write(command(), &Credential::none()).await.unwrap().index, Index(3));
}

#[tokio::test]
async fn without_any_server_the_error_says_so() {
    let forward = forward(None, &[], vec![]);
    assert_eq!(forward.write(command(), &Credential::none()).await, Err(BackendError::NoServers));
    let started = Instant::now();
    assert_eq!(forward.barrier(Consistency::Leader).await, Err(BackendError::NoServers));
    assert!(started.elapsed() < SHORT.barrier_hold, "the node has something to answer from");
}

#[tokio::test]
async fn a_request_goes_to_the_leader_or_in_turn_and_on_to_another_when_it_is_left_unanswered() {
    let reset = || Err(AskError::Unknown("reset".into()));
    let forward = forward(Some("a"), &["a", "b"], vec![Ok(1), unsent(), Ok(1), Ok(1), Ok(1), reset(), Ok(1)]);
    let fetch = |any_server| Fetch { any_server, limit: Duration::from_secs(5), ..Fetch::default() };
    let body = |fetched: Result<Fetched, BackendError>| fetched.unwrap().body;
    assert_eq!(body(forward.fetch(fetch(false)).await), "a");
    assert_eq!(body(forward.fetch(fetch(false)).await), "b", "the first could not be reached");
    let (one, other) = (body(forward.fetch(fetch(true)).await), body(forward.fetch(fetch(true)).await));
    assert_ne!(one, other);
    asked(&forward);
    forward.fetch(fetch(true)).await.unwrap();
    let servers = asked(&forward);
    assert!(servers.len() == 2 && servers[0] != servers[1], "{servers:?}");
}

#[tokio::test]
async fn what_is_for_another_datacenter_goes_to_any_server_and_at_most_once_where_it_must() {
    let reset = || Err(AskError::Unknown("reset".into()));
    let fetch = |once| Fetch { datacenter: "dc2".into(), once, limit: Duration::from_secs(5), ..Fetch::default() };
    let forward = forward(None, &["a", "b"], vec![reset(), unsent(), Ok(1), reset(), Ok(1)]);
    let unknown = forward.fetch(fetch(true)).await.unwrap_err();
    assert!(unknown.to_string().contains("may or may not have been done"), "{unknown}");
    assert_eq!(asked(&forward).len(), 1);
    forward.fetch(fetch(true)).await.unwrap();
    assert_eq!(asked(&forward).len(), 2, "the first did not get it");
    forward.fetch(fetch(false)).await.unwrap();
    assert_eq!(asked(&forward).len(), 2, "a read may be put to another");
}
