//! The two processes of a tunnel, of whichever peer.

use std::{
    env,
    ffi::OsString,
    fs, io,
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{
    common::{failure::Failure, program},
    peer::{self, Peer},
    relay::Route,
    support::{
        config::{self, Carrier, Endpoint, Entrances},
        ports::{free_port, loopback},
        program::{Kind, Program},
        slow_link::{Profile, SlowLink},
    },
};

/// A way in, and the target behind it.
pub type Door = (u16, SocketAddr);

/// What is between the processes of a multiplexer; the others know only plain
/// connections.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    pub carrier: Carrier,
    /// Of the link on which the carriers go, if not loopback itself.
    pub link: Option<Profile>,
}

impl Path {
    /// Nothing in the way.
    pub const PLAIN: Self = Self::of(Carrier::Vless);

    pub const fn of(carrier: Carrier) -> Self {
        Self {
            carrier,
            link: None,
        }
    }
}

/// The near process, where the doors are, the far one, and the link between
/// them, in the order in which they have to end.
pub struct Ends {
    pub near: Process,
    pub far: Process,
    _link: Option<SlowLink>,
}

impl Ends {
    fn new(near: Process, far: Process) -> Self {
        Self {
            near,
            far,
            _link: None,
        }
    }
}

/// Dropping it kills the process.
pub enum Process {
    Program(Program),
    Other(Other),
}

impl Process {
    pub fn pid(&self) -> u32 {
        match self {
            Self::Program(program) => program.pid().expect("nobody kills it before"),
            Self::Other(other) => other.child.id(),
        }
    }
}

/// A process that the tests do not know.
pub struct Other {
    child: Child,
    /// What it was told, for as long as it may read it.
    _directory: Option<TempDir>,
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn start(peer: Peer, path: &Path, doors: &[Door]) -> Result<Ends, Failure> {
    match peer {
        Peer::Muxcool => Ok(start_programs(Kind::Muxcool, path, doors)),
        Peer::V2ray => Ok(start_programs(Kind::V2ray, path, doors)),
        Peer::Relays => Ok(start_relays(doors)?),
        Peer::Rathole => Ok(start_rathole(doors)?),
    }
}

fn start_programs(kind: Kind, path: &Path, doors: &[Door]) -> Ends {
    let entrances = Entrances {
        socks: free_port(),
        doors: doors.to_vec(),
    };
    let endpoint = Endpoint::new(path.carrier, free_port());
    let portal = program::start(kind, "portal", config::portal(&entrances, &endpoint));
    let link = path
        .link
        .map(|profile| SlowLink::start(profile, loopback(endpoint.port())));
    let dialled = link.as_ref().map(|link| link.address().port());
    let endpoint = endpoint.via(dialled.unwrap_or(endpoint.port()));
    let bridge = program::start(kind, "bridge", config::bridge(&endpoint));
    Ends {
        near: Process::Program(portal),
        far: Process::Program(bridge),
        _link: link,
    }
}

fn start_relays(doors: &[Door]) -> io::Result<Ends> {
    let between: Vec<u16> = doors.iter().map(|_| free_port()).collect();
    let near = doors.iter().zip(&between).map(|((door, _), port)| Route {
        port: *door,
        target: loopback(*port),
    });
    let far = doors.iter().zip(&between).map(|((_, target), port)| Route {
        port: *port,
        target: *target,
    });
    Ok(Ends::new(start_relay(near)?, start_relay(far)?))
}

/// This very program, told to be a relay.
fn start_relay(routes: impl Iterator<Item = Route>) -> io::Result<Process> {
    let options = routes.map(|route| OsString::from(format!("--relay={route}")));
    launch(env::current_exe()?.into(), options, None)
}

fn start_rathole(doors: &[Door]) -> io::Result<Ends> {
    let port = free_port();
    let mut server = format!("[server]\nbind_addr = \"{}\"\n", loopback(port));
    let mut client = format!("[client]\nremote_addr = \"{}\"\n", loopback(port));
    for (number, (door, target)) in doors.iter().enumerate() {
        let service = |bound: &str, address: SocketAddr| {
            format!("services.door-{number} = {{ token = \"-\", {bound} = \"{address}\" }}\n")
        };
        server += &service("bind_addr", loopback(*door));
        client += &service("local_addr", *target);
    }
    Ok(Ends::new(
        start_end("--server", &server)?,
        start_end("--client", &client)?,
    ))
}

fn start_end(role: &str, config: &str) -> io::Result<Process> {
    let directory = TempDir::new()?;
    let path = directory.path().join("config.toml");
    fs::write(&path, config)?;
    let arguments = [role.into(), path.into_os_string()];
    launch(peer::rathole(), arguments.into_iter(), Some(directory))
}

fn launch(
    program: OsString,
    arguments: impl Iterator<Item = OsString>,
    directory: Option<TempDir>,
) -> io::Result<Process> {
    let child = Command::new(program)
        .args(arguments)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(Process::Other(Other {
        child,
        _directory: directory,
    }))
}
