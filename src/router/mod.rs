//! Rules that send each request to an outbound (section 5).

mod options;

pub use options::{Condition, DomainPattern, DomainStrategy, RouterOptions, Rule};
