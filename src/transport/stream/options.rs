use crate::transport::tls;
use crate::transport::ws;

/// What stands on a TCP connection (`streamSettings`), from the bottom up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamOptions {
    /// Whether visitors come through somebody who says in a PROXY header in
    /// front of everything else who they are (`acceptProxyProtocol`). A
    /// connection without one is ended. Of no meaning where we connect.
    pub accept_proxy_protocol: bool,
    /// What keeps it secret (`security`).
    pub security: Security,
    /// What the bytes are put into (`network`).
    pub framing: Framing,
}

impl StreamOptions {
    /// Tells versions of the files apart that it names.
    pub(crate) fn stamps(&self) -> Vec<tls::Stamp> {
        match &self.security {
            Security::None => Vec::new(),
            Security::Tls(options) => options.stamps(),
        }
    }

    /// TLS as it is under the framing: what is not HTTP/2 must not agree on it.
    pub(super) fn tls(&self) -> Option<tls::Options> {
        let Security::Tls(options) = &self.security else {
            return None;
        };
        let mut options = tls::Options::clone(options);
        if let Framing::Ws(_) = self.framing {
            let http = || vec!["http/1.1".to_owned()];
            options.alpn.get_or_insert_with(http);
        }
        Some(options)
    }
}

/// What keeps a connection secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Security {
    /// Nothing.
    #[default]
    None,
    /// TLS.
    Tls(Box<tls::Options>),
}

/// What the bytes of a connection are put into.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Framing {
    /// Nothing: they are sent as they are.
    #[default]
    None,
    /// WebSocket messages.
    Ws(ws::Options),
}
