//! Every constant of the crate: what the protocol fixes, and what we chose.
//!
//! Section numbers refer to the wire description, [`crate::spec`]. The defaults of
//! all settings are here, and nowhere else.
//!
//! # Memory
//!
//! Whatever peers send and consumers leave, no more than this waits in memory.
//! A buffer has up to 64 KiB, and so has a frame.
//!
//! | of | waits, with the default settings |
//! |---|---|
//! | a stream from a plain peer | [`PARKED_PER_SESSION`] and a buffer; while [`PARKED_PER_CARRIER`] wait on its carrier or [`PARKED_PER_PROCESS`] in the process, [`PARKED_UNDER_PRESSURE`] and a buffer |
//! | a stream from a muxcool peer | its window, which has [`INITIAL_WINDOW`] to [`MAX_WINDOW`], and a frame |
//! | a datagram session | [`PARKED_DATAGRAMS`] datagrams, and no more bytes than a plain stream and a frame |
//! | any session | besides, a buffer on its way out; and [`SESSION_PIPE`] if an application reads it by itself |
//! | a carrier | [`CARRIER_PIPE`], or up to [`CARRIER_PIPE_MOST`] if it is fast, and [`CONTROL_PIPE`], a frame each way; in the system [`UNSENT`], and what the system receives |
//! | the process, from plain peers | [`PARKED_PER_PROCESS`], and [`PARKED_UNDER_PRESSURE`] and a buffer for each session |
//! | the process, from muxcool peers | [`GROWN_PER_PROCESS`] and a window, and [`INITIAL_WINDOW`] and a frame for each session |
//!
//! A carrier has at most [`SERVER_SESSIONS`] sessions that its peer has opened,
//! the process [`SESSIONS_PER_PROCESS`]. Buffers that are free again are kept,
//! [`POOLED_PER_CLASS`] of each size.

use std::time::Duration;

// ---------------------------------------------------------------------------
// Fixed by the protocol
// ---------------------------------------------------------------------------

/// Longest frame metadata, in bytes, that any member of the family accepts.
pub const MAX_METADATA: usize = 512;

/// Shortest frame metadata: session id, status, option.
pub const MIN_METADATA: usize = 4;

/// Most payload bytes in one frame: its length field has 16 bits.
pub const MAX_FRAME_PAYLOAD: usize = 65_535;

/// Bytes in front of the payload of a frame that goes on with a session.
pub const KEEP_HEAD: usize = 8;

/// Largest datagram V2Ray accepts in a frame; a larger one ends its whole
/// carrier. Muxcool peers say in HELLO what they take: all that a frame holds.
pub const MAX_PLAIN_DATAGRAM: usize = 2_048;

/// Longest domain: its length field has 8 bits.
pub const MAX_DOMAIN: usize = 255;

/// Host name that asks the other side of a carrier for a mux server.
pub const MUX_DOMAIN: &str = "v1.mux.cool";

/// Port that goes with [`MUX_DOMAIN`]; nobody looks at it.
pub const MUX_PORT: u16 = 9527;

/// Names under which the family's portals open the control session of a
/// reverse carrier. A bridge accepts all of them, a portal sends the first
/// unless told otherwise.
pub const CONTROL_DOMAINS: [&str; 4] = [
    "reverse.internal.v2ray.com",
    "reverse.internal.v2fly.org",
    "reverse.internal.example.com",
    "reverse",
];

/// Session ids from 1 to this one are given out; 65 535 is kept for probes.
pub const MAX_SESSION_ID: u16 = u16::MAX - 1;

/// Longest user name or password of SOCKS5 (RFC 1929), in bytes.
pub const MAX_SOCKS_CREDENTIAL: usize = 255;

/// Longest user id or name in a SOCKS4 request, in bytes: they have no length
/// field but end with NUL. As long as a name may be elsewhere.
pub const MAX_SOCKS4_TEXT: usize = 255;

/// Padding of a VMess chunk has less bytes than this.
pub const VMESS_PADDING: usize = 64;

/// Most bytes of a VMess chunk behind its size, which has 16 bits.
pub const MAX_VMESS_CHUNK: usize = 65_535;

/// How far a VMess client's clock may differ from the server's, in seconds.
pub const VMESS_CLOCK: u64 = 120;

/// How long no two VMess connections of a user may have the same body keys, in
/// seconds, as in V2Ray.
pub const VMESS_SESSION: i64 = 180;

/// Longest line of a PROXY header of version 1, in bytes, its end included.
pub const MAX_PROXY_LINE: usize = 107;

/// Longest head of a WebSocket frame: with a length of 64 bits and a key.
pub const WS_FRAME_HEAD: usize = 14;

/// Most payload bytes of a WebSocket control frame.
pub const MAX_WS_CONTROL: usize = 125;

// ---------------------------------------------------------------------------
// Our choice: mux
// ---------------------------------------------------------------------------

/// Bytes that may wait between a worker's sessions and its carrier, as in
/// V2Ray: as long as the carrier is slow, or idle.
pub const CARRIER_PIPE: usize = 64 * 1024;

/// The same on a carrier that takes more than [`CARRIER_PIPE`] in
/// [`CARRIER_DELAY`]: with less, sessions that send at once would take turns
/// frame by frame.
pub const CARRIER_PIPE_MOST: usize = 512 * 1024;

/// What waits in front of a fast carrier is what it takes in this time: so much
/// later everybody else's data leaves.
pub const CARRIER_DELAY: Duration = Duration::from_millis(2);

/// How often a carrier's pace is taken.
pub const PACE_INTERVAL: Duration = Duration::from_millis(10);

/// A frame of at least so many bytes is sent by the session that made it, if
/// nobody else sends on the carrier; smaller ones are worth being collected.
pub const DIRECT_SIZE: usize = 16 * 1024;

/// A smaller frame, too, if the carrier has sent nothing for so long: then it
/// does not look as if there were others to send with it.
pub const DIRECT_PAUSE: Duration = Duration::from_micros(20);

/// How often who sends by himself looks for what others have queued meanwhile,
/// before he leaves it to the carrier's writer thread: to wake that costs more
/// than to send some frames.
pub const DIRECT_ROUNDS: usize = 5;

/// Bytes that may wait on a carrier's control lane, as in V2Ray.
pub const CONTROL_PIPE: usize = 16 * 1024;

/// Bytes that may wait between a session and an application that reads it.
pub const SESSION_PIPE: usize = 256 * 1024;

/// Bytes that one session may park, beyond what its consumer takes at once,
/// before the carrier's reader waits for it.
pub const PARKED_PER_SESSION: usize = 1024 * 1024;

/// How long a session that holds up its carrier may take nothing at all
/// before it is ended.
pub const STALLED_SESSION: Duration = Duration::from_secs(30);

/// The same, at the least, for one that begins to hold the carrier up after
/// another was ended for it: as long as the carrier has flowed since, for those
/// who wait behind it have waited already.
pub const STALLED_AGAIN: Duration = Duration::from_millis(500);

/// Datagrams that one session may have waiting; the newest is dropped beyond.
pub const PARKED_DATAGRAMS: usize = 64;

/// Most payload bytes that we put in one frame of a stream, and read at once.
/// With its head a frame is one segment on loopback, whose packets have 65,536
/// bytes and up to 72 of headers, also in TLS, which puts 29 or less around each
/// of four records, and in a WebSocket message: of a frame that is any longer the
/// rest would be a segment of its own, which costs as much as a whole one.
pub const FRAME_PAYLOAD: usize = 65_536 - 256 - KEEP_HEAD;

/// Smallest configurable window, and room to park, in bytes: with less a stream
/// would move in crumbs.
pub const LEAST_ROOM: usize = 32 * 1024;

/// Bytes of each session's stream that a muxcool peer may send before it is
/// granted more (section 11).
pub const INITIAL_WINDOW: u32 = 256 * 1024;

/// Largest window of a session: what a paused reader may cost, and what a path
/// of 50 ms and 2.5 Gbit/s holds.
pub const MAX_WINDOW: u64 = 16 * 1024 * 1024;

/// Largest configurable window, in bytes: a peer that is granted this much
/// may send it all before its consumer takes any.
pub const LARGEST_WINDOW: u64 = 1024 * 1024 * 1024;

/// Grants for each window that is consumed. With one each half, as many bytes
/// as half a window would wait in front of everybody else on a path that is
/// to be kept full.
pub const GRANTS_PER_WINDOW: u64 = 8;

/// Grants of a session that the peer has not used up and that are remembered,
/// to see whether it comes to the end of one. More are only under way while a
/// window shrinks.
pub const REMEMBERED_GRANTS: usize = 32;

/// A peer that is without credit for more than this part of the time, although
/// its consumer waits, has too small a window.
pub const STARVED_PART: u32 = 16;

/// How many times what a path holds by itself a window may have for a peer that
/// is without credit otherwise. Grants that wait behind bulk data that goes
/// their way make the path so much longer.
pub const WINDOW_STRETCH: u64 = 2;

/// A window that is too large by some bytes gives back one of so many at a
/// time, unless memory is scarce: it may have grown for a reason that comes
/// again.
pub const WINDOW_SHRINKS: u64 = 4;

/// Bytes that are read from a carrier, while there are more to read at once,
/// before the grants that they bring are sent: many sessions' grants in one
/// frame then. One session alone has used up its first window by then, and has
/// nothing more to read.
pub const GRANTS_TOGETHER: usize = INITIAL_WINDOW as usize;

/// Bytes that are read from a carrier, while there are more to read at once,
/// before those are woken who wait for large pieces among them. At the pace of
/// a machine that wakes threads for nothing else it is a tenth of a
/// millisecond.
pub const WAKES_TOGETHER: usize = 128 * 1024;

/// Bytes of one session that may be on their way from a peer that has just
/// learned of credit: what waits in front of its carrier, and a write or two.
pub const SENT_UNAWARE: u64 = (CARRIER_PIPE + 2 * FRAME_PAYLOAD) as u64;

/// A round trip is taken to be at least this long when a window's growth is
/// judged: on one machine it is shorter than a scheduler's turn.
pub const MIN_ROUND_TRIP: Duration = Duration::from_millis(1);

/// Bytes that wait in this process for sessions' consumers, beyond which no
/// window grows and plain peers are held back at once.
pub const PARKED_PER_PROCESS: usize = 256 * 1024 * 1024;

/// The same of one carrier: the sessions of no peer take all of it from the
/// others'.
pub const PARKED_PER_CARRIER: usize = PARKED_PER_PROCESS / 4;

/// Bytes that one session may park then.
pub const PARKED_UNDER_PRESSURE: usize = 64 * 1024;

/// Bytes by which all windows of this process together are larger than at
/// first, beyond which none grows: what their peers may send besides, should
/// all consumers stop. Windows of 8 MiB, for a path of 50 ms and 1 Gbit/s, for
/// 128 sessions.
pub const GROWN_PER_PROCESS: usize = 1024 * 1024 * 1024;

/// Silence of a carrier after which its peer is probed (section 14).
pub const PROBE_AFTER: Duration = Duration::from_secs(2);

/// Silence after which other carriers are preferred.
pub const SUSPECT_AFTER: Duration = Duration::from_secs(5);

/// Silence after which a carrier is ended.
pub const DEAD_AFTER: Duration = Duration::from_secs(15);

/// How long a peer may take nothing of what is being sent to it, whatever it
/// says meanwhile, before its carrier is ended. V2Ray reads nothing for as long
/// as one of its sessions stalls, which it ends after [`CONN_IDLE`]: twice that.
pub const UNREAD: Duration = Duration::from_secs(600);

/// Between two measures of a carrier's round trip while windows are granted on
/// it: often enough to have one before they have grown past what the path holds.
pub const MEASURED_AGAIN: Duration = Duration::from_millis(50);

/// Silence of a carrier after which a new session's peer is probed at once; and
/// how long its answer may take, or four usual round trips if these are
/// longer, before carriers whose peers answer are preferred.
pub const QUIET_PEER: Duration = Duration::from_millis(250);

/// Shortest configurable time before a probe; no carrier is looked at more
/// often, whatever remains of its times.
pub const SHORTEST_PROBE: Duration = Duration::from_millis(10);

/// How late a look at a carrier may be. After more than this the process was
/// not there itself, and does not know whether its peer was.
pub const ABSENCE: Duration = Duration::from_secs(1);

/// Longest configurable time in which a peer or a consumer is waited for: a
/// day, beyond which a mistake is likelier than a purpose.
pub const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Session id of probes to plain peers: never opened, so that every member of
/// the family answers data for it with End.
pub const PROBE_SESSION: u16 = u16::MAX;

/// Answers to a peer's PINGs that may wait; more are dropped.
pub const PONGS: usize = 16;

/// How long a client's End waits, once nothing more comes from the visitor,
/// for a plain server's answer to go quiet: it cuts the answer soon after.
pub const END_QUIET: Duration = Duration::from_secs(2);

/// Unsent bytes in the kernel beyond which a carrier's socket takes no more, so
/// that what is urgent does not wait behind them.
pub const UNSENT: u32 = 128 * 1024;

/// How often a worker looks whether it has been idle, as in V2Ray.
pub const IDLE_CHECK: Duration = Duration::from_secs(16);

/// How long a client waits for a session's first payload, so as to send it
/// with New. V2Ray waits 100 ms, which delays every server that speaks first.
pub const FIRST_PAYLOAD_WAIT: Duration = Duration::from_millis(1);

/// How many workers a request tries before it fails, as in V2Ray.
pub const PICK_TRIES: usize = 16;

/// How often closed workers are dropped from a picker, as in V2Ray.
pub const PICKER_CLEANUP: Duration = Duration::from_secs(30);

/// Sessions at once on one carrier, unless configured (`concurrency`).
pub const DEFAULT_CONCURRENCY: u32 = 8;

/// Largest configurable `concurrency`.
pub const MAX_CONCURRENCY: u32 = 1024;

/// Sessions ever made on one carrier of an outbound with `mux`, as in V2Ray.
pub const DEFAULT_MAX_CONNECTION: u32 = 128;

/// Sessions that a mux server runs at once for one carrier; more are refused.
/// What counts is the thread that works for a session, not its id: it may go
/// on after the peer has ended the session.
pub const SERVER_SESSIONS: usize = 5_500;

/// The same for all carriers of a process together. Each may need two threads,
/// which leaves some of [`MAX_THREADS`] for everything else.
pub const SESSIONS_PER_PROCESS: usize = 5_900;

/// Sessions of one carrier whose targets are dialled at once. Others wait for
/// their turn, so that targets that do not answer hold up their own carrier's
/// new sessions and nobody else's; those that the peer ends meanwhile are never
/// dialled.
pub const DIALLING_PER_CARRIER: usize = 256;

/// Ends that wait to be sent to a peer which does not read, beyond which its
/// data for ids that are not open goes unanswered.
pub const UNKNOWN_ANSWERS: usize = 1_024;

/// Frames that bring nothing (empty ones, those for ids that are not open,
/// sessions that are refused, questions) after which a carrier is ended, if
/// they came in less than [`IDLE_FRAMES_TIME`]. It is more than twice what a
/// program can ask that waits for each answer, and a thousandth of a second's
/// work for each second.
pub const IDLE_FRAMES: usize = 500_000;

/// See [`IDLE_FRAMES`].
pub const IDLE_FRAMES_TIME: Duration = Duration::from_secs(10);

/// Sessions opened by a peer that an application has not accepted yet.
pub const ACCEPT_BACKLOG: usize = 256;

// ---------------------------------------------------------------------------
// Our choice: reverse
// ---------------------------------------------------------------------------

/// Interval of a portal's heartbeat and of a bridge's monitor, as in V2Ray.
pub const HEARTBEAT: Duration = Duration::from_secs(2);

/// Sessions ever opened on a portal's worker before it drains, as in V2Ray.
pub const DRAIN_AFTER: u32 = 256;

/// Most random bytes in a heartbeat; at least one, for an empty message would
/// not be sent.
pub const HEARTBEAT_PADDING: usize = 64;

/// Longest Control message that we read, in bytes: what fits V2Ray's datagrams.
/// The family's own are at most 69 bytes long.
pub const MAX_CONTROL: usize = MAX_PLAIN_DATAGRAM;

/// Mean sessions of a bridge's workers beyond which it opens another.
pub const BRIDGE_SESSIONS: usize = 16;

/// Carriers in use that one bridge keeps open at the most.
pub const BRIDGE_WORKERS: usize = 16;

/// Draining carriers that one bridge keeps at the most: then it opens no other
/// until one has ended, and the portal goes on with those that there are.
pub const BRIDGE_DRAINING: usize = 256;

/// First and longest pause of a bridge between dials while its portal cannot
/// be reached or its carriers do not last.
pub const REDIAL_BACKOFF: (Duration, Duration) =
    (Duration::from_millis(250), Duration::from_secs(10));

// ---------------------------------------------------------------------------
// Our choice: connections
// ---------------------------------------------------------------------------

/// Bound of one TCP dial.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(16);

/// TCP dials at once in this process; others wait for their turn. Far more
/// than targets that answer ever need: a dial takes a round trip.
pub const DIALS: usize = 2_048;

/// Names that are resolved at once in this process; others wait for their
/// turn. The system's resolver blocks its thread for as long as it likes, also
/// when nobody waits for the answer any more.
pub const LOOKUPS: usize = 512;

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
/// bound of their own, [`MAX_HTTP_HEAD`].
pub const MAX_HANDSHAKE: usize = 4_096;

/// Connections of one listener at once; more are closed at once. Each has a
/// thread or two.
pub const CONNECTIONS: usize = 8_192;

/// Connections of one listener from one source at once: not all, so that no
/// source takes every place. Many may hide behind one address.
pub const CONNECTIONS_PER_SOURCE: usize = CONNECTIONS / 4 * 3;

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

/// Datagram flows of one inbound at once.
pub const UDP_FLOWS: usize = 1_024;

/// The same from one source: not all, so that no source takes every place.
pub const UDP_FLOWS_PER_SOURCE: usize = UDP_FLOWS / 4 * 3;

/// Bytes that may wait on one datagram flow of an inbound, in memory pinned:
/// [`PARKED_DATAGRAMS`] of the size that an Ethernet carries.
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

/// Longest head of an HTTP proxy request, in bytes.
pub const MAX_HTTP_HEAD: usize = 64 * 1024;

/// Most header fields of an HTTP proxy request.
pub const MAX_HTTP_FIELDS: usize = 128;

/// Longest head of a WebSocket upgrade, request or response, in bytes: proxies
/// on the way add fields of their own.
pub const MAX_WS_HEAD: usize = 16 * 1024;

/// Longest PROXY header of version 2, in bytes: what balancers put in beside
/// the addresses, such as names of TLS, and even a certificate, has less.
pub const MAX_PROXY_HEADER: usize = 8 * 1024;

/// Bytes of several buffers that go in one WebSocket frame of ours. Of what
/// peers send nothing waits until a frame is complete, so it has no bound.
pub const WS_FRAME: usize = BUFFER_CLASSES[4];

/// Longest line of a chunk in an HTTP body: its size and extensions, in bytes.
pub const MAX_HTTP_CHUNK_LINE: usize = 1_024;

/// How long a peer that was told the last words may take to end its side,
/// before the connection is closed over its head; V2Ray's blackhole waits as
/// long.
pub const PARTING: Duration = Duration::from_secs(1);

/// Bytes of plaintext in one TLS record, as many as TLS allows: what is
/// encrypted or decrypted under one lock.
pub const TLS_RECORD: usize = 16_384;

/// Most bytes that a record of data has besides: its header, TLS 1.2's part of
/// the nonce, and the tag.
pub const TLS_OVERHEAD: usize = 5 + 8 + 16;

/// The same of TLS 1.3, which has a byte for the record's type instead.
pub const TLS13_OVERHEAD: usize = 5 + 1 + 16;

/// Full records that one write sends.
pub const TLS_RECORDS_AT_ONCE: usize = 8;

/// Bytes of a peer's part in a TLS handshake. Most of it is certificates, of
/// which chains of four with long keys have a tenth.
pub const MAX_TLS_HANDSHAKE: usize = 128 * 1024;

/// TLS sessions that a client remembers, to resume them.
pub const TLS_SESSIONS: usize = 256;

/// Least time between two looks whether a server's certificate files have
/// changed.
pub const CERTIFICATE_CHECK: Duration = Duration::from_secs(2);

/// Longest addons of a VLESS header that we read, in bytes: their length has 8 bits.
pub const MAX_VLESS_ADDONS: usize = 255;

/// Longest request header of VMess that we read, in bytes of plain text: three
/// times what its longest form has. What follows it in there is ignored.
pub const MAX_VMESS_HEADER: usize = 1_024;

/// Longest response header of VMess that we read: its command has 255 bytes.
pub const MAX_VMESS_RESPONSE: usize = 4 + 255;

/// Auth ids, and body keys, that this process remembers in order to refuse
/// their second use. Each is kept as long as it could be accepted again, some
/// minutes; so this is what comes in with 4000 connections a second. With one
/// more the oldest are forgotten, and auth ids as old as these are refused.
pub const VMESS_REMEMBERED: usize = 500_000;

/// Bytes after which a VMess server ends the connection of somebody whom it
/// does not know: this many and up to as many more, as in V2Ray, always the
/// same but for a few.
pub const VMESS_DRAIN: (usize, usize) = (54, 3_266);

/// The few.
pub const VMESS_DRAIN_JITTER: usize = 64;

/// Smaller pieces that are written together become one chunk of VMess: what
/// that costs besides is worth a copy.
pub const VMESS_JOINED: usize = BUFFER_CLASSES[1];

/// Bytes of a peer's text that a log line shows.
pub const MAX_LOGGED_TEXT: usize = 256;

/// Lines that the log gets about one cause in [`LOG_INTERVAL`], when peers can
/// bring it about at will; the next one says how many were left out.
pub const LOG_LINES: u32 = 10;

/// See [`LOG_LINES`].
pub const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes of the log that may wait for a slow disk or terminal; lines beyond are
/// lost.
pub const LOG_QUEUE: usize = 1024 * 1024;

/// How long a program that ends waits until its logs are written, each.
pub const LOG_FLUSH: Duration = Duration::from_secs(1);

/// Access lines that may wait for a slow disk or terminal; more are lost.
pub const ACCESS_QUEUE: usize = 4_096;

/// How long the access log waits for more lines to write with the first: short
/// for who watches it, and the queue holds more than come meanwhile.
pub const ACCESS_GATHERING: Duration = Duration::from_millis(20);

// ---------------------------------------------------------------------------
// Our choice: control and status
// ---------------------------------------------------------------------------

/// Longest request on the control socket, in bytes: a command and a few words.
pub const CONTROL_REQUEST: usize = 4_096;

/// Longest answer that is read from a control socket, in bytes: much more than
/// [`STATUS_STREAMS`] take.
pub const CONTROL_ANSWER: usize = 16 * 1024 * 1024;

/// Clients of a control socket at once; more are closed.
pub const CONTROL_CLIENTS: usize = 16;

/// In which a client of the control socket must have sent its request, and as
/// much again in which it must have taken the answer.
pub const CONTROL_PATIENCE: Duration = Duration::from_secs(5);

/// How often the system is asked for a port that is free for streams and for
/// datagrams.
pub const FREE_PORT_TRIES: usize = 8;

/// How long `muxcool reload` waits for an answer: files are read and sockets
/// opened, none of which takes long.
pub const RELOAD_PATIENCE: Duration = Duration::from_secs(30);

/// Streams that are told of in one answer; how many there are is always told.
pub const STATUS_STREAMS: usize = 10_000;

/// How long `muxcool status` waits for an answer.
pub const STATUS_PATIENCE: Duration = Duration::from_secs(10);

/// How often it looks when it watches.
pub const STATUS_WATCH: Duration = Duration::from_secs(1);

/// Head of a monitor's request, in bytes, and how many header fields it may
/// have.
pub const METRICS_HEAD: usize = 8_192;
/// See [`METRICS_HEAD`].
pub const METRICS_HEADERS: usize = 64;

/// Monitors that are answered at once; more are closed.
pub const METRICS_CLIENTS: usize = 32;

/// In which a monitor must have sent its request, and as much again in which it
/// must have taken the answer.
pub const METRICS_PATIENCE: Duration = Duration::from_secs(5);

/// Carriers of each service that have metrics of their own: their peers choose
/// how many there are. All of them are in the service's sums.
pub const METRICS_CARRIERS: usize = 64;

// ---------------------------------------------------------------------------
// Our choice: configuration
// ---------------------------------------------------------------------------

/// Largest configuration file, in bytes: a mistaken path must not fill memory.
pub const MAX_CONFIG_SIZE: usize = 4 * 1024 * 1024;

/// Mistakes in one configuration that are told at once; behind so many, most
/// follow from another.
pub const MAX_CONFIG_ERRORS: usize = 100;

/// Comparisons that are made to find rules that never match: a moment's work
/// at start, and enough for hundreds of rules with long lists.
pub const MAX_RULE_COMPARISONS: usize = 4_000_000;

/// Largest file of certificates or keys, in bytes.
pub const MAX_PEM: u64 = 1024 * 1024;

/// Deepest nesting of a configuration; the format needs 8, and the reader
/// recurses once for each.
pub const MAX_CONFIG_DEPTH: usize = 32;

/// Ports of one inbound: each has a listener and a thread.
pub const MAX_PORT_RANGE: usize = 1024;

// ---------------------------------------------------------------------------
// Our choice: service
// ---------------------------------------------------------------------------

/// Files that may be open in a service, in the unit that we print: some of them
/// for each connection, as many as [`MAX_THREADS`] serve, and with room.
pub const SERVICE_FILES: u32 = 262_144;

/// What a service manager is asked for beyond the time that connections get to
/// end in: closing and joining, on a busy machine.
pub const SERVICE_STOP_MARGIN: Duration = Duration::from_secs(15);

/// Bytes of the name of a service or of a group, as the system has it.
pub const LONGEST_NAME: usize = 31;

// ---------------------------------------------------------------------------
// Our choice: memory and threads
// ---------------------------------------------------------------------------

/// Room in front of every buffer's payload, for the heads of a mux frame and of
/// a WebSocket frame around it.
pub const HEADROOM: usize = 24;

/// Payload sizes of pooled buffers. Programs like to write 32 KiB at once: of
/// such a frame's payload and the head of the next, which a carrier reads
/// together, no part needs a buffer of twice the size.
pub const BUFFER_CLASSES: [usize; 5] = [512, 2_048, 8_192, 32_768 + KEEP_HEAD, 65_536];

/// Bytes that the pool keeps of each class.
pub const POOLED_PER_CLASS: usize = 4 * 1024 * 1024;

/// Entries of a pipe: a write is charged at least the limit divided by this.
/// Small writes are to fill a pipe by the memory they take, as far as that goes
/// with a channel that has memory for all its slots from the beginning.
pub const PIPE_SLOTS: usize = 128;

/// How long a pipe's writers may overtake one that waits for room, which costs
/// fewer switches of threads; then they queue behind it.
pub const PIPE_PATIENCE: Duration = Duration::from_millis(5);

/// Stack of our threads: the deepest path uses a small part of it.
pub const THREAD_STACK: usize = 256 * 1024;

/// Threads that may wait for work at once; more end. Each pins some 20 KiB.
pub const SPARE_THREADS: usize = 64;

/// How long a thread waits for work: over the pauses between one visitor's
/// connections, not much longer than a burst.
pub const SPARE_TIME: Duration = Duration::from_secs(3);

/// Threads at once in this process, where the system allows as many: a spawn
/// beyond fails.
pub const MAX_THREADS: usize = 12_000;

/// Threads that are tried in any case, whatever the system's limits say.
pub const LEAST_THREADS: usize = 16;

/// One part in so many of what the system allows is left to others: to the
/// user's other processes, and to memory maps that are no thread's.
pub const THREAD_MARGIN: usize = 8;

/// Memory maps of a thread: its stack, its signal stack, and the guard pages
/// of both.
pub const MAPS_PER_THREAD: usize = 4;

/// How long a program that is told to stop lets connections go on, unless the
/// policy says otherwise.
pub const DRAIN: Duration = Duration::from_secs(30);

/// How long it waits for handshakes under way: whoever is honest is done in a
/// moment.
pub const DRAIN_HANDSHAKES: Duration = Duration::from_secs(1);

/// A flow of datagrams that has been quiet for so long does not hold it up.
pub const DRAIN_QUIET: Duration = Duration::from_secs(2);

/// How often it looks what is left, for nothing tells.
pub const DRAIN_LOOK: Duration = Duration::from_millis(50);

/// How often it says what it waits for.
pub const DRAIN_REPORT: Duration = Duration::from_secs(5);

/// How long a carrier that is closed may take to send what is queued.
pub const CLOSE_GRACE: Duration = Duration::from_millis(500);

/// How long closing waits for its threads before it names those left.
pub const JOIN_DEADLINE: Duration = Duration::from_secs(5);
