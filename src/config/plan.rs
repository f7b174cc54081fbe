use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use log::LevelFilter;

use super::error::Place;
use crate::mux::CarrierOptions;
use crate::proxy::{blackhole, dokodemo, freedom, http, socks, vless, vmess};
use crate::reverse::{BridgeOptions, PortalOptions};
use crate::router::RouterOptions;
use crate::sniff::SniffingOptions;
use crate::transport::stream::StreamOptions;
use crate::transport::tcp::{IdleTimes, ServerLimits};

/// A whole configuration, checked: every tag that is named exists, every port
/// is one, and nothing was left out that the text asked for.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is logged, and where to.
    pub log: LogPlan,
    /// Where the program can be asked and told things while it runs.
    pub control: ControlPlan,
    /// Where monitors can ask how it does.
    pub metrics: Option<MetricsPlan>,
    /// Where visitors come in, in the order of the text.
    pub inbounds: Vec<InboundPlan>,
    /// Where connections go out. The first takes what no rule decides; if
    /// there is none, the first portal does.
    pub outbounds: Vec<OutboundPlan>,
    /// The rules. Each leads to the tag of an outbound or of a portal.
    pub router: RouterOptions,
    /// Bounds of what visitors can make each listener hold.
    pub listeners: ServerLimits,
    /// Bounds of the mux carriers that inbounds take and outbounds dial; the
    /// same are in the options of bridges and portals.
    pub mux: CarrierOptions,
    /// How long connections may go on when the program is told to stop.
    pub drain: Duration,
    /// Bridges of reverse tunnels; their tags act as inbound tags.
    pub bridges: Vec<BridgeOptions>,
    /// Portals of reverse tunnels; their tags act as outbound tags.
    pub portals: Vec<PortalOptions>,
    /// What is allowed but probably not meant: one line each, with its place,
    /// to be logged at start.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Whether it names ids or passwords, by which others would be let in.
    pub fn holds_secrets(&self) -> bool {
        let by_inbound = self.inbounds.iter().any(|inbound| match &inbound.options {
            InboundOptions::Socks(options) => options.accounts.is_some(),
            InboundOptions::Http(options) => !options.accounts.is_empty(),
            InboundOptions::Dokodemo(_) => false,
            _ => true,
        });
        let by_outbound = self
            .outbounds
            .iter()
            .any(|outbound| match &outbound.options {
                OutboundOptions::Freedom(_) | OutboundOptions::Blackhole(_) => false,
                OutboundOptions::Socks(options) => {
                    options.servers.iter().any(|s| !s.users.is_empty())
                }
                _ => true,
            });
        by_inbound || by_outbound
    }
}

/// What is logged, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPlan {
    /// One line for each connection.
    pub access: LogTarget,
    /// Everything else.
    pub error: LogTarget,
    /// The least important level that goes to `error`.
    pub level: LevelFilter,
}

/// Where log lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// Nowhere.
    Off,
    /// The terminal. V2Ray means standard output.
    Console,
    /// Appended to this file.
    File(PathBuf),
}

/// Where the control socket is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ControlPlan {
    /// Where this user's programs have theirs, under the process's number.
    #[default]
    ByProcess,
    /// Nowhere.
    Off,
    /// Here.
    At(PathBuf),
}

/// A listener for monitors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsPlan {
    /// Where it listens. Port 0 asks the system for a free one.
    pub listen: SocketAddr,
    /// Where that stands in the configuration.
    pub place: Place,
}

/// One listener, or several that differ in nothing but their port.
#[derive(Debug, Clone, PartialEq)]
pub struct InboundPlan {
    /// Its name in rules and in the log; empty if it has none.
    pub tag: Arc<str>,
    /// The address to listen on. For the unspecified IPv4 address, which is
    /// the default, V2Ray listens on IPv6 as well.
    pub listen: IpAddr,
    /// The ports to listen on, each of them: at most
    /// [`MAX_PORT_RANGE`](crate::limits::MAX_PORT_RANGE). A lone 0 asks the
    /// system for a free one.
    pub ports: RangeInclusive<u16>,
    /// Bound of a visitor's whole handshake.
    pub handshake: Duration,
    /// How long its connections may be idle.
    pub idle: IdleTimes,
    /// What visitors put on their TCP connections, below the protocol.
    pub stream: StreamOptions,
    /// Whether, and how, it is found out what its streams are.
    pub sniffing: Option<SniffingOptions>,
    /// Its protocol, and the settings of that.
    pub options: InboundOptions,
    /// Where the text says on which port it listens, for
    /// [`ConfigError::at`](super::ConfigError::at) when that port is taken.
    pub place: Place,
    /// Where it says what is on its connections, or else on which port.
    pub stream_place: Place,
}

impl InboundPlan {
    /// Whether it says the same, wherever that is written.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        let (place, stream_place) = (other.place.clone(), other.stream_place.clone());
        let here = Self {
            place,
            stream_place,
            ..self.clone()
        };
        here == *other
    }
}

/// The protocol of an inbound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InboundOptions {
    /// SOCKS 4, 4a and 5.
    Socks(socks::InboundOptions),
    /// HTTP proxy.
    Http(http::InboundOptions),
    /// Everything goes to one target.
    Dokodemo(dokodemo::InboundOptions),
    /// VLESS.
    Vless(vless::InboundOptions),
    /// VMess.
    Vmess(vmess::InboundOptions),
}

/// One way out.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboundPlan {
    /// Its name in rules and in the log; empty if it has none.
    pub tag: Arc<str>,
    /// Bound of our handshake with a server once it has been dialled, where
    /// the layers or the protocol have one that waits.
    pub handshake: Duration,
    /// How long its connections may be idle.
    pub idle: IdleTimes,
    /// Local address to dial from; the same as in the options that have it.
    pub send_through: Option<IpAddr>,
    /// What stands on its TCP connections, below the protocol.
    pub stream: StreamOptions,
    /// Its protocol, and the settings of that.
    pub options: OutboundOptions,
    /// Whether, and how, its connections share carriers.
    pub mux: Option<MuxPlan>,
    /// Where the text defines it.
    pub place: Place,
}

impl OutboundPlan {
    /// Whether it says the same, wherever that is written.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        let here = Self {
            place: other.place.clone(),
            ..self.clone()
        };
        here == *other
    }
}

/// The protocol of an outbound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutboundOptions {
    /// Straight to the target.
    Freedom(freedom::OutboundOptions),
    /// Nowhere.
    Blackhole(blackhole::OutboundOptions),
    /// By SOCKS 5 servers.
    Socks(socks::OutboundOptions),
    /// By VLESS servers.
    Vless(vless::OutboundOptions),
    /// By VMess servers.
    Vmess(vmess::OutboundOptions),
}

/// Every connection of an outbound is put on a shared carrier (section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MuxPlan {
    /// Sessions at once on one carrier: 1 to
    /// [`MAX_CONCURRENCY`](crate::limits::MAX_CONCURRENCY).
    pub concurrency: u32,
}

/// Off, terminal, warnings: V2Ray's behaviour without a `log` object.
impl Default for LogPlan {
    fn default() -> Self {
        Self {
            access: LogTarget::Off,
            error: LogTarget::Console,
            level: LevelFilter::Warn,
        }
    }
}
