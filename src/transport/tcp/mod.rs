//! TCP connections as links: dialling, listening, and a socket's two halves.

mod cut;
mod dial;
mod guard;
mod halves;
mod idle;
mod listen;
mod options;
mod port;
mod resolve;
mod server;

pub use dial::{DialOptions, dial};
pub use guard::Negotiation;
pub(in crate::transport) use guard::source_of;
pub(crate) use halves::poll_for;
pub(super) use halves::{Base, open};
pub use halves::{TcpReader, TcpWriter, split};
pub(super) use idle::{Activity, Expire};
pub use idle::{Idle, IdleTimes};
pub use listen::listen;
pub use options::ServerLimits;
pub use resolve::resolve;
pub use server::{Seat, Server, Visitor};
