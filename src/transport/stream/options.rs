use crate::transport::tls;

/// What stands on a TCP connection (`streamSettings`), from the bottom up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamOptions {
    /// What keeps it secret (`security`).
    pub security: Security,
    /// What the bytes are put into (`network`).
    pub framing: Framing,
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
}
