//! Both programs of a tunnel, of which one is to stop.

use std::{
    io::{self, ErrorKind, Read},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    PATIENCE,
    bytes::KeyedBytes,
    client::{self, Entry},
    config::{self, Carrier, Endpoint, Entrances},
    eventually,
    ports::{free_port, loopback},
    program::{Kind, Program, v2ray_or_skip},
    target::TcpTarget,
    tunnel::Shape,
};

/// How long a program may take to end once nothing holds it up, or once it
/// has been told to hurry.
pub const PROMPT: Duration = Duration::from_secs(10);

/// Which program is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stops {
    /// Where visitors arrive: portal, or mux client.
    Near,
    /// Where targets are reached: bridge, or mux server.
    Far,
}

/// Muxcool stops, `other` is at the other end.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub shape: Shape,
    pub stops: Stops,
    pub other: Kind,
}

/// A tunnel to one target, with a door to it.
pub struct Rig {
    pub plan: Plan,
    pub near: Program,
    pub far: Program,
    pub door: SocketAddr,
}

impl Rig {
    /// Runs both programs, the one that is to stop with `drain` seconds of
    /// patience. `None` where that needs V2Ray and there is none.
    pub fn start(plan: Plan, target: SocketAddr, drain: u64) -> Option<Self> {
        if plan.other == Kind::V2ray && !v2ray_or_skip() {
            return None;
        }
        let door = free_port();
        let entrances = Entrances {
            socks: free_port(),
            doors: vec![(door, target)],
        };
        let endpoint = Endpoint::new(Carrier::Vless, free_port());
        let (near, far) = start_both(plan, &entrances, &endpoint, drain);
        let rig = Self {
            plan,
            near,
            far,
            door: loopback(door),
        };
        let probe = TcpTarget::echo();
        wait_for_visit(&Entry::socks(loopback(entrances.socks), probe.address()));
        Some(rig)
    }

    /// The program that is to stop.
    pub fn stopping(&mut self) -> &mut Program {
        match self.plan.stops {
            Stops::Near => &mut self.near,
            Stops::Far => &mut self.far,
        }
    }

    /// Whether visitors are served by a muxcool program: only those can be told
    /// by their sockets that they were cut.
    pub fn visitors_are_ours(&self) -> bool {
        self.plan.stops == Stops::Near || self.plan.other == Kind::Muxcool
    }

    pub fn targets_are_ours(&self) -> bool {
        self.plan.stops == Stops::Far || self.plan.other == Kind::Muxcool
    }

    pub fn visit(&self) -> TcpStream {
        Entry::Door(self.door).connect().expect("a visitor gets in")
    }

    /// Ends the other program, which must still be well.
    pub fn finish(self) {
        match self.plan.stops {
            Stops::Near => self.far.finish(),
            Stops::Far => self.near.finish(),
        }
    }
}

/// Repeats a visit until it works.
pub fn wait_for_visit(entry: &Entry) {
    let patience = Duration::from_secs(2);
    let worked = eventually(Instant::now() + PATIENCE, || {
        client::visit(entry, 1, patience)
    });
    worked.expect("a visit works");
}

fn start_both(
    plan: Plan,
    entrances: &Entrances,
    endpoint: &Endpoint,
    drain: u64,
) -> (Program, Program) {
    let kind = |of: Stops| match of == plan.stops {
        true => Kind::Muxcool,
        false => plan.other,
    };
    let (near, far) = (kind(Stops::Near), kind(Stops::Far));
    let with_drain = |text: Value, of: Stops| match of == plan.stops {
        true => draining(text, drain),
        false => text,
    };
    match plan.shape {
        Shape::Reverse => {
            let portal = with_drain(config::portal(entrances, endpoint), Stops::Near);
            let near = Program::start(near, "portal", &portal);
            let bridge = with_drain(config::bridge(endpoint), Stops::Far);
            (near, Program::start(far, "bridge", &bridge))
        }
        Shape::Forward | Shape::Plain => {
            let server = with_drain(config::mux_server(endpoint), Stops::Far);
            let far = Program::start(far, "mux server", &server);
            let client = with_drain(config::mux_client(entrances, endpoint), Stops::Near);
            (Program::start(near, "mux client", &client), far)
        }
    }
}

/// The configuration with so many seconds of patience.
pub fn draining(mut text: Value, seconds: u64) -> Value {
    text["policy"] = json!({ "drain": seconds });
    text
}

/// A target that sends back what comes, and tells how each visitor ends.
pub struct Witness {
    pub target: TcpTarget,
    ends: Receiver<io::Result<()>>,
}

impl Witness {
    pub fn start() -> Self {
        let (tell, ends) = channel();
        let target = TcpTarget::start(move |visitor| echo(visitor, &tell));
        Self { target, ends }
    }

    /// How the next visitor that ends does.
    pub fn end(&self) -> io::Result<()> {
        self.ends.recv_timeout(PATIENCE).expect("a visitor's end")
    }
}

fn echo(mut visitor: TcpStream, tell: &Sender<io::Result<()>>) -> io::Result<()> {
    let mut answers = visitor.try_clone()?;
    let end = io::copy(&mut visitor, &mut answers).map(drop);
    let _ = tell.send(end);
    Ok(())
}

pub fn is_reset<T>(end: &io::Result<T>) -> bool {
    matches!(end, Err(e) if [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe].contains(&e.kind()))
}

/// What a visitor reads last: nothing may come but the end.
pub fn end_of(visitor: &mut TcpStream) -> io::Result<()> {
    match visitor.read(&mut [0])? {
        0 => Ok(()),
        _ => Err(io::Error::other("unexpected bytes")),
    }
}

/// Keyed bytes there and back, more than any buffer on the way holds.
pub fn talk(visitor: &TcpStream, key: u64, length: u64) -> io::Result<()> {
    std::thread::scope(|threads| {
        let sender = threads
            .spawn(|| io::copy(&mut KeyedBytes::new(key).take(length), &mut &*visitor).map(drop));
        let received = crate::support::bytes::expect_keyed(visitor, key, length);
        sender.join().expect("sender").and(received)
    })
}

/// Whether nobody listens there, so that another could.
pub fn is_refused(door: SocketAddr) -> bool {
    let refused = TcpStream::connect(door);
    let is_free = TcpListener::bind((Ipv4Addr::LOCALHOST, door.port())).is_ok();
    matches!(refused, Err(e) if e.kind() == ErrorKind::ConnectionRefused) && is_free
}
