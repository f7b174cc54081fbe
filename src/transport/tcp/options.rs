use crate::limits::{CONNECTIONS, CONNECTIONS_PER_SOURCE, HANDSHAKES, HANDSHAKES_PER_SOURCE};

/// Bounds of what visitors can make a [`Server`](super::Server) hold. A source
/// is an IPv4 address, or the network of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections at once; more are closed at once. Defaults to
    /// [`CONNECTIONS`].
    pub connections: usize,
    /// The same of one source. Defaults to [`CONNECTIONS_PER_SOURCE`].
    pub connections_per_source: usize,
    /// Connections at once whose handshake is not over; with one more the
    /// oldest is cut. Defaults to [`HANDSHAKES`].
    pub handshakes: usize,
    /// The same of one source, whose own oldest is cut. Defaults to
    /// [`HANDSHAKES_PER_SOURCE`].
    pub handshakes_per_source: usize,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS,
            connections_per_source: CONNECTIONS_PER_SOURCE,
            handshakes: HANDSHAKES,
            handshakes_per_source: HANDSHAKES_PER_SOURCE,
        }
    }
}
