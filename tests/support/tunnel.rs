//! Two programs with a tunnel between them.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{
    client::{self, Entry},
    config::{self, Carrier, Endpoint, Entrances},
    eventually,
    ports::{free_port, loopback},
    program::{Kind, Program, v2ray_or_skip},
    target::TcpTarget,
};

/// How long a tunnel may take until its first request works.
const OPENING: Duration = Duration::from_secs(15);

/// How long one of the requests that try it may take.
const ATTEMPT: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Near is the portal, far the bridge that dials it.
    Reverse,
    /// Near is the mux client that dials, far the mux server.
    Forward,
    /// The same without mux: every visitor has a connection of his own.
    Plain,
}

/// What a tunnel is made of. Visitors arrive at the near program, targets are
/// reached from the far one.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub shape: Shape,
    pub carrier: Carrier,
    pub near: Kind,
    pub far: Kind,
}

impl Plan {
    /// Runs `test` over a tunnel that is open and has doors to `targets`, and
    /// ends both programs in order. Skipped where it needs V2Ray and there is
    /// none.
    pub fn run(self, targets: &[SocketAddr], test: impl FnOnce(&mut Tunnel)) {
        if [self.near, self.far].contains(&Kind::V2ray) && !v2ray_or_skip() {
            return;
        }
        let mut tunnel = Tunnel::start(self, targets);
        tunnel.wait_until_open();
        test(&mut tunnel);
        tunnel.near.finish();
        tunnel.far.finish();
    }
}

pub struct Tunnel {
    pub near: Program,
    pub far: Program,
    entrances: Entrances,
    endpoint: Endpoint,
    /// Behind the tunnel, to see whether it is open.
    probe: TcpTarget,
}

impl Tunnel {
    /// Starts first the program that listens for carriers.
    fn start(plan: Plan, targets: &[SocketAddr]) -> Self {
        let entrances = Entrances {
            socks: free_port(),
            doors: targets.iter().map(|each| (free_port(), *each)).collect(),
        };
        let endpoint = Endpoint::new(plan.carrier, free_port());
        let (near, far) = match plan.shape {
            Shape::Reverse => {
                let portal = config::portal(&entrances, &endpoint);
                let near = Program::start(plan.near, "portal", &portal);
                let bridge = config::bridge(&endpoint);
                (near, Program::start(plan.far, "bridge", &bridge))
            }
            Shape::Forward | Shape::Plain => {
                let server = config::mux_server(&endpoint);
                let far = Program::start(plan.far, "mux server", &server);
                let client = match plan.shape {
                    Shape::Plain => config::plain_client(&entrances, &endpoint),
                    _ => config::mux_client(&entrances, &endpoint),
                };
                (Program::start(plan.near, "mux client", &client), far)
            }
        };
        Self {
            near,
            far,
            entrances,
            endpoint,
            probe: TcpTarget::echo(),
        }
    }

    /// The ways in to `target`: by its own port, if it has one, and by SOCKS.
    pub fn entries(&self, target: SocketAddr) -> Vec<Entry> {
        let mut doors = self.entrances.doors.iter();
        let door = doors.find(|(_, behind)| *behind == target);
        let door = door.map(|(port, _)| Entry::Door(loopback(*port)));
        let socks = Entry::socks(self.proxy(), target);
        door.into_iter().chain([socks]).collect()
    }

    /// The SOCKS proxy at the near end.
    pub fn proxy(&self) -> SocketAddr {
        loopback(self.entrances.socks)
    }

    /// Port to which the carriers go.
    pub fn carrier_port(&self) -> u16 {
        self.endpoint.port()
    }

    /// Repeats a request until it works, and tells how long that took. Fails
    /// when it does not within `bound`, or a program has ended.
    pub fn works_within(&mut self, bound: Duration) -> Duration {
        let entry = Entry::socks(self.proxy(), self.probe.address());
        let start = Instant::now();
        let worked = eventually(start + bound, || {
            self.near.assert_alive();
            self.far.assert_alive();
            client::visit(&entry, 1, ATTEMPT.min(bound))
        });
        if let Err(error) = worked {
            panic!("no request works within {bound:?}: {error}");
        }
        start.elapsed()
    }

    fn wait_until_open(&mut self) {
        self.works_within(OPENING);
    }
}
