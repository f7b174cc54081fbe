//! Every bound on what a peer can make this side do: what happens at it, and
//! that who stays just within it never notices.

#![cfg(target_os = "linux")]

mod loopback;
#[allow(dead_code)]
mod mux_support;

#[path = "limits/connections.rs"]
mod connections;
#[path = "limits/frames.rs"]
mod frames;
#[path = "limits/sessions.rs"]
mod sessions;
