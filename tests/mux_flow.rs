//! What muxcool peers tell each other, and what it is for: no stream of a
//! carrier waits for another (sections 11 and 12).

#[allow(dead_code)]
mod mux_support;

#[path = "mux_flow/between_peers.rs"]
mod between_peers;
#[path = "mux_flow/datagrams.rs"]
mod datagrams;
#[path = "mux_flow/extension.rs"]
mod extension;
#[path = "mux_flow/grants.rs"]
mod grants;
#[path = "mux_flow/origins.rs"]
mod origins;
#[path = "mux_flow/stalled.rs"]
mod stalled;
