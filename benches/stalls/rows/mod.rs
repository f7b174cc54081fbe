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

use crate::{common::selection::Named, figure::Figure, scene::Scene};

pub struct Plan {
    pub name: &'static str,
    pub measure: fn(&Scene) -> Vec<Figure>,
    /// Whether it loads the processors so little that others of this kind may
    /// be measured at the same time.
    pub is_light: bool,
}

impl Named for Plan {
    fn name(&self) -> &'static str {
        self.name
    }
}

pub const ALL: [Plan; 9] = [
    heavy("stalled", stalled::measure),
    heavy("plain", plain::measure),
    heavy("half-close", half_close::measure),
    heavy("leavers", leavers::measure),
    light("restart", restart::measure),
    light("frozen", frozen::measure),
    light("pause", pause::measure),
    heavy("slow-link", slow_link::measure),
    heavy("ping", ping::measure),
];

const fn heavy(name: &'static str, measure: fn(&Scene) -> Vec<Figure>) -> Plan {
    Plan {
        name,
        measure,
        is_light: false,
    }
}

const fn light(name: &'static str, measure: fn(&Scene) -> Vec<Figure>) -> Plan {
    Plan {
        is_light: true,
        ..heavy(name, measure)
    }
}
