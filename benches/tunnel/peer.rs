//! The tunnels that are compared.

use std::{
    env,
    ffi::OsString,
    fmt,
    process::{Command, Stdio},
};

use crate::support::program::v2ray_or_skip;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Portal and bridge of this crate.
    Muxcool,
    /// Portal and bridge of V2Ray, with the same configuration files.
    V2ray,
    /// Two processes in a row that only copy, which know nothing of streams on
    /// one connection: what the path can carry.
    Relays,
    /// Server and client of rathole, with a connection for each stream.
    Rathole,
}

impl Peer {
    const ALL: [Self; 4] = [Self::Muxcool, Self::V2ray, Self::Relays, Self::Rathole];

    fn is_present(self) -> bool {
        match self {
            Self::Muxcool | Self::Relays => true,
            Self::V2ray => v2ray_or_skip(),
            Self::Rathole => rathole_or_skip(),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Muxcool => "muxcool",
            Self::V2ray => "V2Ray",
            Self::Relays => "relays",
            Self::Rathole => "rathole",
        })
    }
}

/// Those that can be started here; the others are named.
pub fn present() -> Vec<Peer> {
    let present = Peer::ALL.into_iter().filter(|peer| peer.is_present());
    present.collect()
}

/// The program of [`Peer::Rathole`].
pub fn rathole() -> OsString {
    env::var_os("RATHOLE").unwrap_or_else(|| "rathole".into())
}

fn rathole_or_skip() -> bool {
    let mut command = Command::new(rathole());
    command.arg("--version").stdin(Stdio::null());
    let runs = command.output().is_ok_and(|output| output.status.success());
    if !runs {
        eprintln!("rathole: skipped, neither on the PATH nor named by RATHOLE");
    }
    runs
}
