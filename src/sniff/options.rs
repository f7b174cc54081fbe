use crate::net::Domain;

/// What becomes of the names that are found (`sniffing` of an inbound).
///
/// The protocol is known to the rules in any case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SniffingOptions {
    /// A name out of a Host field replaces the target's.
    pub http: bool,
    /// A server name of TLS does.
    pub tls: bool,
    /// Rules go by the name, but the target stays as it was asked for.
    pub route_only: bool,
    /// Names that replace nothing, in lower case.
    pub excluded: Vec<Domain>,
}
