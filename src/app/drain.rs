//! How an application ends without costing those their connections who end
//! them in time.

use std::fmt;
use std::time::{Duration, Instant};

use log::{info, warn};

use super::App;
use super::status::Phase;
use crate::limits::{DRAIN_HANDSHAKES, DRAIN_LOOK, DRAIN_REPORT};
use crate::mux::Left;
use crate::sync::Done;

impl App {
    /// Stops accepting, asks the peers of all carriers for no more sessions and
    /// the bridges of all portals to go elsewhere, and waits until what is
    /// under way has ended, `limit` at the most and not beyond `hurry`. Says
    /// what is left then, for [`close`](Self::close) to cut.
    ///
    /// Flows of datagrams count as ended once they have been
    /// [quiet](crate::limits::DRAIN_QUIET), and whoever has not said
    /// [soon](crate::limits::DRAIN_HANDSHAKES) what he wants is not waited for.
    pub fn drain(&self, limit: Duration, hurry: &Done) -> Left {
        self.end_reloads();
        self.census().come_to(Phase::Draining);
        let current = self.current();
        let inbounds = current.inbounds.iter();
        inbounds.for_each(|inbound| inbound.stop_accepting());
        let portals = current.portals.iter();
        portals.for_each(|portal| portal.portal().drain());
        let mut wait = Wait::new(limit);
        loop {
            let left = self.left(wait.passed() < DRAIN_HANDSHAKES);
            if !wait.goes_on(left) || hurry.wait_timeout(DRAIN_LOOK.min(wait.left())) {
                wait.end(left);
                return left;
            }
        }
    }

    /// Portals' carriers are among the visitors of this end, and no connections
    /// to be waited for: they go on as long as their sessions.
    fn left(&self, with_handshakes: bool) -> Left {
        let current = self.current();
        let bridges = current.bridges.iter();
        let inbounds = current.inbounds.iter();
        let (mut left, carriers) = self.retired.left(with_handshakes);
        left += bridges.map(|bridge| bridge.drain()).sum();
        left += inbounds.map(|inbound| inbound.drain(with_handshakes)).sum();
        left.connections = left.connections.saturating_sub(carriers + self.carriers());
        left
    }
}

/// A wait for what is left, and what the log says of it.
struct Wait {
    start: Instant,
    limit: Duration,
    /// When the next line is due.
    report: Duration,
    was_over: bool,
}

impl Wait {
    fn new(limit: Duration) -> Self {
        Self {
            start: Instant::now(),
            limit,
            report: Duration::ZERO,
            was_over: false,
        }
    }

    fn passed(&self) -> Duration {
        self.start.elapsed()
    }

    fn left(&self) -> Duration {
        self.limit.saturating_sub(self.passed())
    }

    /// Whether there is something left to wait for, and time. Nothing may be
    /// left at one look only, between two places where a connection counts.
    fn goes_on(&mut self, left: Left) -> bool {
        let is_over = std::mem::replace(&mut self.was_over, left.is_none()) && left.is_none();
        let goes_on = !is_over && !self.left().is_zero();
        if goes_on && !left.is_none() && self.passed() >= self.report {
            let seconds = self.left().as_secs_f64();
            warn!("waiting for {}, up to {seconds:.0} s", Words(left));
            self.report = self.passed() + DRAIN_REPORT;
        }
        goes_on
    }

    fn end(&self, left: Left) {
        let passed = self.passed().as_secs_f64();
        match left.is_none() {
            true => info!("all connections have ended, after {passed:.1} s"),
            false => warn!("cutting {}, after {passed:.1} s", Words(left)),
        }
    }
}

/// What is left, for the log.
pub(super) struct Words(pub(super) Left);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Left {
            connections,
            carriers,
        } = self.0;
        write!(f, "{connections} connection{}", plural(connections))?;
        match carriers {
            0 => Ok(()),
            _ => write!(f, " and {carriers} carrier{}", plural(carriers)),
        }
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
