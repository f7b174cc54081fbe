//! Many connections over one (Mux.Cool), and reverse tunnels on it.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod app;
pub mod buf;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod error;
pub mod escape;
pub mod limits;
pub mod link;
pub mod mux;
pub mod net;
pub mod pipe;
pub mod proxy;
pub mod reverse;
pub mod router;
pub mod sync;
pub mod transport;
pub mod wire;
