//! Our choice: the log and the access log.

use std::time::Duration;

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
