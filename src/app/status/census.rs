use std::process;
use std::sync::{Arc, Weak};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use super::connections::Connections;
use super::snapshot::{ServiceSnapshot, Snapshot};
use crate::mux::{CarrierOptions, Roster};
use crate::router::Router;

/// Whose carriers there are in a program, and how far it has come.
///
/// Counting costs the carriers nothing: they are looked at when somebody asks.
#[derive(Debug)]
pub struct Census {
    started: Instant,
    started_at: SystemTime,
    state: Mutex<State>,
    connections: Arc<Connections>,
}

#[derive(Debug, Clone, Default)]
struct State {
    phase: Phase,
    /// What is in force, as its source is called.
    configuration: String,
    services: Vec<Service>,
    /// That in force.
    router: Weak<Router>,
}

/// Somebody who has carriers. While nobody but this keeps the roster, he is
/// gone.
#[derive(Debug, Clone)]
struct Service {
    kind: Kind,
    name: Arc<str>,
    roster: Arc<Roster>,
}

/// What has carriers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "cli", serde(rename_all = "lowercase"))]
pub enum Kind {
    /// A portal: bridges open them.
    Portal,
    /// A bridge opens them to its portal.
    Bridge,
    /// An inbound: mux clients open them.
    Inbound,
    /// An outbound with mux opens them to its server.
    Outbound,
}

/// How far a program has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "cli", serde(rename_all = "lowercase"))]
pub enum Phase {
    /// Not all listeners accept yet.
    #[default]
    Starting,
    /// At work.
    Running,
    /// It lets connections end, and takes no more.
    Draining,
}

impl Census {
    /// Nobody, of a program that starts now.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            started_at: SystemTime::now(),
            state: Mutex::default(),
            connections: Arc::default(),
        })
    }

    /// Those that go through no carrier.
    pub(in crate::app) fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// The settings of the carriers that such a service has: `carriers`, on a
    /// roster that counts here for as long as somebody has these settings. Who
    /// comes again under a name goes on with its numbers.
    pub fn enter(&self, kind: Kind, name: &str, carriers: &CarrierOptions) -> CarrierOptions {
        let mut state = self.state.lock();
        let mut known = state.services.iter();
        let same = known.find(|service| service.kind == kind && *service.name == *name);
        let roster = match same {
            Some(service) => service.roster.clone(),
            None => {
                let roster = Roster::new();
                state.services.push(Service {
                    kind,
                    name: name.into(),
                    roster: roster.clone(),
                });
                roster
            }
        };
        CarrierOptions {
            roster,
            ..carriers.clone()
        }
    }

    /// Says how far the program has come.
    pub fn come_to(&self, phase: Phase) {
        self.state.lock().phase = phase;
    }

    /// Says where the configuration is from, such as a file's path.
    pub fn name_configuration(&self, source: String) {
        self.state.lock().configuration = source;
    }

    /// Says whose balancers are in force.
    pub(in crate::app) fn route_by(&self, router: &Arc<Router>) {
        self.state.lock().router = Arc::downgrade(router);
    }

    /// How everything does, with `streams` at the most of the carriers' streams
    /// and of the connections through none.
    pub fn snapshot(&self, streams: usize) -> Snapshot {
        let present = self.present();
        let mut left = streams;
        let services = present.services.iter().map(|service| {
            let report = service.roster.report(left);
            let shown: usize = report.carriers.iter().map(|c| c.streams.len()).sum();
            left = left.saturating_sub(shown);
            ServiceSnapshot::new(service.kind, &service.name, report)
        });
        let services = services.collect();
        let router = present.router.upgrade();
        let balancers = router.iter().flat_map(|router| router.balancers());
        let balancers = balancers.map(Into::into).collect();
        Snapshot {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: process::id(),
            configuration: present.configuration,
            started_seconds: seconds_since_epoch(self.started_at),
            uptime_seconds: self.started.elapsed().as_secs_f64(),
            phase: present.phase,
            services,
            balancers,
            connections: self.connections.snapshot(left),
        }
    }

    fn present(&self) -> State {
        let mut state = self.state.lock();
        let is_owned = |service: &Service| Arc::strong_count(&service.roster) > 1;
        state.services.retain(is_owned);
        state.clone()
    }
}

fn seconds_since_epoch(time: SystemTime) -> f64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(census: &Census) -> Vec<String> {
        let services = census.snapshot(0).services.into_iter();
        services.map(|service| service.name).collect()
    }

    #[test]
    fn a_service_counts_as_long_as_it_is_there() {
        let census = Census::new();
        let options = CarrierOptions::default();
        let first = census.enter(Kind::Portal, "a", &options);
        let second = census.enter(Kind::Bridge, "a", &options);
        assert_eq!(names(&census), ["a", "a"]);
        let again = census.enter(Kind::Portal, "a", &options);
        assert!(Arc::ptr_eq(&first.roster, &again.roster));
        drop((first, second));
        assert_eq!(census.snapshot(0).services[0].kind, Kind::Portal);
        assert_eq!(names(&census), ["a"]);
        drop(again);
        assert!(names(&census).is_empty());
    }
}
