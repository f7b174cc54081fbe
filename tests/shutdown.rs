//! A program that is told to stop lets those finish who do in time, cuts the
//! others so that they notice, and ends.

#![cfg(all(target_os = "linux", feature = "cli"))]

mod support;

#[path = "shutdown/crowd.rs"]
mod crowd;
#[path = "shutdown/rig.rs"]
mod rig;
#[path = "shutdown/successors.rs"]
mod successors;
#[path = "shutdown/visitors.rs"]
mod visitors;
