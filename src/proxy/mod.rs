//! The protocols that visitors and other proxies speak: one folder each, the
//! pure wire format apart from the handler.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice))]

pub mod blackhole;
pub mod dokodemo;
pub mod freedom;
pub mod http;
pub mod socks;
pub mod vless;
pub mod vmess;

mod error;
mod options;
mod order;
mod servers;
mod stream;
#[cfg(test)]
mod timing;

use std::sync::Arc;
use std::time::Duration;

pub use error::ProxyError;
pub use options::{Client, Server};

use crate::link::{Access, Dispatcher, Request};
use crate::net::{Destination, Origin};
use crate::transport::stream::Connection;
use crate::transport::tcp::Idle;

/// What every inbound is given: its name, where its connections go, and the
/// times of its policy level.
#[derive(Clone)]
pub struct InboundContext {
    /// Its name in routing rules and in the log.
    pub tag: Arc<str>,
    /// Takes its connections further.
    pub dispatcher: Arc<dyn Dispatcher>,
    /// Bound of a visitor's whole handshake.
    pub handshake: Duration,
    /// How long its connections may be idle.
    pub idle: Idle,
    /// Where access lines go, if anywhere.
    pub access: Option<Arc<dyn Access>>,
}

impl InboundContext {
    /// A request that came in here, of nobody in particular.
    pub fn request(&self, target: Destination, origin: Origin) -> Request {
        Request {
            inbound: self.tag.clone(),
            access: self.access.clone(),
            anonymous: true,
            ..Request::new(target).coming_from(origin)
        }
    }
}

/// Serves visitors who connect over TCP, whatever is layered on it.
pub trait Inbound: Send + Sync {
    /// Serves one visitor, on the calling thread, to the end. The connection's
    /// deadline is that of the whole handshake.
    ///
    /// # Errors
    /// Says why the connection ended before its time; the caller logs it.
    fn serve(&self, visitor: Connection) -> Result<(), ProxyError>;
}
