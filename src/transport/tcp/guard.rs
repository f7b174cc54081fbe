//! How many connections a listener has, from whom, and how many of them are
//! still in their handshake.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, TcpStream};
use std::sync::{Arc, Weak};

use log::{info, warn};
use parking_lot::Mutex;

use super::cut::cut;
use super::options::ServerLimits;
use crate::limits::SOURCE_BITS;
use crate::sync::Complaints;

/// Counts a listener's connections, and keeps them within bounds.
pub(super) struct Guard {
    tag: String,
    limits: ServerLimits,
    table: Mutex<Table>,
    refusals: Complaints,
    evictions: Complaints,
}

#[derive(Default)]
struct Table {
    connections: usize,
    sources: HashMap<IpAddr, Source>,
    /// By number, which is by age.
    handshakes: BTreeMap<u64, Negotiating>,
}

/// What comes from one address.
#[derive(Default)]
struct Source {
    connections: usize,
    handshakes: BTreeSet<u64>,
}

struct Negotiating {
    source: IpAddr,
    stream: Weak<TcpStream>,
}

/// A connection's place among those of its listener. Dropping it gives the
/// place back.
pub(super) struct Place {
    guard: Arc<Guard>,
    source: IpAddr,
}

/// A connection is in its handshake as long as this lives. A listener bounds
/// how many are, and cuts the oldest.
#[derive(Default)]
pub struct Negotiation {
    of: Option<(Arc<Guard>, u64)>,
}

impl Guard {
    pub(super) fn new(tag: &str, limits: ServerLimits) -> Arc<Self> {
        Arc::new(Self {
            tag: tag.to_owned(),
            limits,
            table: Mutex::default(),
            refusals: Complaints::new(),
            evictions: Complaints::new(),
        })
    }

    /// Lets a connection in, whose number is higher than those before;
    /// `None` if there are too many.
    pub(super) fn admit(
        self: &Arc<Self>,
        number: u64,
        stream: &Arc<TcpStream>,
        address: IpAddr,
    ) -> Option<(Place, Negotiation)> {
        let source = source_of(address);
        let mut table = self.table.lock();
        if !table.has_room(source, &self.limits) {
            drop(table);
            self.complain(address);
            return None;
        }
        let oldest = table.oldest_beyond(source, &self.limits);
        let evicted = oldest.and_then(|oldest| table.end_handshake(oldest));
        table.add(number, source, Arc::downgrade(stream));
        drop(table);
        if let Some(evicted) = evicted {
            self.evict(&evicted);
        }
        let guard = self.clone();
        let negotiation = Negotiation {
            of: Some((guard.clone(), number)),
        };
        Some((Place { guard, source }, negotiation))
    }

    /// How many connections there are, and how many of them are in their
    /// handshake.
    pub(super) fn counts(&self) -> (usize, usize) {
        let table = self.table.lock();
        (table.connections, table.handshakes.len())
    }

    fn complain(&self, address: IpAddr) {
        if let Some(unsaid) = self.refusals.turn() {
            let (tag, address) = (&self.tag, address.to_canonical());
            warn!("[{tag}] too many connections: refused {address}{unsaid}");
        }
    }

    fn evict(&self, evicted: &Negotiating) {
        if let Some(stream) = evicted.stream.upgrade() {
            cut(&stream);
        }
        if let Some(unsaid) = self.evictions.turn() {
            let (tag, source) = (&self.tag, evicted.source);
            info!("[{tag}] too many handshakes: the oldest, of {source}, is cut{unsaid}");
        }
    }
}

impl Table {
    fn has_room(&self, source: IpAddr, limits: &ServerLimits) -> bool {
        let here = self.sources.get(&source).map_or(0, |s| s.connections);
        self.connections < limits.connections && here < limits.connections_per_source
    }

    /// The handshake that has to end for another of `source` to begin.
    fn oldest_beyond(&self, source: IpAddr, limits: &ServerLimits) -> Option<u64> {
        let own = self.sources.get(&source).map(|s| &s.handshakes);
        let own = own.filter(|own| own.len() >= limits.handshakes_per_source);
        match own {
            Some(own) => own.first().copied(),
            None if self.handshakes.len() < limits.handshakes => None,
            None => self.handshakes.first_key_value().map(|(number, _)| *number),
        }
    }

    fn add(&mut self, number: u64, source: IpAddr, stream: Weak<TcpStream>) {
        self.connections += 1;
        self.handshakes
            .insert(number, Negotiating { source, stream });
        let of_source = self.sources.entry(source).or_default();
        of_source.connections += 1;
        of_source.handshakes.insert(number);
    }

    fn end_handshake(&mut self, number: u64) -> Option<Negotiating> {
        let ended = self.handshakes.remove(&number)?;
        if let Some(of_source) = self.sources.get_mut(&ended.source) {
            of_source.handshakes.remove(&number);
        }
        Some(ended)
    }

    fn remove(&mut self, source: IpAddr) {
        self.connections = self.connections.saturating_sub(1);
        if let Some(of_source) = self.sources.get_mut(&source) {
            of_source.connections = of_source.connections.saturating_sub(1);
            if of_source.connections == 0 {
                self.sources.remove(&source);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.guard.table.lock().remove(self.source);
    }
}

impl Drop for Negotiation {
    fn drop(&mut self) {
        if let Some((guard, number)) = self.of.take() {
            guard.table.lock().end_handshake(number);
        }
    }
}

impl fmt::Debug for Negotiation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.of.as_ref().map(|(_, number)| number);
        f.debug_tuple("Negotiation").field(&number).finish()
    }
}

/// Whom an address stands for.
pub(in crate::transport) fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => {
            let kept = u128::MAX << (128 - u32::from(SOURCE_BITS));
            IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & kept))
        }
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> ServerLimits {
        ServerLimits {
            connections: 4,
            connections_per_source: 3,
            handshakes: 3,
            handshakes_per_source: 2,
        }
    }

    fn stream() -> Arc<TcpStream> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        Arc::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn handshakes(guard: &Guard) -> Vec<u64> {
        guard.table.lock().handshakes.keys().copied().collect()
    }

    #[test]
    fn an_ipv6_owner_is_one_source_and_a_mapped_address_is_ipv4() {
        assert_eq!(source_of(ip("2001:db8:1:2:3::9")), ip("2001:db8:1:2::"));
        assert_eq!(source_of(ip("2001:db8:1:3::9")), ip("2001:db8:1:3::"));
        assert_eq!(source_of(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
    }

    #[test]
    fn connections_are_bounded_by_source_and_in_all() {
        let guard = Guard::new("in", limits());
        let stream = stream();
        let admit = |number, address| guard.admit(number, &stream, ip(address));
        let mut held: Vec<_> = (1..=3).map(|n| admit(n, "192.0.2.1").unwrap()).collect();
        assert!(admit(4, "192.0.2.1").is_none());
        held.push(admit(5, "192.0.2.2").unwrap());
        assert!(admit(6, "192.0.2.3").is_none());
        held.remove(0);
        held.push(admit(7, "192.0.2.3").unwrap());
        drop(held);
        let table = guard.table.lock();
        assert_eq!(table.connections, 0);
        assert!(table.sources.is_empty() && table.handshakes.is_empty());
    }

    #[test]
    fn the_oldest_handshake_gives_way_first_of_the_same_source() {
        let guard = Guard::new(
            "in",
            ServerLimits {
                connections: 9,
                ..limits()
            },
        );
        let stream = stream();
        let admit = |number, address| guard.admit(number, &stream, ip(address)).unwrap();
        let _first = admit(1, "192.0.2.9");
        let (_place, done) = admit(2, "192.0.2.1");
        let _others = [admit(3, "192.0.2.1")];
        assert_eq!(handshakes(&guard), [1, 2, 3]);
        let _third = admit(4, "192.0.2.1"); // its own oldest, not the oldest
        assert_eq!(handshakes(&guard), [1, 3, 4]);
        drop(done); // is over already
        drop(admit(5, "192.0.2.2")); // the oldest of all
        assert_eq!(handshakes(&guard), [3, 4]);
    }
}
