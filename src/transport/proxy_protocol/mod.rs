//! The PROXY protocol: who takes connections for somebody else says in front of
//! each where it comes from. Versions 1 (text) and 2 (binary) of HAProxy's
//! `proxy-protocol.txt`.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice))]

mod accept;
mod error;
mod options;
pub mod wire;

pub use accept::accept;
pub use error::HeaderError;
pub use options::Version;
pub use wire::{Ends, Header};
