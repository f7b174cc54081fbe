//! VMess with its AEAD header (section 2), as inbound and as outbound.
//!
//! It needs clocks that agree to within two minutes. Who is not known learns
//! nothing; bodies that were damaged or cut end with an error.

pub mod wire;

mod auth_id;
mod cipher;
mod kdf;
mod opener;
mod options;
mod sealer;
mod sizes;

pub use auth_id::{AuthId, AuthIdReader, make_auth_id};
pub use kdf::{command_key, kdf};
pub use opener::{BodyError, Opener};
pub use options::{Client, InboundOptions, OutboundOptions, Server, User};
pub use sealer::Sealer;
