//! The other client: it asks for a service by HTTP and DNS all the while, each time with a new connection, and notes how
//! long that took.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::agent::Agent;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Witness {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Answers>,
}

/// What it saw.
#[derive(Debug, Default)]
pub(super) struct Answers {
    http: Vec<Duration>,
    dns: Vec<Duration>,
    failures: Vec<String>,
}

impl Witness {
    pub fn start(agent: &Agent) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (http, dns, ended) = (agent.http(), agent.dns(), stop.clone());
        let thread = thread::spawn(move || {
            let mut answers = Answers::default();
            while !ended.load(Ordering::Relaxed) {
                let began = Instant::now();
                match http.json("/v1/health/service/web?passing") {
                    Ok(rows) if rows.as_array().is_some_and(|rows| rows.len() == 1) => {
                        answers.http.push(began.elapsed())
                    }
                    Ok(rows) => answers.failures.push(format!("HTTP: {rows}")),
                    Err(error) => answers.failures.push(error),
                }
                let began = Instant::now();
                match dns.ports("web.service.consul") {
                    Ok(ports) if ports == [80] => answers.dns.push(began.elapsed()),
                    Ok(ports) => answers.failures.push(format!("DNS: {ports:?}")),
                    Err(error) => answers.failures.push(error),
                }
                thread::sleep(PAUSE);
            }
            answers.http.sort_unstable();
            answers.dns.sort_unstable();
            answers
        });
        Self { stop, thread }
    }

    pub fn finish(self) -> Answers {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the witness does not panic")
    }
}

impl Answers {
    /// What is wrong with them.
    pub fn problems(&self, median: Duration) -> Vec<String> {
        let mut wrong: Vec<String> =
            self.failures.iter().take(5).map(|failure| format!("the other client: {failure}")).collect();
        for (what, times) in [("HTTP", &self.http), ("DNS", &self.dns)] {
            let found = at(times, 50);
            if found > median {
                wrong.push(format!("the other client: half of its answers by {what} took more than {found:?}"));
            }
        }
        wrong
    }
}

fn at(times: &[Duration], percent: usize) -> Duration {
    times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or(Duration::MAX)
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, times) in [("HTTP", &self.http), ("DNS", &self.dns)] {
            let (half, most, all) = (at(times, 50), at(times, 99), at(times, 100));
            write!(f, "{what} {} answers, p50 {half:.1?}, p99 {most:.1?}, max {all:.1?}; ", times.len())?;
        }
        write!(f, "{} failures", self.failures.len())
    }
}
