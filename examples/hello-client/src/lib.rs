//! A caller that finds a service in the registry: it keeps a connection to every passing instance and calls them
//! in turn. What an application does that uses Lictor by its HTTP interface, in three parts:
//!
//! - `watch.rs` asks the local agent for the instances and is told when they change;
//! - `hosts.rs` is the set of hosts and the order of calls;
//! - `call.rs` is the connections and the calls.
//!
//! [`run`] joins them. It never prints: what happens is an [`Event`], which `main.rs` writes.

pub mod call;
pub mod hosts;
pub mod watch;

use std::{fmt, io, net::SocketAddr, pin::pin, time::Duration};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::{call::Pool, hosts::Hosts, watch::Seen};

/// Hosts tried for one call before it has failed.
pub const TRIES_MAX: usize = 3;
/// News of the agent that wait while a call is under way; the watch pauses when there are more.
const NEWS_MAX: usize = 8;

/// The command line of the client.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// HTTP address of the agent to ask
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8500", value_parser = host_and_port)]
    pub agent: String,
    /// Name of the service to call
    #[arg(long, value_name = "NAME", default_value = "hello", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub service: String,
    /// Time from call to call, such as 200ms, 5s or 1m
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = duration)]
    pub interval: Duration,
    /// Print each answer, and each attempt that failed
    #[arg(long)]
    pub verbose: bool,
}

fn host_and_port(text: &str) -> Result<String, &'static str> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok() => Ok(text.into()),
        _ => Err("not HOST:PORT (try 127.0.0.1:8500)"),
    }
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let milliseconds = match &text[number.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return Err("no unit ms, s or m (try 200ms)"),
    };
    match number.parse::<u32>() {
        Ok(count) if count > 0 => Ok(Duration::from_millis(u64::from(count) * milliseconds)),
        _ => Err("not a whole number above 0 with a unit (try 200ms)"),
    }
}

/// Something that happened; its `Display` is the line to print.
#[derive(Debug)]
pub enum Event {
    /// An instance came.
    Added(SocketAddr),
    /// An instance went.
    Deleted(SocketAddr),
    /// A call was answered.
    Answered(SocketAddr, String),
    /// One host did not answer a call; the next one is tried.
    AttemptFailed(SocketAddr, io::Error),
    /// No host answered a call: so many were tried.
    CallFailed(usize),
    /// An instance that cannot be called: `ID at ADDRESS:PORT`.
    Unusable(String),
    /// The agent does not answer. The hosts stay; the agent is asked again until it answers.
    AgentLost(String),
    /// The agent answers again.
    AgentBack,
}

impl Event {
    /// Whether the event is a result (stdout) and not a complaint (stderr).
    #[must_use]
    pub fn is_result(&self) -> bool {
        matches!(self, Self::Added(_) | Self::Deleted(_) | Self::Answered(..))
    }

    /// Whether the event is told only if `--verbose` is given.
    #[must_use]
    pub fn is_detail(&self) -> bool {
        matches!(self, Self::Answered(..) | Self::AttemptFailed(..) | Self::CallFailed(_))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(host) => write!(f, "add host {host}"),
            Self::Deleted(host) => write!(f, "delete host {host}"),
            // The answer is the host's: nothing in it may steer the terminal.
            Self::Answered(host, answer) => write!(f, "{host} {}", answer.replace(char::is_control, "\u{fffd}")),
            Self::AttemptFailed(host, error) => write!(f, "{host} did not answer: {error}"),
            Self::CallFailed(0) => write!(f, "call failed: there is no host"),
            Self::CallFailed(tried) => write!(f, "call failed: hosts tried: {tried}"),
            Self::Unusable(instance) => write!(f, "instance {instance} has no IP address and port to call: left out"),
            Self::AgentLost(reason) => write!(f, "{reason}; keeping the hosts and trying again"),
            Self::AgentBack => write!(f, "the agent answers again"),
        }
    }
}

/// How many calls were made, and how many of them no host answered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// All calls, from the first instance on: before it there is nothing to call, after it an empty set fails.
    pub calls: u64,
    /// Those without an answer.
    pub failed: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "calls {} failed {}", self.calls, self.failed)
    }
}

/// Calls the instances of the service in turn, one call each interval, until `stop` resolves (a call under way is
/// dropped and not counted).
///
/// # Errors
/// What `report` returned, at once.
pub async fn run(
    options: &Options,
    report: impl FnMut(Event) -> io::Result<()>,
    stop: impl Future<Output = ()>,
) -> io::Result<Counts> {
    let (sender, news) = mpsc::channel(NEWS_MAX);
    // Dropped, and so ended, with this function.
    let mut watching = JoinSet::new();
    watching.spawn(watch::follow(options.agent.clone(), options.service.clone(), sender));
    let mut client = Client { report, hosts: Hosts::default(), pool: Pool::default(), unusable: Vec::new() };
    let mut counts = Counts::default();
    let mut stop = pin!(stop);
    tokio::select! {
        () = &mut stop => (),
        ended = client.work(options, news, &mut counts) => ended?,
    }
    Ok(counts)
}

struct Client<R> {
    report: R,
    hosts: Hosts,
    pool: Pool,
    unusable: Vec<String>,
}

impl<R: FnMut(Event) -> io::Result<()>> Client<R> {
    async fn work(&mut self, options: &Options, mut news: mpsc::Receiver<Seen>, counts: &mut Counts) -> io::Result<()> {
        let mut ticks = interval(options.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut found_any = false;
        loop {
            tokio::select! {
                biased;
                Some(seen) = news.recv() => self.learn(options, seen)?,
                _ = ticks.tick() => {
                    found_any |= !self.hosts.is_empty();
                    if found_any {
                        let answered = self.call(&format!("call {}", counts.calls + 1)).await?;
                        counts.calls += 1;
                        counts.failed += u64::from(!answered);
                    }
                }
            }
        }
    }

    fn learn(&mut self, options: &Options, seen: Seen) -> io::Result<()> {
        let instances = match seen {
            Seen::Instances(instances) => instances,
            Seen::AgentLost(error) => {
                return (self.report)(Event::AgentLost(format!("agent {}: {error}", options.agent)));
            }
            Seen::AgentBack => return (self.report)(Event::AgentBack),
        };
        let difference = self.hosts.replace(instances.hosts);
        for host in difference.added {
            (self.report)(Event::Added(host))?;
            self.pool.open(host);
        }
        for host in difference.deleted {
            (self.report)(Event::Deleted(host))?;
            self.pool.close(host);
        }
        for instance in instances.unusable.iter().filter(|instance| !self.unusable.contains(instance)) {
            (self.report)(Event::Unusable(instance.clone()))?;
        }
        self.unusable = instances.unusable;
        Ok(())
    }

    /// One call, on the next host if one does not answer. Whether one did.
    async fn call(&mut self, line: &str) -> io::Result<bool> {
        self.pool.collect(|host| self.hosts.contains(host));
        let tries = self.hosts.len().min(TRIES_MAX);
        for _ in 0..tries {
            let Some(host) = self.hosts.next_turn() else { break };
            match self.pool.call(host, line).await {
                Ok(answer) => return (self.report)(Event::Answered(host, answer)).map(|()| true),
                Err(error) => (self.report)(Event::AttemptFailed(host, error))?,
            }
        }
        (self.report)(Event::CallFailed(tries)).map(|()| false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_addresses_of_the_command_line() {
        for (text, milliseconds) in [("200ms", Some(200)), ("5s", Some(5_000)), ("1m", Some(60_000)), ("10", None)] {
            assert_eq!(duration(text).ok().map(|time| time.as_millis()), milliseconds, "{text}");
        }
        for bad in ["", "ms", "0s", "-1s", "1.5s", "1h", "5 s", "99999999999s", "1é"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        for good in ["127.0.0.1:8500", "localhost:80", "[::1]:8500"] {
            assert_eq!(host_and_port(good).unwrap(), good);
        }
        for bad in ["", "localhost", ":8500", "localhost:", "localhost:99999", "http://localhost:8500"] {
            assert!(host_and_port(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_answer_cannot_steer_the_terminal() {
        let event = Event::Answered(([127, 0, 0, 1], 80).into(), "a\u{1b}[2Jb".into());
        assert_eq!(event.to_string(), "127.0.0.1:80 a\u{fffd}[2Jb");
    }
}
