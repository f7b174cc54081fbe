//! TLS 1.2 and 1.3 on links (section 7), with rustls.
//!
//! One rustls connection serves both directions. It is behind a lock that is
//! held for the arithmetic of one record and never while anybody waits, so a
//! reader and a writer on their own threads do not hold each other up. What
//! the reading half has to answer, such as a change of keys, goes out with the
//! next bytes that are written.
//!
//! The ends are kept apart as on every link: closing sends close_notify and
//! then ends the link below; an end without it is an error to the reader.

mod certificates;
mod client;
mod error;
mod handshake;
mod options;
mod pem;
mod pin;
mod reader;
mod server;
mod session;
mod trust;
mod validity;
mod writer;

pub use client::Client;
pub use error::{TlsError, TlsFailure};
pub use options::{Certificate, Options, Pem, Usage};
pub(crate) use pem::Stamp;
pub use pin::{Pin, PinError};
pub use server::Server;
