//! One that means harm: slow connections, bodies and heads without measure, nesting without end, packets that refer to
//! themselves, names by the hundred thousand. Meanwhile somebody else asks as usual and must be answered as usual, and
//! afterwards the agent must be what it was: in memory, in descriptors, in what it answers.
//!
//! [`run`] does all of it to one agent; `attacks` has what is done, `witness` the other client, `source` lets the two have
//! different addresses on one loopback. Attackers keep to their own addresses, as limits are by address.

mod attacks;
mod names;
pub mod source;
mod witness;

use std::{
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use self::witness::Witness;
use crate::{
    agent::{Agent, Memory},
    turn, wait,
};

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Names that are nobody's, by DNS and again by HTTP.
    pub names: u32,
    /// What the median of the other client's answers may take.
    pub median: Duration,
    /// What memory may grow by meanwhile, in bytes.
    pub growth: u64,
}

/// Longest time until all connections of attackers are gone.
const RECOVERY_LIMIT: Duration = Duration::from_secs(30);
/// What memory may have grown by when all is over, in bytes: caches that are filled to their limits, and what the
/// allocator keeps.
const KEPT_BYTES: u64 = 40 << 20;

/// Does all of it, tells `say` how it went, and returns what was wrong.
///
/// # Panics
/// The agent cannot be started.
pub fn run(plan: Plan, say: &(dyn Fn(String) + Sync)) -> Vec<String> {
    let _turn = turn::take();
    let agent = Agent::dev("abused").with_config_directory();
    agent.write_file(
        "web.json",
        r#"{"service": {"name": "web", "port": 80, "check": {"ttl": "1h", "status": "passing"}}}"#,
    );
    let mut agent = agent.started();
    wait::until("the service is known", RECOVERY_LIMIT, || {
        wait::ensure(agent.passing("web")? == ["web"], || "no web".into())
    });
    let before = Held::by(&agent);
    let mut wrong = Vec::new();
    let witness = Witness::start(&agent);
    let found: Vec<Vec<String>> = thread::scope(|scope| {
        let agent = &agent;
        let attacks: Vec<_> = attacks::ALL
            .iter()
            .map(|(name, attack)| {
                scope.spawn(move || {
                    let began = Instant::now();
                    let found = attack(agent);
                    say(format!("{name}: {:.1?}", began.elapsed()));
                    found.into_iter().map(|problem| format!("{name}: {problem}")).collect()
                })
            })
            .collect();
        let names = scope.spawn(move || names::ask(agent, plan.names, say));
        let attacks = attacks.into_iter().map(|attack| attack.join().expect("an attack does not panic"));
        attacks.chain([names.join().expect("asking does not panic")]).collect()
    });
    wrong.extend(found.into_iter().flatten());
    let peak = Held::by(&agent).peak;
    let answers = witness.finish();
    say(format!("the other client: {answers}"));
    wrong.extend(answers.problems(plan.median));

    let after = wait::attempt(RECOVERY_LIMIT, || {
        let now = Held::by(&agent);
        // The metrics' own, and a file of a snapshot or two.
        if now.descriptors <= before.descriptors + 8 { Ok(now) } else { Err(now) }
    });
    let after = after.unwrap_or_else(|held| {
        wrong.push(format!("{} descriptors are left, {} there were", held.descriptors, before.descriptors));
        held
    });
    let grown = peak.saturating_sub(before.resident);
    say(format!(
        "memory: {} KiB before, {} KiB at most, {} KiB after; descriptors: {} before, {} after",
        before.resident >> 10,
        peak >> 10,
        after.resident >> 10,
        before.descriptors,
        after.descriptors
    ));
    if grown > plan.growth {
        wrong.push(format!("memory grew by {} KiB, more than {} KiB", grown >> 10, plan.growth >> 10));
    }
    if after.resident > before.resident + KEPT_BYTES {
        wrong.push(format!("{} KiB of memory are kept", after.resident.saturating_sub(before.resident) >> 10));
    }
    if agent.passing("web") != Ok(vec!["web".to_owned()]) {
        wrong.push(format!("it does not answer as before: {:?}", agent.passing("web")));
    }
    let log = agent.log();
    wrong.extend(log.lines().filter(|line| line.contains("panicked")).map(str::to_owned));
    agent.signal(Signal::TERM);
    if !agent.ends_within(RECOVERY_LIMIT) {
        wrong.push("it does not end".into());
    }
    wrong
}

/// What a process has.
#[derive(Clone, Copy, Debug)]
struct Held {
    resident: u64,
    peak: u64,
    descriptors: usize,
}

impl Held {
    fn by(agent: &Agent) -> Self {
        let Memory { resident, peak } = agent.memory();
        Self { resident, peak, descriptors: agent.descriptors() }
    }
}
