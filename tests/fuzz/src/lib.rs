//! What the fuzz targets do with an input: ordinary functions that panic when
//! a promise is broken. libFuzzer calls them, and so does `cargo test` with
//! the inputs in `corpus/`.
//!
//! Where an input holds more than the bytes of a peer, that stands in front:
//! see [`pieces`].

#![forbid(unsafe_code)]

pub mod config;
pub mod control;
pub mod extension;
pub mod frame_metadata;
pub mod frame_stream;
pub mod http_chunked;
pub mod http_head;
pub mod http_server;
pub mod mux_client;
pub mod mux_server;
pub mod proxy_protocol;
pub mod sniff;
pub mod socks_client;
pub mod socks_datagram;
pub mod socks_server;
pub mod socks_wire;
pub mod vless_client;
pub mod vless_request;
pub mod vless_response;
pub mod vless_server;
pub mod vmess_body;
pub mod vmess_request;
pub mod vmess_response;
pub mod websocket;

pub mod hosts;
pub mod memory;
pub mod mux_model;
pub mod pieces;
pub mod prefixes;
pub mod sockets;

/// Panics when an input breaks a promise.
pub type Check = fn(&[u8]);

/// Every target's name and function.
pub const TARGETS: [(&str, Check); 24] = [
    ("config", config::check),
    ("control", control::check),
    ("extension", extension::check),
    ("frame_metadata", frame_metadata::check),
    ("frame_stream", frame_stream::check),
    ("http_chunked", http_chunked::check),
    ("http_head", http_head::check),
    ("http_server", http_server::check),
    ("mux_client", mux_client::check),
    ("mux_server", mux_server::check),
    ("proxy_protocol", proxy_protocol::check),
    ("sniff", sniff::check),
    ("socks_client", socks_client::check),
    ("socks_datagram", socks_datagram::check),
    ("socks_server", socks_server::check),
    ("socks_wire", socks_wire::check),
    ("vless_client", vless_client::check),
    ("vless_request", vless_request::check),
    ("vless_response", vless_response::check),
    ("vless_server", vless_server::check),
    ("vmess_body", vmess_body::check),
    ("vmess_request", vmess_request::check),
    ("vmess_response", vmess_response::check),
    ("websocket", websocket::check),
];
