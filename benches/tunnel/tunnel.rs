//! A tunnel of two processes, made for one figure.

use std::{net::SocketAddr, time::Instant};

use crate::{
    common::{
        failure::Failure,
        program::{self, OPENING},
    },
    load::crowd::Crowd,
    peer::Peer,
    process::{self, Door, Ends, Path},
    support::{
        eventually,
        ports::{free_port, loopback},
        sockets::{self, Protocol},
    },
};

/// The fields are in the order in which they have to end.
pub struct Tunnel {
    ends: Ends,
    doors: Vec<Door>,
    /// What answers, behind every tunnel.
    crowd: Crowd,
}

impl Tunnel {
    /// A tunnel that is open, with a door to each target.
    pub fn start(peer: Peer, targets: &[SocketAddr]) -> Result<Self, Failure> {
        Self::start_on(&Path::PLAIN, peer, targets)
    }

    /// As [`Tunnel::start`], with something else between the processes.
    pub fn start_on(path: &Path, peer: Peer, targets: &[SocketAddr]) -> Result<Self, Failure> {
        let crowd = Crowd::start()?;
        let targets = targets.iter().copied().chain([crowd.address()]);
        let doors: Vec<Door> = targets.map(|target| (free_port(), target)).collect();
        let tunnel = Self {
            ends: process::start(peer, path, &doors)?,
            doors,
            crowd,
        };
        tunnel.wait_until_doors_are_there()?;
        program::wait_until_open(tunnel.crowd_door())?;
        Ok(tunnel)
    }

    /// The way in to a target.
    pub fn door(&self, target: SocketAddr) -> SocketAddr {
        let door = self.doors.iter().find(|(_, behind)| *behind == target);
        loopback(door.expect("each target has a door").0)
    }

    /// The way in to the service that every tunnel has.
    pub fn crowd_door(&self) -> SocketAddr {
        self.door(self.crowd.address())
    }

    /// Ids of the near and the far process.
    pub fn pids(&self) -> [u32; 2] {
        [self.ends.near.pid(), self.ends.far.pid()]
    }

    /// Some peers open each door by itself, once the far process has come.
    fn wait_until_doors_are_there(&self) -> Result<(), Failure> {
        let is_missing = |(port, _): &Door| sockets::listeners(Protocol::Tcp, *port).is_empty();
        eventually(Instant::now() + OPENING, || {
            let missing = self.doors.iter().find(|door| is_missing(door));
            missing.map_or(Ok(()), |(port, _)| Err(*port))
        })
        .map_err(|port| format!("nobody listens on port {port}").into())
    }
}
