//! What a pool is started with: who it is, where it listens, and how fast it acts.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    num::{NonZeroU8, NonZeroUsize},
    time::Duration,
};

use super::{envelope::SEAL_BYTES, keyring::Keyring, limits::MAX_PACKET_BYTES};

/// No interval of a pool is shorter.
const SHORTEST: Duration = Duration::from_millis(5);

/// What [`super::Pool::start`] needs to know.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// The node name, unique in the pool.
    pub name: String,
    /// Tells pools apart that must not mix, such as `lan dc1` and `wan`. Members of another label are refused.
    pub label: String,
    /// Whether this pool is the one whose judgement of this node is in the metrics.
    pub shows_health: bool,
    /// Where to listen, UDP and TCP. Port 0 takes a free one, the same for both.
    pub bind: SocketAddr,
    /// The address others are told; [`PoolConfig::bind`] when none, which must then not be unspecified. Port 0 stands
    /// for the port that was bound.
    pub advertise: Option<SocketAddr>,
    /// What this node says about itself. At most 64 keys and 4096 bytes.
    pub tags: BTreeMap<String, String>,
    /// How fast the pool acts.
    pub timing: Timing,
    /// Addresses of members known from an earlier life. While no other member is alive they are tried in turn,
    /// about one each [`Timing::probe_period`]. Empty: wait to be joined.
    pub rejoin: Vec<SocketAddr>,
    /// The keys that everything is sealed with; empty: nothing is.
    pub keyring: Keyring,
}

impl PoolConfig {
    /// A node without tags, at LAN speed.
    #[must_use]
    pub fn new(name: impl Into<String>, bind: SocketAddr) -> Self {
        Self {
            name: name.into(),
            label: String::new(),
            shows_health: false,
            bind,
            advertise: None,
            tags: BTreeMap::new(),
            timing: Timing::lan(),
            rejoin: Vec::new(),
            keyring: Keyring::default(),
        }
    }
}

/// How fast a pool acts. The presets keep the relations that the protocol needs (a probe's round trip well below its
/// period, gossip faster than probes). Values below 5 ms are taken as 5 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// One member is probed in each period.
    pub probe_period: Duration,
    /// After this long without an answer other members are asked to probe. Below half of the period.
    pub probe_rtt: Duration,
    /// How long a suspected member has to speak up that several have found silent, in a pool of at most ten; grows with
    /// the logarithm of the size. One that a single member finds silent has half as long again.
    pub suspicion: Duration,
    /// How often news is sent to three random members.
    pub gossip: Duration,
    /// About how often tables are exchanged with a random member over TCP (plus or minus a fifth).
    pub push_pull: Duration,
    /// How often one failed member is tried again.
    pub reconnect: Duration,
    /// How long failed members are remembered.
    pub reap: Duration,
    /// How long members that have left are remembered.
    pub reap_left: Duration,
    /// At most this long a leaving node waits until its intent is spread.
    pub leave: Duration,
}

impl Timing {
    /// For one datacenter: in a pool of ten a killed process is failed after 4 to 5 seconds. Consul probes each second
    /// and waits longer for a word of the suspect; probing more often finds a crash sooner without waiting less.
    #[must_use]
    pub const fn lan() -> Self {
        Self {
            probe_period: Duration::from_millis(600),
            probe_rtt: Duration::from_millis(250),
            suspicion: Duration::from_secs(3),
            gossip: Duration::from_millis(200),
            push_pull: Duration::from_secs(30),
            reconnect: Duration::from_secs(30),
            reap: Duration::from_secs(72 * 60 * 60),
            reap_left: Duration::from_secs(24 * 60 * 60),
            leave: Duration::from_secs(5),
        }
    }

    /// For the servers of all datacenters: round trips are longer and losses more frequent.
    #[must_use]
    pub const fn wan() -> Self {
        Self {
            probe_period: Duration::from_secs(2),
            probe_rtt: Duration::from_secs(1),
            suspicion: Duration::from_secs(10),
            gossip: Duration::from_millis(500),
            push_pull: Duration::from_secs(60),
            ..Self::lan()
        }
    }

    /// For processes on one host (tests, `lictor demo`): a killed process is failed after about 1.5 seconds.
    #[must_use]
    pub const fn local() -> Self {
        Self {
            probe_period: Duration::from_millis(250),
            probe_rtt: Duration::from_millis(100),
            suspicion: Duration::from_secs(1),
            gossip: Duration::from_millis(50),
            push_pull: Duration::from_secs(5),
            reconnect: Duration::from_secs(1),
            reap: Duration::from_secs(72 * 60 * 60),
            reap_left: Duration::from_secs(24 * 60 * 60),
            leave: Duration::from_secs(2),
        }
    }

    /// The same with no interval that would spin or that foca does not take.
    pub(super) fn clamped(self) -> Self {
        let probe_period = self.probe_period.max(4 * SHORTEST);
        Self {
            probe_period,
            probe_rtt: self.probe_rtt.clamp(SHORTEST, probe_period / 2),
            suspicion: self.suspicion.max(SHORTEST),
            gossip: self.gossip.max(SHORTEST),
            push_pull: self.push_pull.max(SHORTEST),
            reconnect: self.reconnect.max(SHORTEST),
            reap: self.reap.max(Duration::from_secs(1)),
            reap_left: self.reap_left.max(Duration::from_secs(1)),
            leave: self.leave,
        }
    }

    /// How long a suspected member has to speak up in a pool of `size` members, when enough have found it silent.
    pub(super) fn suspicion_in(&self, size: usize) -> Duration {
        self.suspicion.mul_f64(decades(size).max(1.0))
    }

    /// Foca's configuration for a pool of `size` members.
    pub(super) fn foca(&self, size: usize) -> foca::Config {
        let periodic = |frequency, members| {
            Some(foca::PeriodicParams {
                frequency,
                num_members: NonZeroUsize::new(members).unwrap_or(NonZeroUsize::MIN),
            })
        };
        foca::Config {
            probe_period: self.probe_period,
            probe_rtt: self.probe_rtt,
            num_indirect_probes: NonZeroUsize::new(3).unwrap_or(NonZeroUsize::MIN),
            max_transmissions: transmissions(size),
            // The protocol sets that timer itself (`suspicion`).
            suspect_to_down_after: self.suspicion_in(size),
            // Foca would keep a timer for each time anyone was declared down; the protocol reaps instead.
            remove_down_after: None,
            max_packet_size: NonZeroUsize::new(MAX_PACKET_BYTES - SEAL_BYTES).unwrap_or(NonZeroUsize::MIN),
            notify_down_members: true,
            periodic_announce: None,
            // Failed members are tried over TCP (Timing::reconnect), which also exchanges the tables.
            periodic_announce_to_down_members: None,
            periodic_gossip: periodic(self.gossip, 3),
        }
    }
}

/// The decimal logarithm of the size of the pool.
fn decades(size: usize) -> f64 {
    f64::from(u32::try_from(size.max(1)).unwrap_or(u32::MAX)).log10()
}

/// How often each member that hears of an update sends it on. When each sends it `k` times at random, a share of about
/// `exp(-k)` never hears of it (SWIM paper, section 4.1); memberlist's `4 log(n)` leaves one in a thousand to the next
/// exchange of tables. Packets have the room for more. In small pools twice to everyone is enough.
fn transmissions(size: usize) -> NonZeroU8 {
    let enough = f64::from(u32::try_from(2 * size + 2).unwrap_or(u32::MAX));
    let count = (8.0 + 4.0 * decades(size + 1)).min(enough).ceil().clamp(1.0, 255.0);
    // In range by the clamp.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    NonZeroU8::new(count as u8).unwrap_or(NonZeroU8::MIN)
}
