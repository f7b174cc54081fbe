//! `protocol`, of inbounds and outbounds.

use super::error::ConfigError;
use super::json::Node;
use super::words::quoted;

/// The protocols that may be named.
pub(super) struct Known<T: 'static> {
    pub(super) supported: &'static [(&'static str, T)],
    /// Names that Xray has given to some of them since.
    pub(super) newer: &'static [(&'static str, T)],
    /// Those of V2Ray and Xray that we do not speak.
    pub(super) unsupported: &'static [&'static str],
}

/// Reads the name of a protocol, in any case.
pub(super) fn read<T: Copy>(node: &Node, known: &Known<T>) -> Result<T, ConfigError> {
    let text = node.string()?;
    let is_meant = |(name, _): &&(&str, T)| name.eq_ignore_ascii_case(text);
    if let Some((_, protocol)) = known.newer.iter().find(is_meant) {
        return Ok(*protocol);
    }
    if known
        .unsupported
        .iter()
        .any(|name| name.eq_ignore_ascii_case(text))
    {
        let names: Vec<&str> = known.supported.iter().map(|(name, _)| *name).collect();
        return Err(node
            .error(format!("{} is not supported by muxcool", quoted(text)))
            .help(format!("it speaks {}", names.join(", "))));
    }
    node.choice("protocol", known.supported)
}
