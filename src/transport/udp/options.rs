use std::time::Duration;

use crate::limits::{UDP_ANSWER, UDP_FLOW_QUEUE, UDP_FLOWS, UDP_FLOWS_PER_SOURCE};

/// Bounds of what visitors can make a [`Flows`](super::Flows) hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowLimits {
    /// Flows at once. With one more the oldest is cut that has not been
    /// answered; if there is none, the new one is refused.
    pub flows: usize,
    /// Flows at once of one source, which is an IPv4 address, or the network
    /// of an IPv6 address's owner.
    pub flows_per_source: usize,
    /// How long a flow may at least wait for its first answer before it is cut.
    pub answer: Duration,
    /// Bytes of memory that the waiting datagrams of one flow may pin, and
    /// one datagram beyond.
    pub queue: usize,
}

impl Default for FlowLimits {
    fn default() -> Self {
        Self {
            flows: UDP_FLOWS,
            flows_per_source: UDP_FLOWS_PER_SOURCE,
            answer: UDP_ANSWER,
            queue: UDP_FLOW_QUEUE,
        }
    }
}
