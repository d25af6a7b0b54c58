//! Alias checks: as well as what they stand for, a service or a node. They follow the view, and ask nobody.

use std::time::Duration;

use super::Runner;
use crate::{
    catalog::{State, Topic},
    model::{Check, CheckDefinition, Key, Status},
};

/// The shortest time between two looks, so that many changes of a node make one.
const SPACING: Duration = Duration::from_millis(50);

/// Follows what the runner's check stands for, for ever.
pub(super) async fn follow(runner: &Runner) {
    let inner = &runner.agent.inner;
    // Before adoption the view may know nothing yet.
    runner.agent.adopted().await;
    let own = inner.node.name.as_str();
    let node = if runner.definition.alias_node.is_empty() { own } else { &runner.definition.alias_node };
    let itself = (Key::new(own), runner.key.clone());
    let changes = inner.reader.wait_for(&Topic::Node(Key::new(node)));
    loop {
        let next = changes.next();
        let (status, output) = judge(&inner.reader.load(), node, &runner.definition, &itself);
        runner.agent.record(&runner.key, runner.run, status, &output);
        next.await;
        tokio::time::sleep(SPACING).await;
    }
}

/// How what a check stands for is: the worst of the node's own checks and, where it is a service, that one's. `itself`
/// is the check's own node and ID, which do not count.
fn judge(state: &State, node: &str, definition: &CheckDefinition, itself: &(Key, Key)) -> (Status, String) {
    let (node_key, service) = (Key::new(node), definition.alias_service.as_str());
    if state.node(node).is_none() {
        return (Status::Critical, format!("Node {node} could not be found"));
    }
    if !service.is_empty() && state.node_service(node, service).is_none() {
        return (Status::Critical, format!("Service {service} could not be found on node {node}"));
    }
    let (own, service) = (Key::default(), Key::new(service));
    let of_service = (service != own).then(|| state.checks_about(&node_key, &service));
    let checks = state.checks_about(&node_key, &own).chain(of_service.into_iter().flatten());
    let counts = |check: &&std::sync::Arc<Check>| (check.node.key(), check.id.key()) != *itself;
    match checks.filter(counts).max_by_key(|check| check.status) {
        None => (Status::Passing, "No checks found.".into()),
        Some(worst) if worst.status == Status::Passing => (Status::Passing, "All checks passing.".into()),
        Some(worst) => (worst.status, format!("Aliased check {:?} failing: {}", worst.name.as_str(), worst.output)),
    }
}
