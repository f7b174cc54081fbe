//! Who gets in, and how far. A name that begins with A and a number is about
//! the upstream defect of that number.

#![cfg(target_os = "linux")]

mod loopback;
#[allow(dead_code)]
mod mux_support;
#[allow(dead_code)]
mod reverse_support;
mod support;

#[path = "access/secrets.rs"]
mod secrets;
#[path = "access/targets.rs"]
mod targets;
#[path = "access/tunnel.rs"]
mod tunnel;
