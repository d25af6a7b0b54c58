//! The client against a hand-made agent and real `hello` instances: hosts come and go, one dies without notice, the
//! agent goes away and comes back, its index goes back, it answers nonsense.

#![allow(clippy::unwrap_used, reason = "clippy does not take the functions that tests call for tests")]

mod agent;

use std::{net::SocketAddr, process::Stdio, time::Duration};

use agent::{Agent, Answer};
use hello_client::{Counts, Event, Options, run};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::Command,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

const LIMIT: Duration = Duration::from_secs(20);

/// `hello` in a task of this process.
struct Instance {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Instance {
    async fn start(name: &str, address: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind(address.unwrap_or(([127, 0, 0, 1], 0).into())).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(hello::serve(listener, name.into(), async {
            let _ = stopped.await;
        }));
        Self { address, stop, task }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

/// `run` in a task of this process.
struct Client {
    events: mpsc::UnboundedReceiver<Event>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<Counts>>,
}

impl Client {
    fn start(agent: &Agent) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let options = Options {
            agent: agent.address.to_string(),
            service: "hello".into(),
            interval: Duration::from_millis(5),
            verbose: true,
        };
        let task = tokio::spawn(async move {
            let report = |event| sender.send(event).map_err(std::io::Error::other);
            run(&options, report, async {
                let _ = stopped.await;
            })
            .await
        });
        Self { events, stop, task }
    }

    /// The lines of the next events, up to and with one that `is_last`.
    async fn until(&mut self, is_last: impl Fn(&Event) -> bool) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let event = timeout(LIMIT, self.events.recv()).await;
            let event = event.unwrap_or_else(|_| panic!("it did not come; what came: {lines:?}")).unwrap();
            lines.push(event.to_string());
            if is_last(&event) {
                return lines;
            }
        }
    }

    /// The next `count` answers, without the numbers of the calls. Nothing else may happen.
    async fn answers(&mut self, count: usize) -> Vec<String> {
        let mut answers = Vec::new();
        while answers.len() < count {
            match timeout(LIMIT, self.events.recv()).await.unwrap().unwrap() {
                Event::Answered(_, answer) => answers.push(answer.split_once(':').unwrap().0.to_owned()),
                other => panic!("{other}"),
            }
        }
        answers
    }

    async fn stop(self) -> Counts {
        self.stop.send(()).unwrap();
        timeout(LIMIT, self.task).await.unwrap().unwrap().unwrap()
    }
}

/// The query of a client that knows `index`.
fn query(index: u64) -> String {
    format!("/v1/health/service/hello?passing&stale&index={index}&wait=30s")
}

fn is_added(event: &Event) -> bool {
    matches!(event, Event::Added(_))
}

fn is_deleted(event: &Event) -> bool {
    matches!(event, Event::Deleted(_))
}

fn is_answer(event: &Event) -> bool {
    matches!(event, Event::Answered(..))
}

#[tokio::test]
async fn hosts_come_and_go_and_are_called_in_turn() {
    let one = Instance::start("one", None).await;
    let agent = Agent::start(Answer::hosts(5, &[one.address])).await;
    let mut client = Client::start(&agent);
    assert_eq!(client.until(is_added).await, [format!("add host {}", one.address)]);
    assert_eq!(client.answers(3).await, ["hello from one"; 3]);

    let two = Instance::start("two", None).await;
    agent.set(Answer::hosts(6, &[one.address, two.address]));
    let lines = client.until(is_added).await;
    assert_eq!(*lines.last().unwrap(), format!("add host {}", two.address));
    let answers = client.answers(6).await;
    assert_eq!(answers[0], answers[2]);
    assert_ne!(answers[0], answers[1]);
    assert_eq!(answers[..2], answers[2..4]);
    assert_eq!(answers[..2], answers[4..]);

    agent.set(Answer::hosts(7, &[two.address]));
    let lines = client.until(is_deleted).await;
    assert_eq!(*lines.last().unwrap(), format!("delete host {}", one.address));
    assert_eq!(client.answers(3).await, ["hello from two"; 3]);

    agent.set(Answer::hosts(8, &[]));
    client.until(is_deleted).await;
    client.until(|event| matches!(event, Event::CallFailed(0))).await;

    agent.set(Answer::hosts(9, &[one.address]));
    client.until(is_answer).await;
    let counts = client.stop().await;
    assert!(counts.calls > counts.failed && counts.failed > 0, "{counts}");
    let queries: Vec<_> = agent.queries().into_iter().map(|(_, query)| query).collect();
    assert_eq!(queries[..5], [0, 5, 6, 7, 8].map(query));
}

#[tokio::test]
async fn a_host_that_dies_without_notice_is_skipped_and_stays_until_the_registry_deletes_it() {
    let (one, two) = (Instance::start("one", None).await, Instance::start("two", None).await);
    let (one_address, two_address) = (one.address, two.address);
    let agent = Agent::start(Answer::hosts(5, &[one.address, two.address])).await;
    let mut client = Client::start(&agent);
    client.until(is_answer).await;
    client.until(is_answer).await;

    one.stop().await;
    client.until(|event| matches!(event, Event::AttemptFailed(..))).await;
    for _ in 0..5 {
        let lines = client.until(is_answer).await;
        assert!(lines.last().unwrap().contains("hello from two"), "{lines:?}");
        assert!(!lines.iter().any(|line| line.contains("host ") || line.contains("failed")), "{lines:?}");
    }

    // It is back before the registry noticed: its broken connection is opened again.
    let one = Instance::start("one", Some(one_address)).await;
    client.until(|event| matches!(event, Event::Answered(host, _) if *host == one_address)).await;
    assert_eq!(client.answers(2).await, ["hello from two", "hello from one"]);

    one.stop().await;
    client.until(|event| matches!(event, Event::AttemptFailed(..))).await;
    agent.set(Answer::hosts(6, &[two_address]));
    let lines = client.until(is_deleted).await;
    assert_eq!(*lines.last().unwrap(), format!("delete host {one_address}"));
    assert_eq!(client.answers(3).await, ["hello from two"; 3]);
    assert_eq!(client.stop().await.failed, 0);
    two.stop().await;
}

#[tokio::test]
async fn the_agent_goes_away_and_comes_back_with_another_index_and_other_hosts() {
    let (one, two) = (Instance::start("one", None).await, Instance::start("two", None).await);
    let mut agent = Agent::start(Answer::hosts(500, &[one.address])).await;
    let mut client = Client::start(&agent);
    client.until(is_answer).await;

    agent.stop().await;
    let lines = client.until(|event| matches!(event, Event::AgentLost(_))).await;
    assert!(lines.last().unwrap().starts_with(&format!("agent {}: ", agent.address)), "{lines:?}");
    // Long enough for several attempts, of which nothing more is said.
    assert_eq!(client.answers(100).await, ["hello from one"; 100]);

    agent.set(Answer::hosts(3, &[two.address]));
    agent.start_again().await;
    let lines = client.until(is_deleted).await;
    let news: Vec<_> = lines.into_iter().filter(|line| !line.contains("hello from")).collect();
    let (added, deleted) = (format!("add host {}", two.address), format!("delete host {}", one.address));
    assert_eq!(news, ["the agent answers again", &added, &deleted]);
    assert_eq!(client.answers(3).await, ["hello from two"; 3]);
    assert_eq!(client.stop().await.failed, 0);
}

#[tokio::test]
async fn an_index_that_went_back_is_followed_from_0() {
    let (one, two) = (Instance::start("one", None).await, Instance::start("two", None).await);
    let agent = Agent::start(Answer::hosts(500, &[one.address])).await;
    let mut client = Client::start(&agent);
    client.until(is_added).await;
    agent.set(Answer::hosts(3, &[one.address, two.address]));
    client.until(is_added).await;
    agent.set(Answer::hosts(4, &[two.address]));
    client.until(is_deleted).await;
    client.stop().await;
    let queries: Vec<_> = agent.queries().into_iter().map(|(_, query)| query).collect();
    assert_eq!(queries[..3], [0, 500, 0].map(query));
}

#[tokio::test]
async fn an_agent_that_answers_nonsense_is_not_asked_in_a_busy_loop() {
    let one = Instance::start("one", None).await;
    let good = Answer::hosts(5, &[one.address]);
    let error = Answer { status: 500, body: "No cluster leader".into(), holds: false, ..good.clone() };
    let list = Answer { body: "{}".into(), holds: false, ..good.clone() };
    let long = Answer { body: " ".repeat(hello_client::watch::BODY_MAX_BYTES + 1), holds: false, ..good.clone() };
    let no_wait = Answer { holds: false, ..good.clone() };
    let no_index = Answer { index: 0, ..no_wait.clone() };
    for (answer, complaint, at_least_ms) in [
        (error, Some("500 Internal Server Error: No cluster leader"), 300),
        (list, Some("no list of instances"), 300),
        (long, Some("body"), 300),
        (no_wait, None, 1000),
        (no_index, None, 2000),
    ] {
        let agent = Agent::start(answer).await;
        let mut client = Client::start(&agent);
        let first = timeout(LIMIT, client.events.recv()).await.unwrap().unwrap().to_string();
        assert!(complaint.is_none_or(|complaint| first.contains(complaint)), "{first}");
        let times = timeout(LIMIT, async {
            loop {
                let queries = agent.queries();
                if let [(one, _), _, (three, _), ..] = &queries[..] {
                    break three.duration_since(*one);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        let elapsed = times.await.unwrap();
        assert!(elapsed >= Duration::from_millis(at_least_ms - 20), "{complaint:?}: three queries in {elapsed:?}");
        agent.set(good.clone());
        client.until(is_answer).await;
        client.stop().await;
    }
}

#[tokio::test]
async fn the_command_prints_hosts_answers_and_counts() {
    let one = Instance::start("one", None).await;
    let agent = Agent::start(Answer::hosts(5, &[one.address])).await;
    for (name, verbose) in [("-INT", true), ("-TERM", false)] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hello-client"))
            .args(["--agent", &agent.address.to_string(), "--interval", "5ms"])
            .args(verbose.then_some("--verbose"))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut line = async || timeout(LIMIT, lines.next_line()).await.unwrap().unwrap();
        assert_eq!(line().await.unwrap(), format!("add host {}", one.address));
        if verbose {
            assert_eq!(line().await.unwrap(), format!("{} hello from one: call 1", one.address));
        }
        let id = child.id().unwrap().to_string();
        assert!(Command::new("kill").args([name, &id]).status().await.unwrap().success());
        let mut last = String::new();
        while let Some(line) = line().await {
            last = line;
        }
        assert!(last.starts_with("calls ") && last.ends_with(" failed 0"), "{last}");
        assert_eq!(timeout(LIMIT, child.wait()).await.unwrap().unwrap().code(), Some(0), "{name}");
    }
}

#[tokio::test]
async fn a_bad_flag_is_named_with_exit_code_1() {
    for (flag, value) in [("--agent", "nowhere"), ("--interval", "10"), ("--service", "")] {
        let output = Command::new(env!("CARGO_BIN_EXE_hello-client")).args([flag, value]).output();
        let output = timeout(LIMIT, output).await.unwrap().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.lines().next().unwrap().contains(flag), "{text}");
    }
}
