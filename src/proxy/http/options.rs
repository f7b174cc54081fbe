use crate::proxy::socks::Account;

/// Settings of an HTTP inbound (section 3.3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InboundOptions {
    /// Who may use it; everybody if empty.
    pub accounts: Vec<Account>,
    /// Whether requests in origin form are forwarded to their Host.
    pub allow_transparent: bool,
}
