//! What threads promise each other, under many schedules of their steps:
//!
//! ```console
//! $ MUXCOOL_SCHEDULES=10000 cargo test --features schedules --test schedules
//! $ MUXCOOL_SCHEDULES=10000 cargo test --features schedules --lib schedules
//! ```
//!
//! Each test is tried with that many random schedules, and as many with few
//! switches of threads. The second command is for what is inside of `mux` and
//! `sync`. A test fails, too, when all threads that are left wait.

#[path = "schedules/events.rs"]
mod events;
#[path = "schedules/mux.rs"]
mod mux;
#[path = "schedules/pipe.rs"]
mod pipe;
