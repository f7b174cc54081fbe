//! The settings of carriers: that they are heeded, by every end that has them,
//! and what is counted at the bounds that they set.

#[allow(dead_code)]
mod mux_support;

#[path = "mux_settings/bounds.rs"]
mod bounds;
#[path = "mux_settings/counts.rs"]
mod counts;
#[path = "mux_settings/ends.rs"]
mod ends;
