//! Our choice: services of the system.

use std::time::Duration;

/// Files that may be open in a service, in the unit that we print: some of them
/// for each connection, as many as [`MAX_THREADS`](super::MAX_THREADS) serve, and
/// with room.
pub const SERVICE_FILES: u32 = 262_144;

/// What a service manager is asked for beyond the time that connections get to
/// end in: closing and joining, on a busy machine.
pub const SERVICE_STOP_MARGIN: Duration = Duration::from_secs(15);

/// Bytes of the name of a service or of a group, as the system has it.
pub const LONGEST_NAME: usize = 31;
