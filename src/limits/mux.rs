//! Our choice: carriers and their sessions.

use std::time::Duration;

use super::KEEP_HEAD;

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
/// does not look as if there were others to send with it. A session's first
/// since something arrived for it does not wait for that.
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
/// before those in this process are woken who wait for some of them. At the
/// pace of a machine that wakes threads for nothing else it is a tenth of a
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
/// as one of its sessions stalls, which it ends after
/// [`CONN_IDLE`](super::CONN_IDLE): twice that.
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
/// which leaves some of [`MAX_THREADS`](super::MAX_THREADS) for everything else.
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
