//! `streamSettings`: what stands on a TCP connection.

use super::error::ConfigError;
use super::json::Node;
use super::notes::Notes;
use super::read::{Fields, Keys};
use super::tls;
use super::words::quoted;
use super::ws;
use crate::transport::stream::{Framing, Security, StreamOptions};
use crate::transport::ws::Options;

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
    known: &["tproxy", PROXIED],
    unsupported: &[
        ("mark", ""),
        ("tcpFastOpen", ""),
        ("tcpKeepAliveInterval", "keepalives are always on"),
        ("tcpKeepAliveIdle", "keepalives are always on"),
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
pub(super) fn read(
    node: Option<&Node>,
    end: End,
    notes: &mut Notes,
) -> Result<StreamOptions, ConfigError> {
    let mut options = StreamOptions::default();
    let Some(node) = node else {
        return Ok(options);
    };
    let fields = Fields::open(node, &STREAM)?;
    let in_vain = (end == End::Client).then_some(NO_VISITORS);
    let (framing, mut proxied) = framing(&fields, in_vain, notes)?;
    options.framing = framing;
    options.security = security(&fields, end, notes)?;
    let is_ws = matches!(options.framing, Framing::Ws(_));
    let on_tcp = in_vain.or(is_ws.then_some(NO_TCP));
    for settings in [fields.get("tcpSettings"), fields.get("rawSettings")] {
        proxied |= settings.map_or(Ok(false), |node| tcp(node, on_tcp, notes))?;
    }
    let socket = fields.get("sockopt");
    proxied |= socket.map_or(Ok(false), |node| sockopt(node, in_vain, notes))?;
    options.accept_proxy_protocol = proxied;
    fields.finish()?;
    Ok(options)
}

/// Whether PROXY headers are to be read, if that is not in vain.
pub(super) fn proxied(
    fields: &Fields<'_>,
    in_vain: Option<&str>,
    notes: &mut Notes,
) -> Result<bool, ConfigError> {
    let Some(node) = fields.get(PROXIED) else {
        return Ok(false);
    };
    let is_set = node.boolean()?;
    if let Some(why) = in_vain.filter(|_| is_set) {
        notes.add(&node.mark, why);
        return Ok(false);
    }
    Ok(is_set)
}

/// What connections are framed in, and whether that reads PROXY headers.
fn framing(
    fields: &Fields<'_>,
    in_vain: Option<&str>,
    notes: &mut Notes,
) -> Result<(Framing, bool), ConfigError> {
    let is_ws = fields.get("network").map_or(Ok(false), is_websocket)?;
    let settings = fields.get("wsSettings");
    if !is_ws {
        if let Some(settings) = settings.filter(|settings| !settings.is_empty()) {
            notes.add(&settings.mark, NO_WS);
        }
        return Ok((Framing::None, false));
    }
    let (options, proxied) = match settings {
        Some(settings) => ws::read(settings, in_vain, notes)?,
        None => (Options::default(), false),
    };
    Ok((Framing::Ws(options), proxied))
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

fn security(fields: &Fields<'_>, end: End, notes: &mut Notes) -> Result<Security, ConfigError> {
    let encrypted = fields.get("security").map_or(Ok(false), is_tls)?;
    let settings = fields.get("tlsSettings");
    if !encrypted {
        if let Some(settings) = settings.filter(|settings| !settings.is_empty()) {
            notes.add(&settings.mark, NO_TLS);
        }
        return Ok(Security::None);
    }
    let options = match settings {
        Some(settings) => tls::read(settings, end, notes),
        None => tls::none(fields.node(), end),
    };
    Ok(Security::Tls(Box::new(options?)))
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
fn tcp(node: &Node, in_vain: Option<&str>, notes: &mut Notes) -> Result<bool, ConfigError> {
    let fields = Fields::open(node, &TCP)?;
    if let Some(header) = fields.get("header") {
        let header = Fields::open(header, &HEADER)?;
        header.get("type").map_or(Ok(()), header_type)?;
        header.finish()?;
    }
    let proxied = proxied(&fields, in_vain, notes)?;
    fields.finish()?;
    Ok(proxied)
}

fn header_type(node: &Node) -> Result<(), ConfigError> {
    if node.string()?.eq_ignore_ascii_case("http") {
        return Err(node.error("the header \"http\" is not supported by muxcool"));
    }
    node.choice("header", &[("none", ())])
}

/// Returns whether PROXY headers are read.
fn sockopt(node: &Node, in_vain: Option<&str>, notes: &mut Notes) -> Result<bool, ConfigError> {
    let fields = Fields::open(node, &SOCKOPT)?;
    if let Some(tproxy) = fields.get("tproxy") {
        let supported = tproxy.choice(
            "value",
            &[
                ("off", true),
                ("", true),
                ("tproxy", false),
                ("redirect", false),
            ],
        )?;
        if !supported {
            return Err(tproxy
                .error("transparent proxying is not supported by muxcool")
                .help("use \"off\""));
        }
    }
    let proxied = proxied(&fields, in_vain, notes)?;
    fields.finish()?;
    Ok(proxied)
}
