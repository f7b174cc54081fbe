use std::time::{SystemTime, UNIX_EPOCH};

/// Where the seconds since 1970 come from.
pub(super) type UnixClock = std::sync::Arc<dyn Fn() -> i64 + Send + Sync>;

/// The system's.
pub(super) fn system() -> UnixClock {
    std::sync::Arc::new(unix_seconds)
}

fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs().cast_signed())
}
