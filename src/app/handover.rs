//! Sockets that inbounds leave to those in their places.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use super::inbounds::{Door, RunningInbound};
use super::part::Part;
use crate::transport::tcp::{Server, listen};
use crate::transport::udp::{self, Flows};

/// The sockets that inbounds take over from those that are to go: each once,
/// and none of a port that another inbound has come to have on other addresses.
#[derive(Default)]
pub(super) struct Handover {
    taken: Vec<SocketAddr>,
    crowded: Vec<u16>,
}

impl Handover {
    /// What an inbound with this tag finds for its door at `address`.
    pub(super) fn before<'a>(
        &mut self,
        leaving: &'a [Arc<RunningInbound>],
        tag: &str,
        address: SocketAddr,
    ) -> Before<'a> {
        if let Some(door) = self.door(leaving, tag, address) {
            return Before::Same(door);
        }
        let doors = leaving.iter().flat_map(|inbound| inbound.doors());
        let beside = doors.filter(|door| {
            address.port() != 0
                && door.planned.port() == address.port()
                && door.planned != address
                && !self.taken.contains(&door.planned)
        });
        Before::Beside(beside.collect(), Cell::new(false))
    }

    /// A door at that port has been made of what was `before`.
    pub(super) fn note(&mut self, port: u16, before: &Before<'_>) {
        if matches!(before, Before::Beside(_, used) if used.get()) {
            self.crowded.push(port);
        }
    }

    /// What listens on `address` now. A port that the system has chosen is
    /// only an inbound's of the same name.
    fn door<'a>(
        &mut self,
        leaving: &'a [Arc<RunningInbound>],
        tag: &str,
        address: SocketAddr,
    ) -> Option<&'a Door> {
        if self.taken.contains(&address) || self.crowded.contains(&address.port()) {
            return None;
        }
        let may_be = |inbound: &&Arc<RunningInbound>| {
            address.port() != 0 || (!tag.is_empty() && inbound.tag() == tag)
        };
        let mut doors = leaving.iter().filter(may_be).flat_map(|i| i.doors());
        let door = doors.find(|door| door.planned == address)?;
        if address.port() != 0 {
            self.taken.push(address);
        }
        Some(door)
    }
}

/// What a door may take over.
pub(super) enum Before<'a> {
    /// The sockets that listen on its very address.
    Same(&'a Door),
    /// Nothing. Those that have its port on other addresses are in nobody's
    /// way, for they are to go; whether that had to be made use of is noted.
    Beside(Vec<&'a Door>, Cell<bool>),
}

impl<'a> Before<'a> {
    /// Whose sockets are to be used on.
    pub(super) fn door(&self) -> Option<&'a Door> {
        match self {
            Before::Same(door) => Some(door),
            Before::Beside(..) => None,
        }
    }

    pub(super) fn listen(&self, address: SocketAddr) -> io::Result<TcpListener> {
        listen(address).or_else(|e| {
            let others = self.beside(e)?.iter().filter_map(|door| door.tcp.as_ref());
            Server::listen_beside(address, &others.collect::<Vec<_>>())
        })
    }

    pub(super) fn bind(&self, address: SocketAddr) -> io::Result<UdpSocket> {
        udp::bind(address).or_else(|e| {
            let others = self.beside(e)?.iter().filter_map(|door| door.udp.as_ref());
            Flows::bind_beside(address, &others.collect::<Vec<_>>())
        })
    }

    /// Who is to make room after `e`, if that is what it says.
    fn beside(&self, e: io::Error) -> io::Result<&[&'a Door]> {
        match self {
            Before::Beside(doors, used) if e.kind() == io::ErrorKind::AddrInUse => {
                used.set(true);
                Ok(doors)
            }
            _ => Err(e),
        }
    }
}
