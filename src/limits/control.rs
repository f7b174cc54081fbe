//! Our choice: control, status and metrics.

use std::time::Duration;

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

/// How long `muxcool reload` waits for an answer: files are read and sockets
/// opened, none of which takes long.
pub const RELOAD_PATIENCE: Duration = Duration::from_secs(30);

/// Streams that are told of in one answer; how many there are is always told.
pub const STATUS_STREAMS: usize = 10_000;

/// How long `muxcool status` waits for an answer.
pub const STATUS_PATIENCE: Duration = Duration::from_secs(10);

/// How long each of several programs may take to say what it is, when one of
/// them is to be chosen.
pub const CHOICE_PATIENCE: Duration = Duration::from_secs(1);

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
