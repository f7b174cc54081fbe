//! The control socket: how other programs of the same user ask a running one
//! how it does, and tell it what to do.
//!
//! A Unix domain socket of mode 0600. Whoever connects writes one line, a JSON
//! object such as `{"command":"status"}`, and gets one line back:
//! `{"ok":VALUE}`, or `{"error":TEXT}`. Then the connection is closed.

mod client;
mod commands;
mod lines;
mod place;
mod socket;

pub use client::{AskError, ask};
pub use commands::{Answer, Commands, Request};
pub use place::{Places, Running};
pub use socket::ControlSocket;
