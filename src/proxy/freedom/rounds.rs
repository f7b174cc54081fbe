//! Connections of this program to itself, by which one may come round again and
//! again: to a proxy that is asked for its own address, or that reads it out of
//! what it is sent, a single visitor would be as many as there can be.

use std::any::Any;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{LazyLock, Weak};

use parking_lot::Mutex;

use crate::net::canonical;

/// How many are remembered before those that are over are looked for.
const FEW: usize = 64;

/// What lives as long as a connection.
pub(super) type Life = Weak<dyn Any + Send + Sync>;

/// Those that lead to this machine.
static OWN: LazyLock<Mutex<Rounds>> = LazyLock::new(Mutex::default);

/// Connections by our own address, with how many came before each.
#[derive(Default)]
struct Rounds {
    known: HashMap<SocketAddr, (usize, Life)>,
    /// As many as this are too many to be all alive.
    many: usize,
}

/// Through how many connections of this program to itself somebody comes who
/// comes from `source`.
pub(super) fn before(source: Option<SocketAddr>) -> usize {
    source.map_or(0, |source| OWN.lock().before(canonical(source)))
}

/// Remembers a connection of ours from `local` to `peer`, if both are this
/// machine's, as long as it lives; whoever wanted it has come through `before`
/// others.
pub(super) fn remember((local, peer): (SocketAddr, SocketAddr), life: Life, before: usize) {
    if local.ip() == peer.ip() || local.ip().is_loopback() {
        OWN.lock().remember(canonical(local), before + 1, life);
    }
}

impl Rounds {
    fn before(&self, source: SocketAddr) -> usize {
        let known = self.known.get(&source);
        let alive = known.filter(|(_, life)| life.strong_count() > 0);
        alive.map_or(0, |(before, _)| *before)
    }

    fn remember(&mut self, local: SocketAddr, before: usize, life: Life) {
        self.known.insert(local, (before, life));
        if self.known.len() > self.many {
            self.known.retain(|_, (_, life)| life.strong_count() > 0);
            self.many = FEW.max(2 * self.known.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn address(port: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port as u16))
    }

    #[test]
    fn a_connection_counts_as_long_as_it_lives() {
        let mut rounds = Rounds::default();
        let lives = Arc::new("a connection");
        let life: Weak<&str> = Arc::downgrade(&lives);
        assert_eq!(rounds.before(address(0)), 0);
        rounds.remember(address(0), 3, life);
        for port in 1..3 * FEW {
            let ends_at_once = Arc::new("another");
            let life: Weak<&str> = Arc::downgrade(&ends_at_once);
            rounds.remember(address(port), 1, life);
        }
        assert_eq!(rounds.before(address(0)), 3);
        assert!(rounds.known.len() <= FEW + 1, "those that are over stay");
        drop(lives);
        assert_eq!(rounds.before(address(0)), 0);
    }
}
