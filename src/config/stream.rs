//! `streamSettings`: what stands on a TCP connection.

use super::error::ConfigError;
use super::json::Node;
use super::notes::Notes;
use super::read::{Fields, Keys};
use super::tls;
use super::words::quoted;
use super::ws;
use crate::transport::stream::{Framing, Security, StreamOptions};

/// Which end of a connection something is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// An outbound.
    Client,
    /// An inbound.
    Server,
}

const STREAM: Keys = Keys {
    known: &[
        "network",
        "security",
        "tlsSettings",
        "tcpSettings",
        "rawSettings",
        "wsSettings",
        "sockopt",
    ],
    unsupported: &[
        ("xtlsSettings", ONLY_TLS),
        ("realitySettings", ONLY_TLS),
        ("kcpSettings", ONLY_THESE),
        ("httpSettings", ONLY_THESE),
        ("dsSettings", ONLY_THESE),
        ("quicSettings", ONLY_THESE),
        ("grpcSettings", ONLY_THESE),
        ("gunSettings", ONLY_THESE),
        ("xhttpSettings", ONLY_THESE),
        ("splithttpSettings", ONLY_THESE),
        ("httpupgradeSettings", ONLY_THESE),
    ],
};

const TCP: Keys = Keys {
    known: &["header", PROXIED],
    unsupported: &[],
};

const HEADER: Keys = Keys {
    known: &["type"],
    unsupported: &[("request", ""), ("response", "")],
};

const SOCKOPT: Keys = Keys {
    known: &[
        "tproxy",
        PROXIED,
        "tcpFastOpen",
        "tcpKeepAliveInterval",
        "tcpKeepAliveIdle",
    ],
    unsupported: &[
        ("mark", ""),
        ("tcpUserTimeout", ""),
        ("tcpCongestion", ""),
        ("dialerProxy", ""),
        ("interface", ""),
        ("domainStrategy", ""),
    ],
};

/// Whether PROXY headers are read.
pub(super) const PROXIED: &str = "acceptProxyProtocol";

const ONLY_TLS: &str = "use \"tls\"";
const NO_TLS: &str = "has no effect: \"security\" is not \"tls\"";
const NO_WS: &str = "has no effect: \"network\" is not \"ws\"";
const NO_TCP: &str = "has no effect: \"network\" is not \"tcp\"";
const NO_VISITORS: &str = "has no effect: nobody connects to an outbound";
const NO_FAST_OPEN: &str = "has no effect: connections begin in the usual way";
const NO_KEEPALIVE: &str = "has no effect: keepalives are always on, at times of muxcool's own";
const ONLY_THESE: &str = "the networks are \"tcp\" and \"ws\"";

/// What V2Ray and Xray can put a connection on, and we cannot.
const OTHER_NETWORKS: [&str; 13] = [
    "kcp",
    "mkcp",
    "h2",
    "http",
    "ds",
    "domainsocket",
    "quic",
    "grpc",
    "gun",
    "xhttp",
    "splithttp",
    "httpupgrade",
    "hysteria",
];

/// Reads `streamSettings`; plain TCP if there are none.
pub(super) fn read(node: Option<&Node>, end: End, notes: &Notes) -> StreamOptions {
    let Some(fields) = node.and_then(|node| Fields::open(node, &STREAM, notes)) else {
        return StreamOptions::default();
    };
    let in_vain = (end == End::Client).then_some(NO_VISITORS);
    let (framing, mut proxied) = framing(&fields, in_vain);
    let is_ws = matches!(framing, Framing::Ws(_));
    let on_tcp = in_vain.or(is_ws.then_some(NO_TCP));
    for settings in ["tcpSettings", "rawSettings"] {
        proxied |= tcp(fields.get(settings), on_tcp, notes);
    }
    proxied |= sockopt(fields.get("sockopt"), in_vain, notes);
    StreamOptions {
        framing,
        security: security(&fields, end),
        accept_proxy_protocol: proxied,
    }
}

/// Whether PROXY headers are to be read, if that is not in vain.
pub(super) fn proxied(fields: &Fields<'_>, in_vain: Option<&str>) -> bool {
    let is_set = fields.flag(PROXIED);
    match (fields.get(PROXIED), in_vain) {
        (Some(node), Some(why)) if is_set => {
            fields.notes().add(&node.mark, why);
            false
        }
        _ => is_set,
    }
}

/// What connections are framed in, and whether that reads PROXY headers.
fn framing(fields: &Fields<'_>, in_vain: Option<&str>) -> (Framing, bool) {
    let is_ws = fields.read_or("network", false, is_websocket);
    let settings = fields.get("wsSettings");
    if is_ws == Some(false) {
        if let Some(settings) = settings.filter(|settings| !settings.is_empty()) {
            fields.notes().add(&settings.mark, NO_WS);
        }
        return (Framing::None, false);
    }
    let read = settings.and_then(|node| ws::read(node, in_vain, fields.notes()));
    let (options, proxied) = read.unwrap_or_default();
    (Framing::Ws(options), proxied)
}

/// "raw" is Xray's newer name for "tcp".
fn is_websocket(node: &Node) -> Result<bool, ConfigError> {
    let text = node.string()?;
    let others = &OTHER_NETWORKS;
    if others.iter().any(|name| name.eq_ignore_ascii_case(text)) {
        let what = format!("the network {} is not supported by muxcool", quoted(text));
        return Err(node.error(what).help(ONLY_THESE));
    }
    if text.is_empty() {
        return Ok(false);
    }
    let names = [
        ("tcp", false),
        ("raw", false),
        ("ws", true),
        ("websocket", true),
    ];
    node.choice("network", &names)
}

/// What is wrong is as good as none, so that nobody looks for its files.
fn security(fields: &Fields<'_>, end: End) -> Security {
    let encrypted = fields.read_or("security", false, is_tls);
    let settings = fields.get("tlsSettings");
    if encrypted == Some(false) {
        if let Some(settings) = settings.filter(|settings| !settings.is_empty()) {
            fields.notes().add(&settings.mark, NO_TLS);
        }
        return Security::None;
    }
    let options = match settings {
        Some(settings) => tls::read(settings, end, fields.notes()),
        None if fields.is_asked_for("tlsSettings") => None,
        None => encrypted.and_then(|_| tls::none(fields, end)),
    };
    options.map_or(Security::None, |options| Security::Tls(Box::new(options)))
}

/// V2Ray takes every unknown word for "no encryption".
fn is_tls(node: &Node) -> Result<bool, ConfigError> {
    match node.string()? {
        text if text.is_empty() || text.eq_ignore_ascii_case("none") => Ok(false),
        text if text.eq_ignore_ascii_case("tls") => Ok(true),
        text => Err(node
            .error(format!("{} is not supported by muxcool", quoted(text)))
            .help(
                "V2Ray would silently send plaintext here; use \"tls\", or \"none\" if that is \
                 meant",
            )),
    }
}

/// Returns whether PROXY headers are read.
fn tcp(node: Option<&Node>, in_vain: Option<&str>, notes: &Notes) -> bool {
    let Some(fields) = node.and_then(|node| Fields::open(node, &TCP, notes)) else {
        return false;
    };
    let header = fields.get("header");
    if let Some(header) = header.and_then(|node| Fields::open(node, &HEADER, notes)) {
        header.read("type", header_type);
    }
    proxied(&fields, in_vain)
}

fn header_type(node: &Node) -> Result<(), ConfigError> {
    if node.string()?.eq_ignore_ascii_case("http") {
        return Err(node.error("the header \"http\" is not supported by muxcool"));
    }
    node.choice("header", &[("none", ())])
}

/// Returns whether PROXY headers are read.
fn sockopt(node: Option<&Node>, in_vain: Option<&str>, notes: &Notes) -> bool {
    let Some(fields) = node.and_then(|node| Fields::open(node, &SOCKOPT, notes)) else {
        return false;
    };
    fields.read("tproxy", transparent);
    fields.pass_over("tcpFastOpen", NO_FAST_OPEN);
    fields.pass_over("tcpKeepAliveInterval", NO_KEEPALIVE);
    fields.pass_over("tcpKeepAliveIdle", NO_KEEPALIVE);
    proxied(&fields, in_vain)
}

fn transparent(node: &Node) -> Result<(), ConfigError> {
    let names = [
        ("off", true),
        ("", true),
        ("tproxy", false),
        ("redirect", false),
    ];
    match node.choice("value", &names)? {
        true => Ok(()),
        false => Err(node
            .error("transparent proxying is not supported by muxcool")
            .help("use \"off\"")),
    }
}
