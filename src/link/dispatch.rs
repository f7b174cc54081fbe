use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::{Link, LinkError, relay};
use crate::net::{AllowedTargets, Destination, Domain, Origin};

/// What is known about one connection. Made once, never changed: sessions of
/// one carrier share nothing of it.
#[derive(Debug, Clone)]
pub struct Request {
    /// Names the connection in the log.
    pub id: u32,
    /// Where it wants to go.
    pub target: Destination,
    /// Tag of the inbound, or of the bridge, that it came in by.
    pub inbound: Arc<str>,
    /// Where it came from.
    pub source: Option<SocketAddr>,
    /// The address that it was made to, where whoever took it knows.
    pub local: Option<SocketAddr>,
    /// Who it is, where the inbound authenticates.
    pub user: Option<Arc<str>>,
    /// Whether the inbound lets in everybody.
    pub anonymous: bool,
    /// Whether the rule that decided names the target itself.
    pub named_by_rule: bool,
    /// Whether the target's name was read out of the visitor's payload, not
    /// asked for. Such a name makes nobody a bridge (A37).
    pub is_sniffed: bool,
    /// Whether it is a session of a mux carrier.
    pub is_carried: bool,
    /// The name that rules go by, if not the target's own.
    pub routed_as: Option<Domain>,
    /// Where it may go at all, if not everywhere. The outbound that dials holds
    /// it to that; see [`Outbound::heeds_allowed`].
    pub allowed: Option<Arc<AllowedTargets>>,
    /// The application protocol, where the inbound knows it ("http/1.1") or it
    /// was found out.
    pub protocol: Option<Arc<str>>,
    /// Where its access line goes, if it is to have one.
    pub access: Option<Arc<dyn Access>>,
}

impl Request {
    /// A connection to `target`, with an id of its own and nothing else known.
    pub fn new(target: Destination) -> Self {
        static NEXT_ID: AtomicU32 = AtomicU32::new(1);
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            target,
            inbound: "".into(),
            source: None,
            local: None,
            user: None,
            anonymous: false,
            named_by_rule: false,
            is_sniffed: false,
            is_carried: false,
            routed_as: None,
            allowed: None,
            protocol: None,
            access: None,
        }
    }

    /// The same origin, another target, an id of its own.
    pub fn derive(&self, target: Destination) -> Self {
        Self {
            id: Request::new(target.clone()).id,
            target,
            named_by_rule: false,
            is_sniffed: false,
            routed_as: None,
            ..self.clone()
        }
    }

    /// The same, where it is known where it comes from.
    pub fn coming_from(self, origin: Origin) -> Self {
        Self {
            source: Some(origin.source()),
            local: origin.local(),
            ..self
        }
    }

    /// Where it comes from, if that is known.
    pub fn origin(&self) -> Option<Origin> {
        self.source.map(|source| Origin::new(source, self.local))
    }

    /// The same connection, another target.
    pub fn with_target(&self, target: Destination) -> Self {
        Self {
            target,
            named_by_rule: false,
            routed_as: None,
            ..self.clone()
        }
    }

    /// The same connection, to a target whose name its payload gave away.
    pub fn sniffed(&self, target: Destination) -> Self {
        Self {
            is_sniffed: true,
            ..self.with_target(target)
        }
    }
}

/// Takes note of the connections that were accepted or rejected.
pub trait Access: Send + Sync + fmt::Debug {
    /// `request` goes out by the outbound with this tag.
    fn accepted(&self, request: &Request, outbound: &str);

    /// A connection from `source` got no further than an inbound or the
    /// rules, for the reason given. It is escaped where it is written.
    fn rejected(&self, source: Option<SocketAddr>, reason: &str);
}

/// Why a connection did not come about, or how it failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum DispatchError {
    /// Nothing here leads to the target, for the named reason.
    Refused(&'static str),
    /// The address that would be dialled is not among those that the request
    /// [may](Request::allowed) go to.
    Forbidden(SocketAddr),
    /// The request may go to some addresses only, and another would have
    /// found out what the target's name stands for.
    Unchecked,
    /// The target, or the proxy on the way to it, could not be reached.
    Unreachable(std::io::Error),
    /// The connection failed under way.
    Link(LinkError),
    /// A layer below says why.
    Other(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for DispatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DispatchError::Refused(why) => f.write_str(why),
            DispatchError::Forbidden(address) => {
                write!(f, "{address} is not among the targets that are allowed")
            }
            DispatchError::Unchecked => f.write_str(
                "only addresses are allowed here, and this outbound leaves names to others",
            ),
            DispatchError::Unreachable(_) => f.write_str("target cannot be reached"),
            DispatchError::Link(_) => f.write_str("connection failed"),
            DispatchError::Other(_) => f.write_str("connection was not made"),
        }
    }
}

impl Error for DispatchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            DispatchError::Refused(_) | DispatchError::Forbidden(_) | DispatchError::Unchecked => {
                None
            }
            DispatchError::Unreachable(inner) => Some(inner),
            DispatchError::Link(inner) => Some(inner),
            DispatchError::Other(inner) => Some(inner.as_ref()),
        }
    }
}

impl From<LinkError> for DispatchError {
    fn from(e: LinkError) -> Self {
        DispatchError::Link(e)
    }
}

/// Takes connections somewhere, by whatever rules it has.
pub trait Dispatcher: Send + Sync {
    /// Hears of a carrier's session before it is dispatched. Each is dispatched
    /// on a thread of its own, in no particular order; of this they are told
    /// in the order in which the peer has opened them. Must not wait.
    ///
    /// Returns whether the session serves the carrier itself, and is no reason
    /// to keep it.
    fn opening(&self, _request: &Request) -> bool {
        false
    }

    /// Carries `link` to the request's target and back, on the calling
    /// thread, until both directions have ended.
    ///
    /// # Errors
    /// Says why the connection did not come about or was cut; both halves of
    /// `link` have been aborted then.
    fn dispatch(&self, request: &Request, link: Link) -> Result<(), DispatchError>;

    /// Opens a link to the request's target, for callers that speak
    /// themselves on it, such as a mux carrier.
    ///
    /// # Errors
    /// Says why the connection did not come about.
    fn connect(&self, request: &Request) -> Result<Link, DispatchError>;
}

/// How the server does that an outbound leads to, as far as connections to it
/// have shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Health {
    /// The round trip to it, if one was measured lately.
    pub round_trip: Option<Duration>,
    /// When it could last not be reached, unless it has been since.
    pub failed: Option<Instant>,
}

/// One way out, known by its tag.
pub trait Outbound: Send + Sync {
    /// Its name in routing rules.
    fn tag(&self) -> &str;

    /// Whether it dials targets itself, and of the addresses that it finds
    /// only those that are [allowed](Request::allowed). Of the others' requests
    /// the router judges, by what it knows of the target.
    fn heeds_allowed(&self) -> bool {
        false
    }

    /// What is known of the server that it leads to; `None` if it leads to
    /// none. Must not wait.
    fn health(&self) -> Option<Health> {
        None
    }

    /// Opens a link to the request's target.
    ///
    /// # Errors
    /// As [`Dispatcher::connect`].
    fn connect(&self, request: &Request) -> Result<Link, DispatchError>;

    /// Carries `link` to the request's target and back, as
    /// [`Dispatcher::dispatch`]. By default: connects and relays.
    ///
    /// # Errors
    /// As [`Dispatcher::dispatch`].
    fn dispatch(&self, request: &Request, link: Link) -> Result<(), DispatchError> {
        let far = self.connect(request)?;
        Ok(relay(link, far)?)
    }

    /// Ends what it keeps running and waits for it; new requests fail.
    fn close(&self) {}
}
