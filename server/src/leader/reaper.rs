//! Services that nobody is left to deregister: one of their checks has `deregister_critical_service_after`, has been
//! critical for longer, and the node's agent, whose duty it is, does not answer. Pure: the duties task proposes it.

use std::{collections::BTreeMap, time::Duration};

use lictor_shared::{
    catalog::State,
    command::{Command, Deregistration},
    model::{Check, SERF_HEALTH, Status, Time},
};

/// The services to deregister at `now`, the leader's time, by which `Check::since` is stamped too.
#[must_use]
pub fn commands(state: &State, now: Time) -> Vec<Command> {
    let mut overdue = BTreeMap::new();
    for check in state.checks().filter(|check| is_overdue(check, now) && !agent_answers(state, &check.node)) {
        let service = (check.node.key(), check.service_id.key());
        overdue.entry(service).or_insert_with(|| {
            tracing::info!(node = %check.node, service = %check.service_id, check = %check.id,
                "deregistering: its check was critical for too long, and its agent is gone");
            Deregistration::Service(check.node.clone(), check.service_id.clone())
        });
    }
    overdue.into_values().map(Command::Deregister).collect()
}

fn is_overdue(check: &Check, now: Time) -> bool {
    let after = check.runs.as_ref().map_or(Duration::ZERO, |runs| runs.deregister_critical_service_after);
    let critical_for = Duration::from_millis(now.0.saturating_sub(check.since.0));
    check.status == Status::Critical && !check.service_id.is_empty() && !after.is_zero() && critical_for > after
}

fn agent_answers(state: &State, node: &str) -> bool {
    state.node_check(node, SERF_HEALTH).is_some_and(|check| check.status == Status::Passing)
}

#[cfg(test)]
mod tests {
    use lictor_shared::{
        command::Registration,
        model::{CheckDefinition, Index, Node, Service},
    };

    use super::*;

    const MINUTE: u64 = 60_000;

    /// A node with a service `web` whose check became what it is at the time 0.
    fn state(agent: Status, check: Status, after: Duration) -> State {
        let runs = CheckDefinition { deregister_critical_service_after: after, ..CheckDefinition::default() };
        let registration = Registration {
            node: Node { name: "n".into(), address: "10.0.0.1".into(), ..Node::default() },
            service: Some(Service { id: "web".into(), name: "web".into(), ..Service::default() }),
            checks: vec![
                Check { id: SERF_HEALTH.into(), status: agent, ..Check::default() },
                Check {
                    id: "c".into(),
                    service_id: "web".into(),
                    status: check,
                    runs: Some(Box::new(runs)),
                    ..Check::default()
                },
            ],
            skip_node_update: false,
        };
        let mut state = State::default();
        state.apply(Index(1), Time(0), &Command::Register(Box::new(registration)));
        state
    }

    #[test]
    fn a_service_critical_for_too_long_goes_where_its_agent_is_gone() {
        let (minute, never) = (Duration::from_secs(60), Duration::ZERO);
        for (agent, check, after, now, goes) in [
            (Status::Critical, Status::Critical, minute, MINUTE + 1, true),
            (Status::Critical, Status::Critical, minute, MINUTE, false),
            (Status::Critical, Status::Warning, minute, 2 * MINUTE, false),
            (Status::Critical, Status::Critical, never, 1000 * MINUTE, false),
            (Status::Passing, Status::Critical, minute, 2 * MINUTE, false),
        ] {
            let found = commands(&state(agent, check, after), Time(now));
            let expected = Command::Deregister(Deregistration::Service("n".into(), "web".into()));
            assert_eq!(found, if goes { vec![expected] } else { vec![] }, "{agent} {check} {after:?} {now}");
        }
    }

    #[test]
    fn a_clock_that_goes_back_removes_nothing() {
        let mut state = state(Status::Critical, Status::Passing, Duration::from_secs(60));
        let runs = state.node_check("n", "c").unwrap().runs.clone();
        let again = Registration {
            node: Node { name: "n".into(), ..Node::default() },
            skip_node_update: true,
            checks: vec![Check { id: "c".into(), service_id: "web".into(), runs, ..Check::default() }],
            ..Registration::default()
        };
        state.apply(Index(2), Time(10 * MINUTE), &Command::Register(Box::new(again)));
        assert_eq!(commands(&state, Time(MINUTE)), []);
    }
}
