//! A tunnel of two programs or more, made for one figure.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    scene::{Failure, Stage},
    support::{
        client::{self, Entry},
        config::{self, Carrier, Endpoint, Entrances},
        eventually,
        ports::{free_port, loopback},
        program::{Kind, Program},
        slow_link::{Profile, SlowLink},
        sockets,
        target::TcpTarget,
        tunnel::Shape,
    },
};

/// How long a tunnel may take until its first request works.
const OPENING: Duration = Duration::from_secs(15);

/// How long one of the requests that try it may take.
const ATTEMPT: Duration = Duration::from_secs(2);

/// What is unusual about a tunnel.
#[derive(Clone, Copy, Default)]
pub struct Wiring {
    /// The bridges beyond the first.
    pub more_bridges: usize,
    /// What is between the programs, if not loopback alone.
    pub link: Option<Profile>,
}

/// The fields are in the order in which they have to end.
pub struct Rig<'a> {
    stage: &'a Stage<'a>,
    near: Program,
    far: Vec<Program>,
    _link: Option<SlowLink>,
    doors: Vec<(u16, SocketAddr)>,
    carrier_port: u16,
    /// Behind the tunnel, to see whether it is open.
    echo: TcpTarget,
}

impl<'a> Rig<'a> {
    /// A plain tunnel that is open, with a door to each target.
    pub fn start(stage: &'a Stage, targets: &[SocketAddr]) -> Result<Self, Failure> {
        Self::wired(stage, targets, Wiring::default())
    }

    /// As [`Rig::start`], with more about it.
    pub fn wired(
        stage: &'a Stage,
        targets: &[SocketAddr],
        wiring: Wiring,
    ) -> Result<Self, Failure> {
        let echo = TcpTarget::echo();
        let targets = targets.iter().copied().chain([echo.address()]);
        let doors: Vec<_> = targets.map(|target| (free_port(), target)).collect();
        let endpoint = Endpoint::new(Carrier::Vless, free_port());
        let link = wiring
            .link
            .map(|profile| SlowLink::start(profile, loopback(endpoint.port())));
        let (near, far) = programs(stage, &doors, &endpoint, link.as_ref(), wiring);
        let rig = Self {
            stage,
            near,
            far,
            _link: link,
            doors,
            carrier_port: endpoint.port(),
            echo,
        };
        rig.wait_until_open()?;
        Ok(rig)
    }

    /// The way in to a target.
    pub fn door(&self, target: SocketAddr) -> SocketAddr {
        let door = self.doors.iter().find(|(_, behind)| *behind == target);
        loopback(door.expect("each target has a door").0)
    }

    /// The way in to the echo service that every tunnel has.
    pub fn echo_door(&self) -> SocketAddr {
        self.door(self.echo.address())
    }

    /// Connections between the programs.
    pub fn carriers(&self) -> usize {
        sockets::peers(self.carrier_port).len()
    }

    /// The programs at the far end, the one that dialled first in front.
    pub fn far(&mut self) -> &mut [Program] {
        &mut self.far
    }

    /// Notes the programs' memory; needed before one of them is killed.
    pub fn note_peaks(&self) {
        let (near, far) = self.stage.pairing.roles();
        note(self.stage, near, &self.near);
        self.far.iter().for_each(|each| note(self.stage, far, each));
    }

    fn wait_until_open(&self) -> Result<(), Failure> {
        let entry = Entry::Door(self.echo_door());
        let visit = || client::visit(&entry, 1, ATTEMPT);
        eventually(Instant::now() + OPENING, visit)
            .map_err(|error| format!("the tunnel does not open: {error}").into())
    }
}

impl Drop for Rig<'_> {
    fn drop(&mut self) {
        self.note_peaks();
    }
}

fn note(stage: &Stage, role: &str, program: &Program) {
    if let Some(pid) = program.pid() {
        stage.note_peak(role, pid);
    }
}

/// First the program that listens for carriers.
fn programs(
    stage: &Stage,
    doors: &[(u16, SocketAddr)],
    endpoint: &Endpoint,
    link: Option<&SlowLink>,
    wiring: Wiring,
) -> (Program, Vec<Program>) {
    let entrances = Entrances {
        socks: free_port(),
        doors: doors.to_vec(),
    };
    let by_link = match link {
        Some(link) => endpoint.via(link.address().port()),
        None => endpoint.clone(),
    };
    let pairing = stage.pairing;
    match pairing.shape {
        Shape::Reverse => {
            let portal = config::portal(&entrances, endpoint);
            let near = start(pairing.near, "portal", portal);
            let bridge = || start(pairing.far, "bridge", config::bridge(&by_link));
            (near, (0..=wiring.more_bridges).map(|_| bridge()).collect())
        }
        Shape::Forward => {
            let far = start(pairing.far, "server", config::mux_server(endpoint));
            let client = config::mux_client(&entrances, &by_link);
            (start(pairing.near, "client", client), vec![far])
        }
    }
}

/// Without log lines for each connection, which cost time.
fn start(kind: Kind, role: &str, mut config: Value) -> Program {
    config["log"] = json!({ "loglevel": "warning", "access": "none" });
    Program::start(kind, role, &config)
}
