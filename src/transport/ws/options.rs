/// Settings of WebSocket connections (`wsSettings`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What is asked for, and what visitors have to ask for. Begins with `/`;
    /// a query, behind `?`, is not compared.
    pub path: String,
    /// Fields of the request, by name. `Host` replaces the server's name.
    pub headers: Vec<(String, String)>,
}

impl Options {
    /// The path without its query.
    pub fn bare_path(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }

    /// Whether `name` can be that of a header field.
    pub fn is_field_name(name: &str) -> bool {
        const OTHERS: &[u8] = b"!#$%&'*+-.^_`|~";
        let is_token = |b: u8| b.is_ascii_alphanumeric() || OTHERS.contains(&b);
        !name.is_empty() && name.bytes().all(is_token)
    }

    /// Whether the request has a field of this name anyway, other than `Host`.
    pub fn has_field_itself(name: &str) -> bool {
        const OURS: [&str; 8] = [
            "connection",
            "upgrade",
            "sec-websocket-key",
            "sec-websocket-version",
            "sec-websocket-extensions",
            "sec-websocket-protocol",
            "content-length",
            "transfer-encoding",
        ];
        OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours))
    }

    /// The name in `headers` that the request goes to.
    pub fn host(&self) -> Option<&str> {
        let mut fields = self.headers.iter();
        let host = fields.find(|(name, _)| name.eq_ignore_ascii_case("host"));
        host.map(|(_, value)| value.as_str())
    }
}

/// The path `/` and no header fields, as in V2Ray.
impl Default for Options {
    fn default() -> Self {
        Self {
            path: "/".to_owned(),
            headers: Vec::new(),
        }
    }
}
