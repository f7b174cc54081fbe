//! The servers of an outbound.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fmt, io, iter};

use log::debug;
use rand::seq::IndexedRandom;

use super::Server;
use crate::link::DispatchError;
use crate::transport::stream::{Connection, Dialer};
use crate::transport::tcp::{DialOptions, resolve_for};

impl<User> Server<User> {
    /// Who we are this time; nobody if no user is known.
    pub(super) fn any_user(&self) -> Option<&User> {
        self.users.choose(&mut rand::rng())
    }
}

/// All servers of an outbound, whose turn it is, and what dials them.
pub(super) struct Servers<User> {
    tag: Arc<str>,
    all: Vec<Server<User>>,
    turn: AtomicUsize,
    dialer: Dialer,
    send_through: Option<IpAddr>,
}

impl<User> Servers<User> {
    /// The servers of the outbound `tag`, dialled from `send_through` if it is
    /// given.
    pub(super) fn new(
        tag: Arc<str>,
        all: Vec<Server<User>>,
        dialer: Dialer,
        send_through: Option<IpAddr>,
    ) -> Self {
        Self {
            tag,
            all,
            turn: AtomicUsize::new(0),
            dialer,
            send_through,
        }
    }

    /// The same, dialled by `dialer`.
    pub(super) fn over(self, dialer: Dialer) -> Self {
        Self { dialer, ..self }
    }

    /// A connection to the server whose turn it is, or to the next one that can
    /// be reached, for who comes from `source`.
    pub(super) fn dial(
        &self,
        source: Option<SocketAddr>,
    ) -> Result<(&Server<User>, Connection), DispatchError> {
        let mut failure = DispatchError::Refused("no server");
        for server in self.in_turn() {
            match self.dial_one(server, source) {
                Ok(connection) => return Ok((server, connection)),
                Err(e) => {
                    let (address, port) = (&server.address, server.port);
                    debug!("[{}] {address}:{port} was passed over: {e}", self.tag);
                    failure = DispatchError::Unreachable(NoServer::error(server, e));
                }
            }
        }
        Err(failure)
    }

    fn in_turn(&self) -> impl Iterator<Item = &Server<User>> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % self.all.len().max(1);
        self.all.iter().cycle().skip(first).take(self.all.len())
    }

    fn dial_one(
        &self,
        server: &Server<User>,
        source: Option<SocketAddr>,
    ) -> io::Result<Connection> {
        let options = DialOptions {
            local: self.send_through,
            source: source.map(|source| source.ip()),
            ..DialOptions::default()
        };
        let addresses = resolve_for(options.source, &server.address, server.port)?;
        self.dialer.connect(&addresses, &server.address, &options)
    }
}

/// What is in an error of the system's where it is a server on the way that
/// there is no connection to, not the target that a visitor has chosen.
#[derive(Debug)]
pub(super) struct NoServer {
    server: String,
    why: io::Error,
}

impl NoServer {
    /// Why there is no connection to `server`, with its name.
    fn error<User>(server: &Server<User>, why: io::Error) -> io::Error {
        let server = format!("{}:{}", server.address, server.port);
        io::Error::new(why.kind(), Self { server, why })
    }

    /// The one that has brought `error` about, if one has.
    pub(super) fn behind<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut causes = iter::successors(Some(error), |&error| error.source());
        causes.find_map(|cause| {
            let inner = cause.downcast_ref().and_then(io::Error::get_ref);
            inner?.downcast_ref()
        })
    }
}

impl fmt::Display for NoServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no connection to {}", self.server)
    }
}

impl Error for NoServer {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.why)
    }
}
