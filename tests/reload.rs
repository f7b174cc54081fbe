//! Another configuration for what runs: what has changed is put in force, what
//! has not goes on, and what is wrong changes nothing.

#![cfg(all(target_os = "linux", feature = "cli"))]

mod support;

#[path = "reload/certificates.rs"]
mod certificates;
#[path = "reload/doors.rs"]
mod doors;
#[path = "reload/program.rs"]
mod program;
#[path = "reload/refused.rs"]
mod refused;
#[path = "reload/rig.rs"]
mod rig;
#[path = "reload/tunnels.rs"]
mod tunnels;
#[path = "reload/ways.rs"]
mod ways;
