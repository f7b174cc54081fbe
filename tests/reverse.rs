//! Portal and bridge, each against a scripted other end. A name that begins
//! with A and a number is about the upstream defect of that number.

#![cfg(target_os = "linux")]

#[allow(dead_code)]
mod mux_support;
mod reverse_support;
mod support;

#[path = "reverse/bridge.rs"]
mod bridge;
#[path = "reverse/bridge_carriers.rs"]
mod bridge_carriers;
#[path = "reverse/herd.rs"]
mod herd;
#[path = "reverse/picker.rs"]
mod picker;
#[path = "reverse/portal.rs"]
mod portal;
#[path = "reverse/portal_worker.rs"]
mod portal_worker;
