//! The rows of the table, in its order.

mod frozen;
mod half_close;
mod leavers;
mod pause;
mod ping;
mod plain;
mod restart;
mod slow_link;
mod stalled;

use crate::{figure::Figure, scene::Scene};

pub type Measure = fn(&Scene) -> Vec<Figure>;

pub const ALL: [(&str, Measure); 9] = [
    ("stalled", stalled::measure),
    ("plain", plain::measure),
    ("half-close", half_close::measure),
    ("leavers", leavers::measure),
    ("restart", restart::measure),
    ("frozen", frozen::measure),
    ("pause", pause::measure),
    ("slow-link", slow_link::measure),
    ("ping", ping::measure),
];
