//! How a running program does: its carriers and their streams, for whoever
//! asks on the [control socket](super::control), and in Prometheus' text format.

mod census;
mod connections;
mod http;
mod metrics;
mod snapshot;

pub use census::{Census, Kind, Phase};
pub(super) use connections::{Connections, Row, Way};
pub use http::MetricsServer;
pub use metrics::text;
pub use snapshot::{
    BalancerSnapshot, CandidateSnapshot, CarrierSnapshot, ConnectionSnapshot, ConnectionsSnapshot,
    ServiceSnapshot, Snapshot, StreamSnapshot, TotalsSnapshot,
};
