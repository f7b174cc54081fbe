//! What a running program says of itself: to `muxcool status`, and to monitors.

#![cfg(all(target_os = "linux", feature = "cli"))]

mod support;

#[path = "status/exposition.rs"]
mod exposition;
#[path = "status/monitors.rs"]
mod monitors;
#[path = "status/pages.rs"]
mod pages;
#[path = "status/rig.rs"]
mod rig;
#[path = "status/shown.rs"]
mod shown;
#[path = "status/sockets.rs"]
mod sockets;
