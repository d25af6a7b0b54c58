//! How a coordinate moves with each round trip that is measured: Vivaldi, pure.
//!
//! Sources: Vivaldi (Dabek, Cox, Kaashoek, Morris 2004) with heights; latency filter and gravity as in "Network
//! Coordinates in the Wild" (Ledlie, Gardner, Seltzer 2007); adjustment terms as in "On Suitability of Euclidean
//! Embedding for Host-Based Network Coordinate Systems" (Lee, Zhang, Sahu, Saha 2010). The parameters are those that
//! serf documents, so that estimates mean the same.

use std::collections::VecDeque;

use crate::model::{COORDINATE_DIMENSIONS, COORDINATE_ERROR_MAX, COORDINATE_HEIGHT_MIN_S, Coordinate};

/// How fast the error follows new observations.
const ERROR_GAIN: f64 = 0.25;
/// How fast the position does.
const POSITION_GAIN: f64 = 0.25;
/// Observations that the adjustment is the mean of.
const ADJUSTMENT_WINDOW: usize = 20;
/// Observations of one peer whose median counts.
pub(super) const LATENCY_WINDOW: usize = 3;
/// Pulls the whole system to the origin: the distance in seconds at which it pulls by a second.
const GRAVITY_RHO: f64 = 150.0;
/// Shorter lengths are none.
const ZERO_S: f64 = 1e-6;
/// Longer round trips are not believed.
const LONGEST_TRIP_S: f64 = 10.0;

type Position = [f64; COORDINATE_DIMENSIONS];

/// This node's coordinate and what it was made of.
#[derive(Debug, Default)]
pub(super) struct Vivaldi {
    own: Coordinate,
    /// By how much the latest observations differed from the estimate.
    misses_s: VecDeque<f64>,
}

impl Vivaldi {
    /// The present coordinate.
    pub fn coordinate(&self) -> Coordinate {
        self.own
    }

    /// Takes the round trips to a peer, the latest ones. `random` gives a number between -1 and 1: nodes at the same
    /// place part in a random direction. True when the coordinate has moved.
    pub fn observe(&mut self, peer: &Coordinate, latest_s: &[f64], mut random: impl FnMut() -> f64) -> bool {
        let trip_s = median(latest_s);
        if !peer.is_valid() || !(0.0..=LONGEST_TRIP_S).contains(&trip_s) {
            return false;
        }
        self.spring(peer, trip_s.max(ZERO_S), &mut random);
        self.adjust(peer, trip_s);
        self.fall(&mut random);
        if !self.own.is_valid() {
            // Whatever a peer's numbers have done: begin anew.
            *self = Self::default();
        }
        true
    }

    fn spring(&mut self, peer: &Coordinate, trip_s: f64, random: &mut impl FnMut() -> f64) {
        let estimate_s = self.own.distance_s(peer);
        let miss = (estimate_s - trip_s).abs() / trip_s;
        let weight = self.own.error / (self.own.error + peer.error).max(ZERO_S);
        let error = miss * ERROR_GAIN * weight + self.own.error * (1.0 - ERROR_GAIN * weight);
        self.own.error = error.clamp(0.0, COORDINATE_ERROR_MAX);
        self.push(peer, POSITION_GAIN * weight * (trip_s - estimate_s), random);
    }

    fn adjust(&mut self, peer: &Coordinate, trip_s: f64) {
        self.misses_s.push_back(trip_s - self.own.raw_distance_s(peer));
        if self.misses_s.len() > ADJUSTMENT_WINDOW {
            self.misses_s.pop_front();
        }
        // Each end takes one half; a window that is not full counts as if the rest were right.
        self.own.adjustment = self.misses_s.iter().sum::<f64>() / (2.0 * ADJUSTMENT_WINDOW as f64);
    }

    fn fall(&mut self, random: &mut impl FnMut() -> f64) {
        let origin = Coordinate::default();
        let away = self.own.distance_s(&origin) / GRAVITY_RHO;
        self.push(&origin, -away * away, random);
    }

    /// Moves away from `from` by `force_s`; towards it when that is negative.
    fn push(&mut self, from: &Coordinate, force_s: f64, random: &mut impl FnMut() -> f64) {
        let (direction, length_s) = direction(&from.position, &self.own.position, random);
        for (place, share) in self.own.position.iter_mut().zip(direction) {
            *place += share * force_s;
        }
        if length_s > ZERO_S {
            let height = self.own.height + (self.own.height + from.height) * force_s / length_s;
            self.own.height = height.max(COORDINATE_HEIGHT_MIN_S);
        }
    }
}

/// The unit vector from one place to another, and how far it is.
fn direction(from: &Position, to: &Position, random: &mut impl FnMut() -> f64) -> (Position, f64) {
    let difference: Position = std::array::from_fn(|axis| to[axis] - from[axis]);
    let length_s = norm(&difference);
    if length_s > ZERO_S {
        return (difference.map(|part| part / length_s), length_s);
    }
    let anywhere: Position = std::array::from_fn(|_| random());
    let length = norm(&anywhere);
    let mut first_axis = [0.0; COORDINATE_DIMENSIONS];
    first_axis[0] = 1.0;
    (if length > ZERO_S { anywhere.map(|part| part / length) } else { first_axis }, 0.0)
}

fn norm(vector: &Position) -> f64 {
    vector.iter().map(|part| part * part).sum::<f64>().sqrt()
}

fn median(latest_s: &[f64]) -> f64 {
    let mut sorted = latest_s.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use foca_rand::{RngExt, SeedableRng, rngs::SmallRng};

    use super::*;

    /// Lets every node observe random peers, with round trips as `trip_s` says, and gives the mean relative error.
    fn converge(nodes: usize, rounds: usize, noise: f64, trip_s: impl Fn(usize, usize) -> f64) -> (Vec<Vivaldi>, f64) {
        let mut random = SmallRng::seed_from_u64(7);
        let mut all: Vec<_> = (0..nodes).map(|_| Vivaldi::default()).collect();
        for round in 0..rounds * nodes {
            let (node, peer) = (round % nodes, random.random_range(0..nodes));
            if node != peer {
                let coordinate = all[peer].coordinate();
                let measured = trip_s(node, peer) * random.random_range(1.0 - noise..1.0 + noise + 1e-9);
                all[node].observe(&coordinate, &[measured], || random.random_range(-1.0..1.0));
            }
        }
        let pairs: Vec<_> = (0..nodes).flat_map(|a| (0..nodes).map(move |b| (a, b))).filter(|(a, b)| a != b).collect();
        let miss = |(a, b): &(usize, usize)| {
            (all[*a].coordinate().distance_s(&all[*b].coordinate()) - trip_s(*a, *b)).abs() / trip_s(*a, *b)
        };
        let mean = pairs.iter().map(miss).sum::<f64>() / pairs.len() as f64;
        (all, mean)
    }

    #[test]
    fn networks_are_told_within_a_few_percent() {
        let line = |a: usize, b: usize| 0.010 * a.abs_diff(b) as f64;
        let grid = |a: usize, b: usize| 0.010 * ((a % 5).abs_diff(b % 5) as f64).hypot((a / 5).abs_diff(b / 5) as f64);
        let equal = |_: usize, _: usize| 0.010;
        assert!(converge(10, 500, 0.0, line).1 < 0.05, "a line");
        assert!(converge(25, 500, 0.0, grid).1 < 0.05, "a grid");
        assert!(converge(25, 500, 0.0, equal).1 < 0.05, "all the same, where heights help");
        assert!(converge(25, 500, 0.1, grid).1 < 0.15, "with noise");
    }

    #[test]
    fn the_nearer_site_is_nearer() {
        let halves = |a: usize, b: usize| if (a < 5) == (b < 5) { 0.002 } else { 0.050 };
        let (all, _) = converge(10, 200, 0.3, halves);
        for node in 0..10 {
            let distance = |peer: usize| all[node].coordinate().distance_s(&all[peer].coordinate());
            let (near, far) = if node < 5 { (0..5, 5..10) } else { (5..10, 0..5) };
            let farthest_near = near.filter(|peer| *peer != node).map(distance).fold(0.0, f64::max);
            assert!(farthest_near < far.map(distance).fold(f64::MAX, f64::min), "from node {node}");
        }
    }

    #[test]
    fn errors_shrink_and_the_system_does_not_drift_away() {
        let (all, _) = converge(10, 1000, 0.05, |a, b| 0.010 * a.abs_diff(b) as f64);
        for node in &all {
            let coordinate = node.coordinate();
            assert!(coordinate.error < 0.2 && coordinate.height >= COORDINATE_HEIGHT_MIN_S, "{coordinate:?}");
            assert!(norm(&coordinate.position) < 0.2, "{coordinate:?}");
        }
    }

    #[test]
    fn a_single_outlier_does_not_count() {
        assert_eq!(median(&[0.010, 5.0, 0.011]), 0.011);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn impossible_peers_and_trips_change_nothing() {
        let mut node = Vivaldi::default();
        let broken = Coordinate { height: f64::NAN, ..Coordinate::default() };
        for (peer, latest) in [
            (broken, &[0.01][..]),
            (Coordinate::default(), &[-1.0]),
            (Coordinate::default(), &[60.0]),
            (Coordinate::default(), &[f64::NAN]),
            (Coordinate::default(), &[]),
        ] {
            assert!(!node.observe(&peer, latest, || 0.5));
            assert_eq!(node.coordinate(), Coordinate::default());
        }
        let huge = Coordinate { position: [f64::MAX; 8], error: 0.0, ..Coordinate::default() };
        assert!(node.observe(&huge, &[0.01], || 0.5));
        assert!(node.coordinate().is_valid());
    }
}
