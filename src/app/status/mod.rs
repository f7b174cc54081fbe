//! How a running program does: its carriers and their streams, for whoever
//! asks on the [control socket](super::control), and in Prometheus' text format.

mod census;
mod http;
mod metrics;
mod snapshot;

pub use census::{Census, Kind, Phase};
pub use http::MetricsServer;
pub use metrics::text;
pub use snapshot::{CarrierSnapshot, ServiceSnapshot, Snapshot, StreamSnapshot, TotalsSnapshot};
