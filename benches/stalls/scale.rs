//! How long everything is measured.

use std::time::Duration;

pub struct Scale {
    /// Fresh tunnels of which the median is taken, where a figure is noisy.
    pub rounds: usize,
    /// In each of them, how often what disturbs comes and goes.
    pub turns: usize,
    /// Over which a rate is measured.
    pub window: Duration,
    /// Over which pings are counted.
    pub pinging: Duration,
    /// Rounds over the slow link.
    pub slow_rounds: usize,
    /// A transfer over the slow link may open its windows before it counts.
    pub slow_start: Duration,
    /// How long a transfer that has stopped may take to be back.
    pub recovery: Duration,
    /// The same for V2Ray alone, which never recovers.
    pub hopeless: Duration,
    /// Bound of one exchange of the half-close.
    pub echo: Duration,
    /// How long the restarted bridge may take to serve again.
    pub restart: Duration,
    /// Time with a frozen bridge that counts as early, and as late.
    pub frozen: (Duration, Duration),
    /// For which a visitor pauses.
    pub pause: Duration,
    /// All pairings, or only those of one program with itself.
    pub all_pairings: bool,
}

impl Scale {
    pub fn full() -> Self {
        Self {
            rounds: 3,
            turns: 3,
            window: Duration::from_millis(600),
            pinging: Duration::from_millis(2_000),
            slow_rounds: 2,
            slow_start: Duration::from_millis(1_000),
            recovery: Duration::from_secs(60),
            hopeless: Duration::from_secs(8),
            echo: Duration::from_secs(4),
            restart: Duration::from_secs(35),
            frozen: (Duration::from_secs(10), Duration::from_secs(10)),
            pause: Duration::from_secs(25),
            all_pairings: true,
        }
    }

    pub fn quick() -> Self {
        Self {
            rounds: 1,
            turns: 1,
            window: Duration::from_millis(400),
            pinging: Duration::from_millis(1_000),
            slow_rounds: 1,
            slow_start: Duration::from_millis(500),
            recovery: Duration::from_secs(3),
            hopeless: Duration::from_secs(1),
            echo: Duration::from_millis(1_500),
            restart: Duration::from_secs(3),
            frozen: (Duration::from_secs(5), Duration::from_secs(2)),
            pause: Duration::from_secs(2),
            all_pairings: false,
        }
    }
}
