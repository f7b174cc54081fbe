//! How long and how much everything is measured.

use std::time::Duration;

pub struct Extent {
    /// Fresh tunnels of which the median is taken.
    pub rounds: usize,
    /// Rounds with very many connections, which take long and differ little.
    pub large_rounds: usize,
    /// Over which a rate is measured.
    pub window: Duration,
    /// For which many streams flow before they count.
    pub warming: Duration,
    /// In which a stream opens its window on a link.
    pub slow_start: Duration,
    /// Over which pings are counted.
    pub pinging: Duration,
    /// Connections that are timed one by one.
    pub visits: usize,
    /// Idle connections: many, and very many.
    pub idle: [usize; 2],
    /// For which an idle tunnel is watched.
    pub watch: Duration,
    /// Concurrent streams whose cost is compared.
    pub streams: &'static [usize],
    /// Over which their rate is measured, and then pings are counted.
    pub flow: Duration,
}

impl Extent {
    pub fn full() -> Self {
        Self {
            rounds: 5,
            large_rounds: 2,
            window: Duration::from_millis(700),
            warming: Duration::from_millis(300),
            slow_start: Duration::from_millis(1_500),
            pinging: Duration::from_millis(700),
            visits: 300,
            idle: [1_000, 5_000],
            watch: Duration::from_secs(5),
            streams: &[10, 100, 1_000, 5_000],
            flow: Duration::from_millis(1_500),
        }
    }

    pub fn quick() -> Self {
        Self {
            rounds: 1,
            large_rounds: 1,
            window: Duration::from_millis(150),
            warming: Duration::from_millis(100),
            slow_start: Duration::from_millis(300),
            pinging: Duration::from_millis(150),
            visits: 20,
            idle: [50, 100],
            watch: Duration::from_millis(500),
            streams: &[10, 50],
            flow: Duration::from_millis(150),
        }
    }
}
