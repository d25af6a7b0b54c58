//! What there is to capture, and what an agent is asked for it. It asks nobody.
//!
//! Nothing here is a secret's place: gossip keys (`/v1/operator/keyring`), tokens and stored keys are never asked for.

use clap::{ValueEnum, builder::PossibleValue};

use crate::{query::Query, target::HttpFlags};

/// A part of the bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capture {
    Agent,
    Host,
    Members,
    Metrics,
    Logs,
    Raft,
    Gossip,
    Pprof,
}

/// A request, and the file that its answer becomes.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// The name of the file.
    pub file: &'static str,
    path: &'static str,
    /// Whether it is about the datacenter, and not about the agent alone.
    is_read: bool,
}

/// The log all the while.
pub const LOGS: Question = of_agent("logs.txt", "/v1/agent/monitor?loglevel=debug");
/// What its processor time goes into, all the while.
pub const PROFILE: Question = of_agent("profile.prof", "/debug/pprof/profile");
/// All metrics, once each interval.
pub const METRICS: Question = of_agent("metrics.json", "/v1/agent/metrics");

const AGENT: &[Question] = &[of_agent("agent.json", "/v1/agent/self")];
const HOST: &[Question] = &[of_agent("host.json", "/v1/agent/host")];
const MEMBERS: &[Question] =
    &[of_agent("members.json", "/v1/agent/members"), of_agent("members-wan.json", "/v1/agent/members?wan=1")];
const RAFT: &[Question] = &[
    of_datacenter("raft.json", "/v1/operator/raft/configuration"),
    of_datacenter("autopilot.json", "/v1/operator/autopilot/state"),
];
const GOSSIP: &[Question] = &[of_datacenter("coordinates.json", "/v1/coordinate/nodes")];

const fn of_agent(file: &'static str, path: &'static str) -> Question {
    Question { file, path, is_read: false }
}

const fn of_datacenter(file: &'static str, path: &'static str) -> Question {
    Question { file, path, is_read: true }
}

impl Question {
    /// As it is sent.
    pub fn path(&self, flags: &HttpFlags) -> String {
        let query = Query::new(self.path);
        let query = if self.is_read { query.read(flags) } else { query };
        query.as_str().into()
    }
}

impl Capture {
    /// Those that were named, each once; all if none was.
    pub fn chosen(named: &[Self]) -> Vec<Self> {
        let is_wanted = |capture: &&Self| named.is_empty() || named.contains(capture);
        Self::value_variants().iter().filter(is_wanted).copied().collect()
    }

    /// What it is called on the command line.
    pub fn name(self) -> &'static str {
        self.words().0
    }

    /// What is asked at the beginning.
    pub fn questions(self) -> &'static [Question] {
        match self {
            Self::Agent => AGENT,
            Self::Host => HOST,
            Self::Members => MEMBERS,
            Self::Raft => RAFT,
            Self::Gossip => GOSSIP,
            Self::Metrics | Self::Logs | Self::Pprof => &[],
        }
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Agent => ("agent", "What the agent says of itself, without secrets"),
            Self::Host => ("host", "Its host: memory, processors, disk, system"),
            Self::Members => ("members", "The members of both pools"),
            Self::Metrics => ("metrics", "All metrics, once each interval; processor time and memory are among them"),
            Self::Logs => ("logs", "The log at level debug"),
            Self::Raft => ("raft", "The servers, who leads, and their health"),
            Self::Gossip => ("gossip", "The network coordinates of the nodes"),
            Self::Pprof => ("pprof", "What its processor time goes into: a profile for pprof"),
        }
    }
}

impl ValueEnum for Capture {
    fn value_variants<'a>() -> &'a [Self] {
        use Capture::{Agent, Gossip, Host, Logs, Members, Metrics, Pprof, Raft};
        &[Agent, Host, Members, Metrics, Logs, Raft, Gossip, Pprof]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = self.words();
        let value = PossibleValue::new(name).help(help);
        // Its name with Consul before 1.10.
        Some(if *self == Self::Members { value.alias("cluster") } else { value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_captured_is_what_was_named() {
        let names = |named: &[Capture]| Capture::chosen(named).into_iter().map(Capture::name).collect::<Vec<_>>();
        assert_eq!(names(&[]), ["agent", "host", "members", "metrics", "logs", "raft", "gossip", "pprof"]);
        assert_eq!(names(&[Capture::Pprof, Capture::Host, Capture::Host]), ["host", "pprof"]);
        assert_eq!(Capture::from_str("cluster", false), Ok(Capture::Members));
    }

    #[test]
    fn only_questions_about_the_datacenter_take_its_name() {
        let flags = HttpFlags { datacenter: Some("dc2".into()), stale: true, ..HttpFlags::default() };
        assert_eq!(LOGS.path(&flags), "/v1/agent/monitor?loglevel=debug");
        assert_eq!(GOSSIP[0].path(&flags), "/v1/coordinate/nodes?dc=dc2&stale=");
    }
}
