//! TCP connections as links: dialling, listening, and a socket's two halves.

mod cut;
mod dial;
mod guard;
mod halves;
mod idle;
mod listen;
mod options;
mod port;
mod reader;
mod resolve;
mod server;
mod socket;
mod turns;
mod writer;

pub use dial::{DialOptions, dial};
pub use guard::Negotiation;
pub(in crate::transport) use guard::source_of;
pub use halves::split;
pub(super) use halves::{Base, open};
pub(super) use idle::{Activity, Expire};
pub use idle::{Idle, IdleTimes};
pub use listen::listen;
pub use options::ServerLimits;
pub use reader::TcpReader;
pub use resolve::{resolve, resolve_for};
pub use server::{Seat, Server, Visitor};
pub(crate) use socket::poll_for;
pub use writer::TcpWriter;
#[cfg(test)]
pub(crate) use {dial::TURNS as DIAL_TURNS, resolve::TURNS as LOOKUP_TURNS};
