use std::sync::Arc;

use log::debug;

use super::SniffingOptions;
use super::look::look;
use super::wire::{Protocol, Sniffed};
use crate::link::{DispatchError, Dispatcher, Link, Request};
use crate::net::{Address, Destination, Domain, Network};

/// Tells the dispatcher behind it what streams are about, and may send them
/// where their payload says instead of where was asked for (section 5.4).
///
/// A request whose target was replaced so [says so](Request::is_sniffed).
/// Streams on which the server speaks first are held up a little while;
/// datagrams are not looked at.
pub struct Sniffer {
    inner: Arc<dyn Dispatcher>,
    options: SniffingOptions,
}

impl Sniffer {
    /// A dispatcher in front of `inner`.
    pub fn new(inner: Arc<dyn Dispatcher>, options: SniffingOptions) -> Self {
        Self { inner, options }
    }

    /// What is known of the request now.
    fn informed(&self, request: &Request, sniffed: Sniffed) -> Request {
        let Sniffed { protocol, host } = sniffed;
        let asked = request.target.address.domain();
        let host = host.filter(|host| Some(host.as_str()) != asked && self.counts(protocol, host));
        let request = match host {
            None => request.clone(),
            Some(host) if self.options.route_only => Request {
                routed_as: Some(host),
                ..request.clone()
            },
            Some(host) => request.sniffed(Destination {
                address: Address::Domain(host),
                ..request.target.clone()
            }),
        };
        Request {
            protocol: Some(protocol.name().into()),
            ..request
        }
    }

    /// Whether a name that was found is to be heeded.
    fn counts(&self, protocol: Protocol, host: &Domain) -> bool {
        let wanted = match protocol {
            Protocol::Http => self.options.http,
            Protocol::Tls => self.options.tls,
            Protocol::BitTorrent => false,
        };
        wanted && !self.options.excluded.contains(host)
    }
}

impl Dispatcher for Sniffer {
    fn opening(&self, request: &Request) -> bool {
        self.inner.opening(request)
    }

    fn dispatch(&self, request: &Request, link: Link) -> Result<(), DispatchError> {
        if request.target.network == Network::Udp {
            return self.inner.dispatch(request, link);
        }
        let (reader, sniffed) = look(link.reader)?;
        let link = Link { reader, ..link };
        let Some(sniffed) = sniffed else {
            return self.inner.dispatch(request, link);
        };
        let request = self.informed(request, sniffed);
        debug!(
            "[{}] {:?} to {}",
            request.id, request.protocol, request.target
        );
        self.inner.dispatch(&request, link)
    }

    /// Who connects speaks the protocol itself, and knows the host.
    fn connect(&self, request: &Request) -> Result<Link, DispatchError> {
        self.inner.connect(request)
    }
}
