//! The programs at the ends of a tunnel.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::failure::Failure;
use crate::support::{
    client::{self, Entry},
    eventually,
    program::{Kind, Program},
};

/// How long a tunnel may take until its first request works.
pub const OPENING: Duration = Duration::from_secs(15);

/// How long one of the requests that try it may take.
const ATTEMPT: Duration = Duration::from_secs(2);

/// Without log lines for each connection, which cost time.
pub fn start(kind: Kind, role: &str, mut config: Value) -> Program {
    config["log"] = json!({ "loglevel": "warning", "access": "none" });
    Program::start(kind, role, &config)
}

/// Waits until a request works at the way in to an echo service.
pub fn wait_until_open(echo_door: SocketAddr) -> Result<(), Failure> {
    let entry = Entry::Door(echo_door);
    let visit = || client::visit(&entry, 1, ATTEMPT);
    eventually(Instant::now() + OPENING, visit)
        .map_err(|error| format!("the tunnel does not open: {error}").into())
}
