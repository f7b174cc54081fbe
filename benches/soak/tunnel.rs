//! A reverse tunnel of two processes of which one stays and the other does not.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    chronicle::Chronicle,
    common::{failure::Failure, program},
    support::{
        client::{self, Entry},
        config::{self, Carrier, Endpoint, Entrances},
        eventually,
        ports::{free_port, loopback},
        program::{Kind, Program},
        relay::Relay,
    },
};

/// When a silent peer is asked, suspected and given up, in seconds: earlier than
/// by default, so that more fits in.
const TIMES: (u32, u32, u32) = (1, 3, 6);

/// How long a program that is asked to stop lets connections go on, in seconds.
const DRAIN: u64 = 3;

/// How long it may take to end after that.
const END: Duration = Duration::from_secs(DRAIN + 12);

/// After so long a silent peer has been given up.
pub const GIVEN_UP: Duration = Duration::from_secs(8);

/// How soon a tunnel of ours has to serve after a fault; a bridge may be waiting
/// for its portal, up to ten seconds.
pub const BACK: Duration = Duration::from_secs(25);

/// V2Ray's portal chooses dead carriers for half a minute (A34).
const BACK_WITH_V2RAY: Duration = Duration::from_secs(60);

/// How long one of the requests may take that look whether it serves.
const ATTEMPT: Duration = Duration::from_secs(2);

/// How a program goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Going {
    /// By SIGKILL.
    Killed,
    /// By SIGTERM, when its connections are over or have had their time.
    Drained,
}

/// Which of the two processes stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    Portal,
    Bridge,
}

/// What others need to know of a tunnel: its doors, and what happens to it.
pub struct Public {
    pub streams: Entry,
    pub datagrams: Entry,
    pub chronicle: Chronicle,
    echo: Entry,
}

/// The fields are in the order in which they have to end.
pub struct Tunnel {
    pub relay: Relay,
    pub near: Program,
    pub far: Program,
    pub lasting: Lasting,
    pub public: Arc<Public>,
    kinds: [Kind; 2],
    portal: Value,
    bridge: Value,
}

/// What is behind it.
#[derive(Clone, Copy)]
pub struct Targets {
    pub streams: SocketAddr,
    pub datagrams: SocketAddr,
    pub echo: SocketAddr,
}

impl Tunnel {
    /// Starts with programs of ours at both ends.
    pub fn start(lasting: Lasting, targets: Targets) -> Result<Self, Failure> {
        let doors = [targets.streams, targets.datagrams, targets.echo];
        let entrances = Entrances {
            socks: free_port(),
            doors: doors.map(|target| (free_port(), target)).into(),
        };
        let door = |number: usize| Entry::Door(loopback(entrances.doors[number].0));
        let endpoint = Endpoint::new(Carrier::Vless, free_port());
        let relay = Relay::start(loopback(endpoint.port()));
        let portal = with_times(config::portal(&entrances, &endpoint));
        let bridge = with_times(config::bridge(&endpoint.via(relay.address().port())));
        let kinds = [Kind::Muxcool; 2];
        let near = program::start(kinds[0], "portal", portal.clone());
        let far = program::start(kinds[1], "bridge", bridge.clone());
        let public = Public {
            streams: door(0),
            datagrams: door(1),
            echo: door(2),
            chronicle: Chronicle::begin(kinds),
        };
        let tunnel = Self {
            relay,
            near,
            far,
            lasting,
            public: Arc::new(public),
            kinds,
            portal,
            bridge,
        };
        tunnel.wait_until_it_serves()?;
        Ok(tunnel)
    }

    /// Waits until it does; a failure is that it does not in time.
    pub fn wait_until_it_serves(&self) -> Result<(), Failure> {
        let bound = match self.kinds.contains(&Kind::V2ray) {
            true => BACK_WITH_V2RAY,
            false => BACK,
        };
        let visit = || client::visit(&self.public.echo, 1, ATTEMPT);
        eventually(Instant::now() + bound, visit)
            .map_err(|error| format!("it does not serve after {bound:?}: {error}").into())
    }

    /// The program that stays.
    pub fn lasting(&self) -> &Program {
        match self.lasting {
            Lasting::Portal => &self.near,
            Lasting::Bridge => &self.far,
        }
    }

    /// The program that does not.
    pub fn passing(&self) -> &Program {
        match self.lasting {
            Lasting::Portal => &self.far,
            Lasting::Bridge => &self.near,
        }
    }

    /// Whether the program that does not stay is V2Ray.
    pub fn passing_is_v2ray(&self) -> bool {
        self.kinds[usize::from(self.lasting == Lasting::Portal)] == Kind::V2ray
    }

    /// Ends the program that does not stay, and starts one of this kind in its
    /// place.
    pub fn replace(&mut self, kind: Kind, going: Going) {
        let (program, role, config, index) = match self.lasting {
            Lasting::Portal => (&mut self.far, "bridge", &self.bridge, 1),
            Lasting::Bridge => (&mut self.near, "portal", &self.portal, 0),
        };
        if going == Going::Drained {
            program.ask_to_stop();
            let status = program.ends_within(END);
            assert!(
                status.success(),
                "the {role} ended with {status} on SIGTERM"
            );
        }
        program.kill();
        self.kinds[index] = kind;
        self.public.chronicle.ends_are(self.kinds);
        *program = program::start(kind, role, config.clone());
    }

    /// Whether V2Ray is at one end.
    pub fn has_v2ray(&self) -> bool {
        self.kinds.contains(&Kind::V2ray)
    }

    /// Ends both programs as an operator would.
    pub fn finish(self) {
        self.near.finish();
        self.far.finish();
    }
}

fn with_times(mut config: Value) -> Value {
    let (probe, suspect, dead) = TIMES;
    let mux = json!({ "probe": probe, "suspect": suspect, "dead": dead });
    config["policy"] = json!({ "mux": mux, "drain": DRAIN });
    config
}
