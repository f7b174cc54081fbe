use std::sync::LazyLock;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// The place's time zone. Read once, for reading one takes more stack than our
/// threads have.
static ZONE: LazyLock<TimeZone> = LazyLock::new(TimeZone::system);

/// Reads the time zone, on a thread with enough stack: the main one.
pub(super) fn prepare() {
    LazyLock::force(&ZONE);
}

/// Now, as log lines of the family begin: local time, to the second.
pub(super) fn now() -> String {
    of(&Timestamp::now().to_zoned(ZONE.clone()))
}

fn of(time: &Zoned) -> String {
    time.strftime("%Y/%m/%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use jiff::tz::{TimeZone, offset};

    use super::*;

    #[test]
    fn the_hour_is_that_of_the_place() {
        let instant: jiff::Timestamp = "2006-01-02T22:04:05.9Z".parse().unwrap();
        let stamp = |zone| of(&instant.to_zoned(zone)).to_string();
        assert_eq!(stamp(TimeZone::UTC), "2006/01/02 22:04:05");
        let east = TimeZone::fixed(offset(8));
        assert_eq!(stamp(east), "2006/01/03 06:04:05");
    }
}
