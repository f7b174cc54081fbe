//! What can be said of balancers while they run.

use std::sync::Arc;
use std::time::Instant;

use super::BalancerStrategy;
use crate::link::Health;

/// A balancer at one moment.
#[derive(Debug, Clone)]
pub struct BalancerStatus {
    /// Its name in rules.
    pub tag: Arc<str>,
    /// Whose turn it is.
    pub strategy: BalancerStrategy,
    /// Tag of the outbound for when none of its own works.
    pub fallback: Option<Arc<str>>,
    /// Those that it picks from.
    pub candidates: Vec<CandidateStatus>,
}

/// One of a balancer's outbounds.
#[derive(Debug, Clone)]
pub struct CandidateStatus {
    /// The outbound's tag.
    pub tag: String,
    /// How it does; `None` if it leads to no server of which that is noted.
    pub health: Option<Health>,
    /// When a connection was last given to it to find out.
    pub tried: Option<Instant>,
    /// Connections that the balancer has given to it and that last.
    pub connections: usize,
}
