//! What processes have used of the processors, from `/proc/PID/stat`, and throughput counted by it.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use lictor_tests::cluster::Cluster;

/// The unit of processor times in `/proc`, as Linux shows it to programs whatever the kernel's own is.
const TICK: Duration = Duration::from_millis(10);
/// Processes that use less than this share of one core are at rest.
const REST_SHARE: f64 = 0.15;
/// How long they are looked at to know that.
const REST_LOOK: Duration = Duration::from_millis(300);
/// How long rest is waited for.
const REST_LIMIT: Duration = Duration::from_secs(10);
/// A process below this share of all the work is not named.
const NAMED_SHARE: f64 = 0.02;

/// Processes whose work is counted.
#[derive(Clone, Debug)]
pub struct Processes {
    named: Vec<(String, u32)>,
}

/// How much was done, and what that cost.
#[derive(Clone, Debug)]
pub struct Work {
    /// Questions answered, writes made, ...
    pub done: f64,
    /// How long it took.
    pub elapsed: Duration,
    /// What each process used meanwhile.
    spent: Vec<(String, Duration)>,
}

impl Processes {
    /// Every agent of a cluster.
    #[must_use]
    pub fn of(cluster: &Cluster) -> Self {
        Self { named: cluster.agents().map(|agent| (agent.name.clone(), agent.pid())).collect() }
    }

    /// These, each with a name.
    #[must_use]
    pub fn all(named: &[(&str, u32)]) -> Self {
        Self { named: named.iter().map(|(name, pid)| ((*name).into(), *pid)).collect() }
    }

    /// A single one.
    #[must_use]
    pub fn one(name: &str, pid: u32) -> Self {
        Self::all(&[(name, pid)])
    }

    /// What they use while `work` is done, which gives how much that was.
    pub fn during(&self, work: impl FnOnce() -> f64) -> Work {
        let (before, start) = (self.used(), Instant::now());
        let done = work();
        let (elapsed, after) = (start.elapsed(), self.used());
        let spent = self.named.iter().zip(after.iter().zip(&before));
        let spent = spent.map(|((name, _), (after, before))| (name.clone(), after.saturating_sub(*before))).collect();
        Work { done, elapsed, spent }
    }

    /// Waits until they are at rest, or have not come to rest for long.
    pub fn rest(&self) {
        let start = Instant::now();
        while start.elapsed() < REST_LIMIT {
            if self.during(|| idle(REST_LOOK)).share() < REST_SHARE {
                return;
            }
        }
    }

    fn used(&self) -> Vec<Duration> {
        self.named.iter().map(|(_, pid)| used(*pid)).collect()
    }
}

fn idle(time: Duration) -> f64 {
    thread::sleep(time);
    0.0
}

impl Work {
    /// What all processes used.
    #[must_use]
    pub fn cost(&self) -> Duration {
        // A cost below the resolution counts as one tick, so that nothing is divided by zero.
        self.spent.iter().map(|(_, time)| *time).sum::<Duration>().max(TICK)
    }

    /// Throughput per second of processor time.
    #[must_use]
    pub fn per_cpu_second(&self) -> f64 {
        self.done / self.cost().as_secs_f64()
    }

    /// Throughput per second of the clock.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.done / self.elapsed.as_secs_f64()
    }

    /// What all used, as a share of one core.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.cost().as_secs_f64() / self.elapsed.as_secs_f64()
    }

    /// What the processes whose name begins with `prefix` used, as a share of one core.
    #[must_use]
    pub fn share_of(&self, prefix: &str) -> f64 {
        let spent = self.spent.iter().filter(|(name, _)| name.starts_with(prefix));
        spent.map(|(_, time)| time.as_secs_f64()).sum::<f64>() / self.elapsed.as_secs_f64()
    }

    /// Who did how much of the work.
    #[must_use]
    pub fn shares(&self) -> String {
        let all = self.cost().as_secs_f64();
        let named = self.spent.iter().map(|(name, time)| (name, time.as_secs_f64() / all));
        let named = named.filter(|(_, share)| *share >= NAMED_SHARE);
        named.map(|(name, share)| format!("{name} {:.0} %", share * 100.0)).collect::<Vec<_>>().join(", ")
    }

    /// The run in the middle of several, by throughput per second of processor time.
    ///
    /// # Panics
    /// There was no run.
    #[must_use]
    pub fn median(mut runs: Vec<Self>) -> Self {
        assert!(!runs.is_empty(), "a median of no runs");
        runs.sort_by(|left, right| left.per_cpu_second().total_cmp(&right.per_cpu_second()));
        runs.swap_remove(runs.len() / 2)
    }
}

fn used(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    let stat = stat.unwrap_or_else(|error| panic!("/proc/{pid}/stat: {error} (has the process ended?)"));
    // The name of a process may have anything in it; the fields after it have not. The first of them is the third of
    // proc_pid_stat(5); utime and stime are the 14th and 15th.
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    after_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u32>().ok()).map(|ticks| ticks * TICK).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(done: f64, milliseconds: &[u64]) -> Work {
        let spent = milliseconds.iter().enumerate();
        let spent = spent.map(|(number, time)| (format!("server-{number}"), Duration::from_millis(*time))).collect();
        Work { done, elapsed: Duration::from_secs(2), spent }
    }

    #[test]
    fn throughput_is_per_second_of_all_processes() {
        let work = work(1000.0, &[400, 90, 10]);
        assert_eq!(work.per_cpu_second(), 2000.0);
        assert_eq!(work.per_second(), 500.0);
        assert_eq!(work.share(), 0.25);
        assert_eq!(work.share_of("server-1"), 0.045);
        assert_eq!(work.shares(), "server-0 80 %, server-1 18 %, server-2 2 %");
    }

    #[test]
    fn the_median_is_by_cost_and_not_by_the_clock() {
        let runs = vec![work(100.0, &[1000]), work(100.0, &[100]), work(100.0, &[500])];
        assert_eq!(Work::median(runs).cost(), Duration::from_millis(500));
    }

    #[test]
    fn a_process_that_computes_is_seen_to() {
        let own = Processes::one("own", std::process::id());
        let seen = own.during(|| {
            let mut sum = 0_u64;
            let enough = used(std::process::id()) + 5 * TICK;
            while used(std::process::id()) < enough {
                sum = std::hint::black_box(sum.wrapping_add(1));
            }
            sum as f64
        });
        assert!(seen.cost() >= 5 * TICK, "{seen:?}");
    }
}
