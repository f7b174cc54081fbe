//! What can be said of carriers and their streams while they last.

use std::net::SocketAddr;
use std::time::Duration;

use super::stats::WorkerStats;
use crate::net::Destination;

/// A carrier at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CarrierStatus {
    /// As in the log: each of the process has its own.
    pub number: u32,
    /// The address at the other end of the connection that it runs on, if that
    /// is one of this machine's own.
    pub peer: Option<SocketAddr>,
    /// How long it has been there.
    pub age: Duration,
    /// How it does.
    pub state: CarrierState,
    /// Whether who needs a carrier may count on it: it is not suspect, and it is
    /// not the other side that wants it to end.
    pub is_reliable: bool,
    /// Whether the peer speaks the extensions.
    pub has_muxcool_peer: bool,
    /// What it does and has done.
    pub stats: WorkerStats,
    /// Sessions open now, without those that serve the carrier itself.
    pub sessions: usize,
    /// Those sessions, or as many as were asked for.
    pub streams: Vec<StreamStatus>,
}

/// How a carrier does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CarrierState {
    /// As it should.
    Healthy,
    /// Its peer has been silent for too long.
    Suspect,
    /// One side wants it to end once its sessions have.
    Draining,
}

/// A session of a carrier at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StreamStatus {
    /// Its number on the carrier.
    pub id: u16,
    /// Where it goes.
    pub target: Destination,
    /// Who came with it, if that was at this end.
    pub visitor: Option<SocketAddr>,
    /// How long it has been there.
    pub age: Duration,
    /// Bytes of payload sent to the peer.
    pub sent: u64,
    /// Bytes of payload received from it.
    pub received: u64,
    /// Bytes of memory that wait for its consumer.
    pub parked: usize,
    /// Whether somebody waits for credit to send.
    pub waits_for_credit: bool,
}
