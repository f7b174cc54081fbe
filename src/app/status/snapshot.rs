use std::time::Instant;

use super::census::{Kind, Phase};
use crate::mux::{CarrierState, CarrierStatus, RosterReport, StreamStatus, Totals};
use crate::router::{BalancerStatus, CandidateStatus};

/// How a program does at one moment: what `muxcool status --json` prints.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
pub struct Snapshot {
    /// The program's version.
    pub version: String,
    /// The process's number.
    pub pid: u32,
    /// Where its configuration is from: files, or the command that made it.
    #[cfg_attr(feature = "cli", serde(default))]
    pub configuration: String,
    /// When it began, in seconds since 1970.
    pub started_seconds: f64,
    /// How long it has been running.
    pub uptime_seconds: f64,
    /// How far it has come.
    pub phase: Phase,
    /// Whoever has carriers.
    pub services: Vec<ServiceSnapshot>,
    /// Balancers, and how their outbounds do.
    #[cfg_attr(feature = "cli", serde(default))]
    pub balancers: Vec<BalancerSnapshot>,
    /// Visitors' connections that go through no carrier.
    #[cfg_attr(feature = "cli", serde(default))]
    pub connections: ConnectionsSnapshot,
}

/// A balancer.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
pub struct BalancerSnapshot {
    /// Its tag.
    pub tag: String,
    /// How it picks, as configurations say it.
    pub strategy: String,
    /// Tag of the outbound for when none of its own works.
    pub fallback: Option<String>,
    /// Its own.
    pub outbounds: Vec<CandidateSnapshot>,
}

/// One of a balancer's outbounds.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
pub struct CandidateSnapshot {
    /// Its tag.
    pub tag: String,
    /// `up`, `down`, `unknown` if nothing has been learnt lately, or
    /// `unwatched` if it leads to no server of which that is noted.
    pub state: String,
    /// The round trip to its server, if one was measured lately.
    pub round_trip_seconds: Option<f64>,
    /// How long ago the server could not be reached, if it is down.
    pub failed_seconds_ago: Option<f64>,
    /// How long ago it was last tried to find out.
    pub tried_seconds_ago: Option<f64>,
    /// Connections that the balancer has given to it and that last.
    pub connections: u64,
}

/// Connections that go through no carrier, such as a plain proxy's.
#[derive(Debug, Clone, Default, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
pub struct ConnectionsSnapshot {
    /// How many there are.
    pub open: u64,
    /// They, or as many as were asked for.
    pub list: Vec<ConnectionSnapshot>,
}

/// One connection, or flow of datagrams.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
pub struct ConnectionSnapshot {
    /// As in the log.
    pub id: u32,
    /// Tag of the inbound that it came in by.
    pub inbound: String,
    /// Who came.
    pub visitor: String,
    /// Where it goes.
    pub target: String,
    /// Tag of the outbound that it left by.
    pub outbound: String,
    /// How long it has been there.
    pub age_seconds: f64,
    /// Bytes to the target.
    pub sent_bytes: u64,
    /// Bytes to the visitor.
    pub received_bytes: u64,
}

/// A portal, a bridge, an inbound or an outbound.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
pub struct ServiceSnapshot {
    /// Which of them.
    pub kind: Kind,
    /// Its tag.
    pub name: String,
    /// What its carriers have done, those that are gone too.
    pub totals: TotalsSnapshot,
    /// Those that there are.
    pub carriers: Vec<CarrierSnapshot>,
}

/// What has been done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
pub struct TotalsSnapshot {
    /// Carriers opened.
    pub carriers: u64,
    /// Sessions opened on them.
    pub sessions: u64,
    /// Bytes written to them.
    pub sent_bytes: u64,
    /// Bytes read from them.
    pub received_bytes: u64,
    /// How often a sender had to wait for credit.
    pub credit_waits: u64,
    /// How often one stream made a carrier's others wait.
    pub hold_ups: u64,
    /// Streams ended for that.
    pub stalled: u64,
    /// Datagrams dropped.
    pub dropped: u64,
}

/// One carrier.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
pub struct CarrierSnapshot {
    /// As in the log.
    pub number: u32,
    /// The address at the other end.
    pub peer: Option<String>,
    /// `healthy`, `suspect` or `draining`.
    pub state: String,
    /// Whether a service with this carrier is ready.
    pub is_reliable: bool,
    /// Whether the other end is muxcool.
    pub has_muxcool_peer: bool,
    /// How long it has been there.
    pub age_seconds: f64,
    /// The shortest round trip that was measured.
    pub round_trip_seconds: Option<f64>,
    /// Streams and flows of datagrams open now.
    pub sessions: u64,
    /// Bytes that wait for their readers.
    pub parked_bytes: u64,
    /// Whether a stream makes the others wait now.
    pub is_held_up: bool,
    /// What it has done.
    pub totals: TotalsSnapshot,
    /// Its streams, or as many as were asked for.
    pub streams: Vec<StreamSnapshot>,
}

/// One stream, or flow of datagrams.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize, serde::Deserialize))]
pub struct StreamSnapshot {
    /// Its number on the carrier.
    pub id: u16,
    /// Who came with it, if it was to this end.
    pub visitor: Option<String>,
    /// Where it goes.
    pub target: String,
    /// How long it has been there.
    pub age_seconds: f64,
    /// Payload sent to the other end.
    pub sent_bytes: u64,
    /// Payload received from it.
    pub received_bytes: u64,
    /// Bytes that wait for its reader.
    pub parked_bytes: u64,
    /// Whether somebody waits for credit to send.
    pub waits_for_credit: bool,
}

impl Snapshot {
    /// What keeps the program from being ready; nothing if it is. A portal is
    /// ready with a bridge that can be relied on, a bridge with a carrier.
    pub fn hindrances(&self) -> Vec<String> {
        let phase = match self.phase {
            Phase::Starting => Some("starting".to_owned()),
            Phase::Draining => Some("draining".to_owned()),
            Phase::Running => None,
        };
        let services = self.services.iter().filter_map(ServiceSnapshot::hindrance);
        phase.into_iter().chain(services).collect()
    }
}

impl ServiceSnapshot {
    pub(super) fn new(kind: Kind, name: &str, report: RosterReport) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            totals: report.totals.into(),
            carriers: report.carriers.into_iter().map(Into::into).collect(),
        }
    }

    /// Why it is of no use to anybody now.
    pub fn hindrance(&self) -> Option<String> {
        let missing = match self.kind {
            Kind::Portal => "bridge",
            Kind::Bridge => "carrier",
            Kind::Inbound | Kind::Outbound => return None,
        };
        let is_ready = self.carriers.iter().any(|carrier| carrier.is_reliable);
        let (kind, name) = (self.kind.word(), &self.name);
        (!is_ready).then(|| format!("{kind} {name:?} has no {missing} to rely on"))
    }
}

impl Kind {
    /// As it is printed.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Portal => "portal",
            Kind::Bridge => "bridge",
            Kind::Inbound => "inbound",
            Kind::Outbound => "outbound",
        }
    }
}

impl From<BalancerStatus> for BalancerSnapshot {
    fn from(status: BalancerStatus) -> Self {
        Self {
            tag: status.tag.to_string(),
            strategy: status.strategy.word().to_owned(),
            fallback: status.fallback.map(|tag| tag.to_string()),
            outbounds: status.candidates.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<CandidateStatus> for CandidateSnapshot {
    fn from(status: CandidateStatus) -> Self {
        let ago = |at: Instant| at.elapsed().as_secs_f64();
        let health = status.health.unwrap_or_default();
        let state = match (status.health, health.failed, health.round_trip) {
            (None, ..) => "unwatched",
            (_, Some(_), _) => "down",
            (_, None, Some(_)) => "up",
            (_, None, None) => "unknown",
        };
        Self {
            tag: status.tag,
            state: state.to_owned(),
            round_trip_seconds: health.round_trip.map(|time| time.as_secs_f64()),
            failed_seconds_ago: health.failed.map(ago),
            tried_seconds_ago: status.tried.map(ago),
            connections: status.connections as u64,
        }
    }
}

impl From<Totals> for TotalsSnapshot {
    fn from(totals: Totals) -> Self {
        Self {
            carriers: totals.carriers,
            sessions: totals.sessions,
            sent_bytes: totals.sent,
            received_bytes: totals.received,
            credit_waits: totals.credit_waits,
            hold_ups: totals.hold_ups,
            stalled: totals.stalled,
            dropped: totals.dropped,
        }
    }
}

impl From<CarrierStatus> for CarrierSnapshot {
    fn from(status: CarrierStatus) -> Self {
        let stats = status.stats;
        Self {
            number: status.number,
            peer: status.peer.map(|peer| peer.to_string()),
            state: word(status.state).to_owned(),
            is_reliable: status.is_reliable,
            has_muxcool_peer: status.has_muxcool_peer,
            age_seconds: status.age.as_secs_f64(),
            round_trip_seconds: stats.round_trip.map(|time| time.as_secs_f64()),
            sessions: status.sessions as u64,
            parked_bytes: stats.parked as u64,
            is_held_up: stats.held_up,
            totals: TotalsSnapshot {
                carriers: 1,
                sessions: stats.total.into(),
                sent_bytes: stats.sent,
                received_bytes: stats.received,
                credit_waits: stats.credit_waits,
                hold_ups: stats.hold_ups,
                stalled: stats.stalled,
                dropped: stats.dropped,
            },
            streams: status.streams.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<StreamStatus> for StreamSnapshot {
    fn from(status: StreamStatus) -> Self {
        Self {
            id: status.id,
            visitor: status.visitor.map(|visitor| visitor.to_string()),
            target: status.target.to_string(),
            age_seconds: status.age.as_secs_f64(),
            sent_bytes: status.sent,
            received_bytes: status.received,
            parked_bytes: status.parked as u64,
            waits_for_credit: status.waits_for_credit,
        }
    }
}

fn word(state: CarrierState) -> &'static str {
    match state {
        CarrierState::Healthy => "healthy",
        CarrierState::Suspect => "suspect",
        CarrierState::Draining => "draining",
    }
}
