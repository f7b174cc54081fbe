//! Each direction of a session ends by itself (section 13), in every order,
//! with resets racing: between our peers, and towards plain ones.

#[allow(dead_code)]
mod mux_support;

#[path = "half_close/between_peers.rs"]
mod between_peers;
#[path = "half_close/plain_client.rs"]
mod plain_client;
#[path = "half_close/plain_server.rs"]
mod plain_server;
