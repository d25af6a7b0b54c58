//! Tells the registry where this node is in the network: seldom, and only when it has moved.
//!
//! All nodes together write at most [`WRITES_PER_SECOND`], however many they are, and none more often than every
//! [`SHORTEST_INTERVAL`]: the rates that Consul documents.

use std::{sync::Arc, time::Duration};

use crate::{
    acl::Authority,
    backend::Backend,
    command::Command,
    gossip::Pool,
    model::{Coordinate, NodeCoordinate, NodeName},
    tasks::Tasks,
};

/// Of all nodes of a datacenter together.
const WRITES_PER_SECOND: f64 = 64.0;
/// Between two writes of one node.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(15);
/// A coordinate that has moved less is as good as it was, in seconds.
const MOVED_S: f64 = 100e-6;
/// An error that has changed less, too.
const SURER: f64 = 0.1;

/// Starts telling it. The first time is after one to two intervals, at random.
pub(super) fn start(node: NodeName, pool: Pool, backend: Arc<dyn Backend>, authority: Arc<Authority>, tasks: &Tasks) {
    let stopping = tasks.stopping();
    tasks.spawn("coordinate", async move {
        let mut told: Option<Coordinate> = None;
        let mut pause = stagger(interval(pool.members().len()));
        loop {
            tokio::select! {
                () = stopping.cancelled() => return Ok::<(), String>(()),
                () = tokio::time::sleep(pause) => {}
            }
            pause = interval(pool.members().len()).mul_f64(rand::random_range(0.9..1.1));
            let coordinate = pool.coordinate();
            if told.is_some_and(|told| !has_moved(&told, &coordinate)) {
                continue;
            }
            let update = NodeCoordinate { node: node.clone(), coordinate };
            match backend.write(Command::UpdateCoordinates(vec![update]), &authority.own().agent).await {
                Ok(_) => told = Some(coordinate),
                Err(error) => tracing::debug!(%error, "the coordinate was not told; it is tried again"),
            }
        }
    });
}

fn interval(members: usize) -> Duration {
    let members = f64::from(u32::try_from(members).unwrap_or(u32::MAX));
    SHORTEST_INTERVAL.max(Duration::from_secs_f64(members / WRITES_PER_SECOND))
}

fn stagger(interval: Duration) -> Duration {
    interval + interval.mul_f64(rand::random_range(0.0..1.0))
}

fn has_moved(told: &Coordinate, now: &Coordinate) -> bool {
    let heights = told.height + now.height;
    let moved = told.raw_distance_s(now) - heights + (told.height - now.height).abs();
    moved + (told.adjustment - now.adjustment).abs() > MOVED_S || (told.error - now.error).abs() > SURER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_bounded_and_small_moves_are_not_told() {
        for (members, seconds) in [(0, 15), (1, 15), (960, 15), (9600, 150)] {
            assert_eq!(interval(members), Duration::from_secs(seconds), "{members} members");
        }
        let here = Coordinate::default();
        let mut there = here;
        assert!(!has_moved(&here, &there));
        there.position[3] = 50e-6;
        assert!(!has_moved(&here, &there));
        there.position[3] = 200e-6;
        assert!(has_moved(&here, &there));
        assert!(has_moved(&here, &Coordinate { error: 0.9, ..here }));
        assert!(has_moved(&here, &Coordinate { height: 0.001, ..here }));
    }
}
