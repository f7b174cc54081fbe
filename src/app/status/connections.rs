use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::snapshot::{ConnectionSnapshot, ConnectionsSnapshot};
use crate::link::Request;
use crate::net::Destination;

/// Visitors' connections that go through no carrier, each as long as somebody
/// has its [`Row`].
#[derive(Default)]
pub(in crate::app) struct Connections(Mutex<List>);

#[derive(Default)]
struct List {
    next: u64,
    open: HashMap<u64, Arc<Facts>>,
}

/// A connection on the list, and what counts its bytes.
pub(in crate::app) struct Row {
    list: Arc<Connections>,
    number: u64,
    facts: Arc<Facts>,
}

struct Facts {
    id: u32,
    inbound: Arc<str>,
    visitor: SocketAddr,
    target: Destination,
    outbound: Arc<str>,
    began: Instant,
    sent: AtomicU64,
    received: AtomicU64,
}

/// As the one who went out sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::app) enum Way {
    /// To the target.
    Sent,
    /// To the visitor.
    Received,
}

impl Connections {
    /// Lists what `request` asks for, if a visitor does so: carriers list their
    /// sessions, and are no visitors.
    pub(in crate::app) fn enter(
        self: &Arc<Self>,
        request: &Request,
        outbound: &Arc<str>,
    ) -> Option<Arc<Row>> {
        let visitor = request.source.filter(|_| !request.is_carried)?;
        let facts = Arc::new(Facts {
            id: request.id,
            inbound: request.inbound.clone(),
            visitor,
            target: request.target.clone(),
            outbound: outbound.clone(),
            began: Instant::now(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
        });
        let number = self.0.lock().add(facts.clone());
        Some(Arc::new(Row {
            list: self.clone(),
            number,
            facts,
        }))
    }

    /// How many there are, and `most` of them.
    pub(super) fn snapshot(&self, most: usize) -> ConnectionsSnapshot {
        let list = self.0.lock();
        let open = list.open.len() as u64;
        let some: Vec<Arc<Facts>> = list.open.values().take(most).cloned().collect();
        drop(list);
        ConnectionsSnapshot {
            open,
            list: some.iter().map(|facts| facts.snapshot()).collect(),
        }
    }
}

impl Row {
    /// So many bytes have moved.
    pub(in crate::app) fn count(&self, way: Way, bytes: usize) {
        let counter = match way {
            Way::Sent => &self.facts.sent,
            Way::Received => &self.facts.received,
        };
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        let gone = self.list.0.lock().open.remove(&self.number);
        drop(gone);
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connections")
    }
}

impl List {
    fn add(&mut self, facts: Arc<Facts>) -> u64 {
        self.next += 1;
        self.open.insert(self.next, facts);
        self.next
    }
}

impl Facts {
    fn snapshot(&self) -> ConnectionSnapshot {
        ConnectionSnapshot {
            id: self.id,
            inbound: self.inbound.to_string(),
            visitor: self.visitor.to_string(),
            target: self.target.to_string(),
            outbound: self.outbound.to_string(),
            age_seconds: self.began.elapsed().as_secs_f64(),
            sent_bytes: self.sent.load(Ordering::Relaxed),
            received_bytes: self.received.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(source: Option<&str>) -> Request {
        Request {
            source: source.map(|source| source.parse().unwrap()),
            ..Request::new(Destination::tcp("web.example", 80).unwrap())
        }
    }

    #[test]
    fn visitors_are_listed_as_long_as_they_are_there() {
        let list: Arc<Connections> = Arc::default();
        let outbound: Arc<str> = "out".into();
        let visitors = ["192.0.2.1:1", "192.0.2.1:2"].map(|source| request(Some(source)));
        let [one, other] = visitors.map(|request| list.enter(&request, &outbound).unwrap());
        one.count(Way::Sent, 3);
        one.count(Way::Received, 40);
        one.count(Way::Sent, 4);
        let both = list.snapshot(1);
        assert_eq!((both.open, both.list.len()), (2, 1));
        drop(other);
        let [left] = &list.snapshot(9).list[..] else {
            panic!("one is left");
        };
        assert_eq!((left.sent_bytes, left.received_bytes), (7, 40));
        assert_eq!(left.visitor, "192.0.2.1:1");
        assert_eq!(
            (&*left.target, &*left.outbound),
            ("tcp:web.example:80", "out")
        );
        drop(one);
        assert_eq!(list.snapshot(9), ConnectionsSnapshot::default());
    }

    #[test]
    fn neither_sessions_nor_carriers_are_listed() {
        let list: Arc<Connections> = Arc::default();
        let session = Request {
            is_carried: true,
            ..request(Some("192.0.2.1:1"))
        };
        for other in [session, request(None)] {
            assert!(list.enter(&other, &"out".into()).is_none());
        }
    }
}
