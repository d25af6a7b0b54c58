//! Says which services are protected (`catalog::protection`), when that begins and when it is over: lines of bounded
//! length, and not more than one of each a second.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    catalog::{Protection, State, Topic},
    metrics::PROTECTED_INSTANCES,
    model::Status,
    tasks::Tasks,
    view::Reader,
};

/// Between two looks.
const SPACING: Duration = Duration::from_secs(1);
/// Services named in one line.
const NAMED: usize = 10;

/// Starts watching.
pub(super) fn start(protection: Protection, reader: Reader, tasks: &Tasks) {
    let stopping = tasks.stopping();
    tasks.spawn("protection watch", async move {
        stopping.run_until_cancelled(watch(protection, reader)).await;
        Ok::<(), String>(())
    });
}

async fn watch(protection: Protection, reader: Reader) {
    let topic = Topic::Status(Status::Critical);
    let mut protected = BTreeSet::new();
    loop {
        let state = reader.load_full();
        let (now, instances) = look(&state, protection);
        PROTECTED_INSTANCES.set(instances);
        let begun: Vec<&str> = now.difference(&protected).map(String::as_str).collect();
        if !begun.is_empty() {
            let services = named(&begun);
            tracing::warn!(services, instances, "nodes vanished together: their instances are still served");
        }
        let ended: Vec<&str> = protected.difference(&now).map(String::as_str).collect();
        if !ended.is_empty() {
            let services = named(&ended);
            tracing::info!(services, instances, "instances of vanished nodes are not served any more, or are back");
        }
        protected = now;
        tokio::time::sleep(SPACING).await;
        reader.changed(&topic, state.index_of(&topic)).await;
    }
}

/// The protected services, and how many instances of them are.
fn look(state: &State, protection: Protection) -> (BTreeSet<String>, usize) {
    let mut services = BTreeSet::new();
    let mut instances = 0;
    for entry in state.services() {
        let served = state.served(&entry.name, Status::Warning, Some(protection));
        let protected = served.iter().filter(|instance| instance.is_protected(Status::Warning)).count();
        if protected > 0 {
            services.insert(entry.name.to_string());
            instances += protected;
        }
    }
    (services, instances)
}

fn named(services: &[&str]) -> String {
    let first = services[..services.len().min(NAMED)].join(", ");
    match services.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
