//! How a visitor comes in.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::support::client::Entry;

/// Bound of a visitor's every step.
pub const STEP: Duration = Duration::from_secs(5);

pub fn enter(door: SocketAddr) -> io::Result<TcpStream> {
    Entry::Door(door).connect_within(STEP)
}
