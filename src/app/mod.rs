//! (under way)

pub mod access;
#[cfg(feature = "cli")]
pub mod logging;
mod stamp;
