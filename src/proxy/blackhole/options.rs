/// What a visitor gets to see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Response {
    /// Nothing.
    #[default]
    None,
    /// `HTTP/1.1 403 Forbidden`.
    Http,
}

/// Settings of a blackhole outbound (section 3.6).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutboundOptions {
    /// What a visitor gets to see.
    pub response: Response,
}
