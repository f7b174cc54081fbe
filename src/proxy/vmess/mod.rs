//! VMess with its AEAD header (section 2), as inbound and as outbound.
//!
//! It needs clocks that agree to within two minutes. Who is not known learns
//! nothing; bodies that were damaged or cut end with an error.

pub mod wire;

mod aead;
mod auth_id;
mod cipher;
mod clock;
mod inbound;
mod kdf;
mod opener;
mod options;
mod outbound;
mod reader;
mod replay;
mod response;
#[cfg(test)]
mod samples;
mod sealer;
mod sizes;
mod users;
mod writer;

pub use auth_id::{AuthId, AuthIdReader, make_auth_id};
pub use inbound::Inbound;
pub use kdf::{command_key, kdf};
pub use opener::{BodyError, Opener};
pub use options::{InboundOptions, OutboundOptions, Security, Server, User};
pub use outbound::Outbound;
pub use sealer::Sealer;
pub use writer::{MAX_SENT_PACKET, oversized_datagrams};

pub use super::Client;
