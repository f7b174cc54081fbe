//! Our choice: memory, threads, and the end of the process.

use std::time::Duration;

use super::KEEP_HEAD;

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

/// What every longer time comes to, such as [`Duration::MAX`]: nobody waits for
/// its end.
pub const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Stack of our threads: the deepest path uses a small part of it.
pub const THREAD_STACK: usize = 256 * 1024;

/// Threads that may wait for work at once; more end. Each pins some 20 KiB.
pub const SPARE_THREADS: usize = 64;

/// How long a thread waits for work: over the pauses between one visitor's
/// connections, not much longer than a burst.
pub const SPARE_TIME: Duration = Duration::from_secs(3);

/// Threads at once in this process, where the system allows as many: a spawn
/// beyond fails. One source's connections to a listener,
/// [`CONNECTIONS_PER_SOURCE`](super::CONNECTIONS_PER_SOURCE), leave a part of them
/// to others.
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

/// How long a carrier that is closed may take to send what is queued, and a
/// bridge that is closed to give up its dial.
pub const CLOSE_GRACE: Duration = Duration::from_millis(500);

/// How long closing waits for its threads before it names those left.
pub const JOIN_DEADLINE: Duration = Duration::from_secs(5);
