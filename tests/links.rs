//! Links and TCP: that an orderly end arrives as one, that a cut never does,
//! and that nobody waits for ever.

#[path = "links/dial.rs"]
mod dial;
#[path = "links/ends.rs"]
mod ends;
#[path = "links/handshake.rs"]
mod handshake;
#[path = "links/idle.rs"]
mod idle;
#[path = "links/relay.rs"]
mod relay;
#[path = "links/server.rs"]
mod server;
#[path = "support/tasks.rs"]
mod tasks;
#[path = "links/tcp.rs"]
mod tcp;
#[path = "links/unbounded.rs"]
mod unbounded;
