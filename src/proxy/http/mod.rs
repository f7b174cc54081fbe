//! The HTTP proxy protocol, as inbound (section 3.3; RFC 9110 section 9.3.6,
//! RFC 9112 section 3.2).
//!
//! CONNECT becomes a tunnel. A plain request is forwarded on a connection of
//! its own: its head is written anew, so that nothing of the visitor's framing
//! reaches the target, and bodies stream both ways whatever their framing.
//! Where framing is ambiguous (RFC 9112 section 6.3) a request is refused.
//!
//! It differs from V2Ray in this: connections are announced as kept only if
//! they are; interim (1xx) responses are passed on; a body that is cut short
//! reaches the visitor as a reset, never as an end; `https` in a request's
//! target is refused, for it would go out in the clear.

pub mod chunked;
pub mod target;
pub mod wire;

mod account;
mod body;
mod exchange;
mod inbound;
mod options;
mod reply;
mod rewrite;
mod source;

pub use inbound::Inbound;
pub use options::InboundOptions;
