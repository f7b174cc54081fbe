//! Load with as few threads as possible: they take processor time from what
//! they load, and thousands of them would be measured instead of it.

pub mod crowd;
pub mod flood;
pub mod readiness;
pub mod visitors;
pub mod visits;
