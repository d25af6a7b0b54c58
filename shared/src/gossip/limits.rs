//! Every limit of a pool in one place: nothing a peer sends can hold or grow more than this.

use std::time::Duration;

/// Members kept, whatever their status. Later ones are not taken.
pub(super) const MAX_MEMBERS: usize = 16_384;
/// Bytes of a node name (a DNS label has 63; serf takes 128).
pub(super) const MAX_NAME_BYTES: usize = 128;
/// Keys in one member's tags.
pub(super) const MAX_TAGS: usize = 64;
/// Bytes of one member's tags, keys and values together.
pub(super) const MAX_TAG_BYTES: usize = 4096;
/// Bytes of a UDP packet as it leaves: below the payload of an Ethernet frame, so never fragmented there.
pub(super) const MAX_PACKET_BYTES: usize = 1400;
/// A description larger than this is announced by a notice and fetched over TCP, as it would starve a packet.
pub(super) const MAX_BROADCAST_BYTES: usize = 800;
/// Bytes of one frame on a stream.
pub(super) const MAX_FRAME_BYTES: usize = 16 << 20;
/// Incoming streams served at once; more wait in the listener's backlog.
pub(super) const MAX_INCOMING_STREAMS: usize = 16;
/// Exchanges this node has under way on its own account (not counting joins).
pub(super) const MAX_EXCHANGES: usize = 8;
/// Addresses of one `join` tried at once.
pub(super) const MAX_JOINS_AT_ONCE: usize = 8;
/// Packets read before other work gets its turn.
pub(super) const MAX_PACKETS_PER_TURN: usize = 64;
/// How long connecting may take.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long a connected peer may take until the first bytes of its frame are here.
pub(super) const FIRST_BYTES_LIMIT: Duration = Duration::from_secs(3);
/// How long one exchange on a stream may take in all.
pub(super) const STREAM_LIMIT: Duration = Duration::from_secs(20);
/// User events kept and exchanged.
pub(super) const MAX_EVENTS: usize = 256;
/// Bytes of one user event: name, payload and filters together.
pub(super) const MAX_EVENT_BYTES: usize = 512;
/// Bytes of one user event on the wire, at most.
pub(super) const MAX_SEALED_EVENT_BYTES: usize = MAX_EVENT_BYTES + 64;
/// The greatest Lamport time that is believed: following a greater one would leave no room for the next event.
pub(super) const MAX_EVENT_TIME: u64 = 1 << 48;
/// While more items than this wait to be spread, events of others are left to the exchange of tables.
pub(super) const MAX_BACKLOG: usize = 512;
/// Events that wait for this node's agent; when it falls behind, the oldest are lost to it.
pub(super) const MAX_WAITING_EVENTS: usize = 256;
/// Keys of a keyring: a packet that does not open is tried with each of them.
pub(super) const MAX_KEYS: usize = 8;
/// Members that are asked about their keyrings at once.
pub(super) const MAX_KEY_QUESTIONS: usize = 32;
/// How long one member may take to answer about its keyring.
pub(super) const KEY_QUESTION_LIMIT: Duration = Duration::from_secs(5);
/// Bytes of a frame about keys.
pub(super) const MAX_KEY_FRAME_BYTES: usize = 4096;
