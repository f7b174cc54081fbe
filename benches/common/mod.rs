//! What the benchmarks of whole programs share: load, and instruments.
//!
//! Each benchmark compiles its own copy and uses a part of it, hence no
//! warnings about the rest.

#![allow(dead_code)]

pub mod bulk;
pub mod failure;
pub mod noise;
pub mod ping;
pub mod program;
pub mod selection;
pub mod service;
pub mod spread;
pub mod visitor;
