//! V2Ray 4.34's JSON configuration, read and checked into a [`Plan`].

mod error;
mod plan;

pub use error::{ConfigError, Place};
pub use plan::{
    InboundOptions, InboundPlan, LogPlan, LogTarget, MuxPlan, OutboundOptions, OutboundPlan, Plan,
};
