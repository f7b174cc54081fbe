//! Our choice: connections and datagram flows, whatever they speak.

use std::time::Duration;

/// Bound of one TCP dial.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(16);

/// TCP dials at once in this process; others wait for their turn. Far more
/// than targets that answer ever need: a dial takes a round trip.
pub const DIALS: usize = 2_048;

/// The same on behalf of one source: not all, so that no source takes every turn
/// with targets that do not answer.
pub const DIALS_PER_SOURCE: usize = DIALS / 4 * 3;

/// Connections, or flows, of this program to itself through which one visitor
/// may come. Chains of its own inbounds have a few; what goes on for longer is a
/// circle.
pub const OWN_ROUNDS: usize = 8;

/// Names that are resolved at once in this process; others wait for their
/// turn. The system's resolver blocks its thread for as long as it likes, also
/// when nobody waits for the answer any more.
pub const LOOKUPS: usize = 512;

/// The same on behalf of one source.
pub const LOOKUPS_PER_SOURCE: usize = LOOKUPS / 4 * 3;

/// Longest wait for a name's addresses, and for a turn to ask for them: what
/// the system's resolver takes for two servers that do not answer. A third is
/// not waited for.
pub const LOOKUP_WAIT: Duration = Duration::from_secs(20);

/// Addresses of one name that are looked at. Real names have fewer; of an
/// answer that is larger than that, nobody needs more.
pub const MAX_ADDRESSES: usize = 16;

/// Time for a peer's whole handshake, unless the policy says otherwise.
pub const HANDSHAKE: Duration = Duration::from_secs(60);

/// Bytes of a peer's part in a handshake of SOCKS or VLESS, and of a SOCKS
/// server's: their longest forms have about a quarter of it. HTTP heads have a
/// bound of their own, [`MAX_HTTP_HEAD`](super::MAX_HTTP_HEAD).
pub const MAX_HANDSHAKE: usize = 4_096;

/// Connections of one listener at once; more are closed at once. Each has a
/// thread or two.
pub const CONNECTIONS: usize = 8_192;

/// Connections of one listener from one source at once: so many that no source
/// takes every place, nor, with two threads for each, all of
/// [`MAX_THREADS`](super::MAX_THREADS). Many may hide behind one address.
pub const CONNECTIONS_PER_SOURCE: usize = CONNECTIONS / 8 * 5;

/// Connections of one listener that are in their handshake. With one more the
/// oldest of them is cut: whoever is honest is done in a moment.
pub const HANDSHAKES: usize = 4_096;

/// The same from one source, whose own oldest is cut.
pub const HANDSHAKES_PER_SOURCE: usize = HANDSHAKES / 2;

/// Bits of an IPv6 address that tell sources apart: its owner has the rest.
pub const SOURCE_BITS: u8 = 64;

/// Connection without a byte either way, unless the policy says otherwise.
pub const CONN_IDLE: Duration = Duration::from_secs(300);

/// Quiet time after the target has ended its direction, unless the policy says
/// otherwise.
pub const HALF_OPEN_IDLE: Duration = Duration::from_secs(1);

/// Datagram flow without a packet either way.
pub const UDP_IDLE: Duration = Duration::from_secs(60);

/// Datagram flows of one inbound at once. With one more the oldest is cut that
/// was never answered, for it may be of a source that was forged.
pub const UDP_FLOWS: usize = 1_024;

/// How long each of them may at least wait for its first answer: longer than a
/// way around the world and back. It also bounds how many flows forged sources
/// make begin, each of which costs threads and lines in the logs.
pub const UDP_ANSWER: Duration = Duration::from_secs(1);

/// The same from one source: not all, so that no source takes every place.
pub const UDP_FLOWS_PER_SOURCE: usize = UDP_FLOWS / 4 * 3;

/// Bytes that may wait on one datagram flow of an inbound, in memory pinned:
/// [`PARKED_DATAGRAMS`](super::PARKED_DATAGRAMS) of the size that an Ethernet carries.
pub const UDP_FLOW_QUEUE: usize = 128 * 1024;

/// Largest datagram that UDP over IP carries.
pub const MAX_DATAGRAM: usize = 65_535;

/// Quiet time after which the system asks whether a TCP peer is still there,
/// and the time between two such questions.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
/// See [`KEEPALIVE_IDLE`].
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// Pause of a listener that cannot accept, for want of descriptors, threads or
/// memory.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often the system is asked for a port that is free for streams and for
/// datagrams.
pub const FREE_PORT_TRIES: usize = 8;

/// How often a stalled write looks whether its connection was reset, where
/// nothing can wake it.
pub const STALLED_WRITE_CHECK: Duration = Duration::from_millis(250);

/// How long a stream's first bytes are waited for where they are to tell what
/// it is: as long as V2Ray waits. So long a server that speaks first is held up.
pub const SNIFFING_TIME: Duration = Duration::from_millis(200);

/// Bytes in which a host's name is looked for. V2Ray stops at 2048, which a
/// ClientHello with keys against quantum computers passes.
pub const SNIFFED_BYTES: usize = 8 * 1024;

/// Connections of an outbound of which the shortest time to make one counts as
/// the round trip to its server.
pub const ROUND_TRIPS: usize = 8;

/// How long a round trip that was measured counts.
pub const ROUND_TRIP_AGE: Duration = Duration::from_secs(60);

/// Time between two connections that a balancer risks on one outbound, to see
/// how it does: so rarely does a visitor wait in vain for a server that is down.
pub const TRIAL_PAUSE: Duration = Duration::from_secs(30);

/// A balancer by load prefers servers within so many times the shortest round
/// trip, and [`SIMILAR_SLACK`] more.
pub const SIMILAR_ROUND_TRIP: u32 = 2;

/// See [`SIMILAR_ROUND_TRIP`]: beneath it, who is nearer is chance.
pub const SIMILAR_SLACK: Duration = Duration::from_millis(5);

/// How long a peer that was told the last words may take to end its side,
/// before the connection is closed over its head; V2Ray's blackhole waits as
/// long.
pub const PARTING: Duration = Duration::from_secs(1);
