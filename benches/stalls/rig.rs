//! A tunnel of two programs or more, made for one figure.

use std::{net::SocketAddr, time::Instant};

use crate::{
    common::{
        failure::Failure,
        noise,
        program::{self, OPENING, start},
    },
    pairing::Pairing,
    scene::Stage,
    support::{
        config::{self, Carrier, Endpoint, Entrances},
        eventually,
        ports::{free_port, loopback},
        program::Program,
        slow_link::{Profile, SlowLink},
        sockets,
        target::TcpTarget,
        tunnel::Shape,
    },
};

/// Sessions on one carrier of a forward tunnel: all of any figure.
const CONCURRENCY: u32 = 64;

/// The fields are in the order in which they have to end.
pub struct Rig<'a> {
    stage: &'a Stage<'a>,
    near: Program,
    far: Vec<Program>,
    _link: Option<SlowLink>,
    doors: Vec<(u16, SocketAddr)>,
    /// Where the program that dials goes.
    endpoint: Endpoint,
    /// Behind the tunnel, to see whether it is open.
    echo: TcpTarget,
}

impl<'a> Rig<'a> {
    /// A tunnel that is open, with a door to each target.
    pub fn start(stage: &'a Stage, targets: &[SocketAddr]) -> Result<Self, Failure> {
        Self::wired(stage, targets, None)
    }

    /// As [`Rig::start`], with a slow link between the programs.
    pub fn over_link(
        stage: &'a Stage,
        targets: &[SocketAddr],
        profile: Profile,
    ) -> Result<Self, Failure> {
        Self::wired(stage, targets, Some(profile))
    }

    /// Starts one more bridge, and waits until its carrier is there.
    pub fn add_bridge(&mut self) -> Result<(), Failure> {
        let before = self.carriers();
        let config = config::bridge(&self.endpoint);
        self.far
            .push(start(self.stage.pairing.far, "bridge", config));
        eventually(Instant::now() + OPENING, || {
            if self.carriers() > before {
                Ok(())
            } else {
                Err(())
            }
        })
        .map_err(|()| "the further bridge does not come".into())
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
        sockets::peers(self.endpoint.port()).len()
    }

    /// The programs at the far end, the one that dialled first in front.
    pub fn far(&mut self) -> &mut [Program] {
        &mut self.far
    }

    /// Processor time, in ticks, of all programs and of this one, which makes
    /// the load.
    pub fn processor_time(&self) -> f64 {
        let pids = [&self.near]
            .into_iter()
            .chain(&self.far)
            .filter_map(Program::pid);
        let programs: f64 = pids.map(|pid| noise::time_of(&pid.to_string())).sum();
        programs + noise::time_of("self")
    }

    /// Notes the programs' memory; needed before one of them is killed.
    pub fn note_peaks(&self) {
        let (near, far) = self.stage.pairing.roles();
        note(self.stage, near, &self.near);
        self.far.iter().for_each(|each| note(self.stage, far, each));
    }

    fn wired(
        stage: &'a Stage,
        targets: &[SocketAddr],
        profile: Option<Profile>,
    ) -> Result<Self, Failure> {
        let echo = TcpTarget::echo();
        let targets = targets.iter().copied().chain([echo.address()]);
        let doors: Vec<_> = targets.map(|target| (free_port(), target)).collect();
        let inner = Endpoint::new(Carrier::Vless, free_port());
        let link = profile.map(|profile| SlowLink::start(profile, loopback(inner.port())));
        let endpoint = match &link {
            Some(link) => inner.via(link.address().port()),
            None => inner.clone(),
        };
        let (near, far) = programs(stage.pairing, &doors, &inner, &endpoint);
        let rig = Self {
            stage,
            near,
            far: vec![far],
            _link: link,
            doors,
            endpoint,
            echo,
        };
        program::wait_until_open(rig.echo_door())?;
        Ok(rig)
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

/// The near and the far one, started in the order in which they need each
/// other. One listens at `inner`, the other dials `outer`.
fn programs(
    pairing: Pairing,
    doors: &[(u16, SocketAddr)],
    inner: &Endpoint,
    outer: &Endpoint,
) -> (Program, Program) {
    let entrances = Entrances {
        socks: free_port(),
        doors: doors.to_vec(),
    };
    match pairing.shape {
        Shape::Reverse => {
            let near = start(pairing.near, "portal", config::portal(&entrances, inner));
            (near, start(pairing.far, "bridge", config::bridge(outer)))
        }
        Shape::Forward => {
            let far = start(pairing.far, "server", config::mux_server(inner));
            let mut client = config::mux_client(&entrances, outer);
            client["outbounds"][0]["mux"]["concurrency"] = CONCURRENCY.into();
            (start(pairing.near, "client", client), far)
        }
        Shape::Plain => {
            let far = start(pairing.far, "server", config::mux_server(inner));
            let client = config::plain_client(&entrances, outer);
            (start(pairing.near, "client", client), far)
        }
    }
}
