//! Protection: when many nodes vanish at once, it is more likely that they cannot be seen than that they are gone.
//!
//! An instance has *vanished* when the pool's own check of its node is the only thing that is critical about it. When
//! the instances of a service that vanished within a window are more than a share of those that were served until then,
//! they go on to be served. Instances whose own checks fail are never protected, and as soon as enough others have come
//! (or the vanished are deregistered) protection ends.
//!
//! A pure function of the state: when a node vanished is in its check ([`Check::since`](crate::model::Check)); no clock
//! is read. A service without vanished instances costs one look at each instance, as without protection.

use std::{sync::Arc, time::Duration};

use super::{Instance, State};
use crate::model::{SERF_HEALTH, Status, Time};

/// When the instances of nodes that vanished are served all the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Protection {
    /// More than this share of the instances must have vanished, 0 to 1.
    pub threshold: f64,
    /// Within this time.
    pub window: Duration,
}

/// A threshold is a share, and so equal to itself.
impl Eq for Protection {}

impl Instance {
    /// Whether it is served only because it is protected, to those who take instances up to the status `worst`.
    #[must_use]
    pub fn is_protected(&self, worst: Status) -> bool {
        self.status() > worst
    }

    /// Since when its node has vanished, where it would have been served but for that.
    fn vanished(&self, worst: Status) -> Option<Time> {
        let mut since = None;
        for check in self.checks.iter() {
            if check.service_id.is_empty() && &*check.id == SERF_HEALTH && check.status == Status::Critical {
                since = Some(check.since);
            } else if check.status > worst {
                return None;
            }
        }
        since
    }
}

impl State {
    /// The instances of a service that are up to the status `worst`, and those that are protected, by node and ID.
    #[must_use]
    pub fn served(&self, name: &str, worst: Status, protection: Option<Protection>) -> Vec<&Arc<Instance>> {
        let mut vanished = Vec::new();
        let mut kept: Vec<&Arc<Instance>> = self.instances(name).collect();
        kept.retain(|instance| {
            let served = instance.status() <= worst;
            let gone = if served || protection.is_none() { None } else { instance.vanished(worst) };
            vanished.extend(gone);
            served || gone.is_some()
        });
        if let Some(protection) = protection.filter(|_| !vanished.is_empty()) {
            let healthy = kept.len() - vanished.len();
            let spans = protection.spans(vanished, healthy);
            kept.retain(|instance| {
                let protected = |since: Time| spans.iter().any(|(first, last)| (*first..=*last).contains(&since));
                !instance.is_protected(worst) || instance.vanished(worst).is_some_and(protected)
            });
        }
        kept
    }
}

impl Protection {
    /// The times from the first to the last of those that vanished together, where they were enough.
    fn spans(&self, mut vanished: Vec<Time>, healthy: usize) -> Vec<(Time, Time)> {
        vanished.sort_unstable();
        let window_ms = u64::try_from(self.window.as_millis()).unwrap_or(u64::MAX);
        let mut spans: Vec<(Time, Time)> = Vec::new();
        let mut end = 0;
        for (begin, first) in vanished.iter().enumerate() {
            while vanished.get(end).is_some_and(|time| time.0 - first.0 <= window_ms) {
                end += 1;
            }
            let together = end - begin;
            if as_share(together) > self.threshold * as_share(healthy + together) {
                let last = vanished[end - 1];
                match spans.last_mut() {
                    Some(span) if span.1 >= *first => span.1 = last,
                    _ => spans.push((*first, last)),
                }
            }
        }
        spans
    }
}

#[allow(clippy::cast_precision_loss, reason = "a service has far fewer than 2^52 instances")]
fn as_share(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        command::{Command, Registration},
        model::{Check, Index, Node, Service},
    };

    const HALF: Protection = Protection { threshold: 0.5, window: Duration::from_secs(60) };

    /// An instance on a node of its own: its status, and when its node vanished, in seconds.
    type Placed = (Status, Option<u64>);

    fn state(instances: &[Placed]) -> State {
        let mut state = State::default();
        let mut put = |time_s: u64, node: usize, service: Option<Service>, check: Check| {
            let node = Node { name: format!("n{node:03}").as_str().into(), ..Node::default() };
            let registration = Registration { node, skip_node_update: true, service, checks: vec![check] };
            let index = Index(state.index().0 + 1);
            state.apply(index, Time(time_s * 1000), &Command::Register(Box::new(registration)));
        };
        for (node, (status, vanished)) in instances.iter().enumerate() {
            let service = Service { id: "web".into(), name: "web".into(), ..Service::default() };
            let own = Check { id: "own".into(), service_id: "web".into(), status: *status, ..Check::default() };
            put(1, node, Some(service), own);
            let alive = Check { id: SERF_HEALTH.into(), status: Status::Passing, ..Check::default() };
            put(1, node, None, alive.clone());
            if let Some(time_s) = vanished {
                put(*time_s, node, None, Check { status: Status::Critical, ..alive });
            }
        }
        state
    }

    fn served(state: &State, worst: Status, protection: Option<Protection>) -> String {
        let nodes = state.served("web", worst, protection).into_iter().map(|i| i.node.name[3..].to_string());
        nodes.collect::<Vec<_>>().join("")
    }

    #[test]
    fn many_that_vanish_at_once_are_served_and_others_are_not() {
        use Status::{Critical, Passing, Warning};
        let gone = |time_s| (Passing, Some(time_s));
        let table: &[(&str, &[Placed], &str)] = &[
            ("nothing is wrong", &[(Passing, None), (Passing, None)], "01"),
            ("one of three", &[(Passing, None), gone(100), (Passing, None)], "02"),
            ("half is not more than half", &[(Passing, None), gone(100)], "0"),
            ("two of three", &[(Passing, None), gone(100), gone(130)], "012"),
            ("all", &[gone(100), gone(160)], "01"),
            ("one after the other", &[(Passing, None), gone(100), gone(200), (Passing, None)], "03"),
            ("their own checks failed", &[(Critical, None), (Critical, None), (Passing, None)], "2"),
            ("both failed", &[(Critical, Some(100)), gone(100), (Passing, None)], "2"),
            ("those that vanished long ago stay out", &[gone(10), gone(1000), gone(1010), (Passing, None)], "123"),
            ("a warning is not passing", &[(Warning, Some(100)), gone(100), gone(100)], "12"),
        ];
        for (what, instances, expected) in table {
            assert_eq!(served(&state(instances), Passing, Some(HALF)), *expected, "{what}");
        }
        let warned = state(&[(Warning, Some(100)), gone(100), (Critical, Some(100))]);
        assert_eq!(served(&warned, Warning, Some(HALF)), "01");
        assert_eq!(served(&warned, Warning, None), "");
    }

    #[test]
    fn it_ends_when_enough_others_have_come() {
        let mut instances = vec![(Status::Passing, Some(100)); 4];
        for _ in 0..4 {
            assert_eq!(served(&state(&instances), Status::Passing, Some(HALF)).len(), instances.len());
            instances.push((Status::Passing, None));
        }
        assert_eq!(served(&state(&instances), Status::Passing, Some(HALF)), "4567");
    }

    proptest! {
        /// Without protection what is healthy is served; with it, that and some of what vanished, never anything else.
        #[test]
        fn protection_only_adds_what_vanished(
            instances in prop::collection::vec((prop::sample::select(&Status::ALL[..]), prop::option::of(1..500_u64)), 0..12),
            threshold in 0.0..1.0_f64,
            window_s in 0..200_u64,
        ) {
            let state = state(&instances);
            let protection = Protection { threshold, window: Duration::from_secs(window_s) };
            let ids = |instances: Vec<&Arc<Instance>>| instances.iter().map(|i| i.node.name.clone()).collect::<Vec<_>>();
            let plain = ids(state.served("web", Status::Warning, None));
            let with = state.served("web", Status::Warning, Some(protection));
            for instance in &with {
                let vanished = instance.vanished(Status::Warning).is_some();
                prop_assert!(vanished != plain.contains(&instance.node.name));
            }
            let with = ids(with);
            prop_assert!(plain.iter().all(|name| with.contains(name)));
            prop_assert!(with.is_sorted());
        }
    }
}
