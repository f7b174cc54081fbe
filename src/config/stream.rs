//! `streamSettings`: what stands on a TCP connection. As yet nothing can.

use super::error::ConfigError;
use super::json::Node;
use super::read::{Fields, Keys};
use super::words::quoted;
use crate::transport::stream::StreamOptions;

const STREAM: Keys = Keys {
    known: &[
        "network",
        "security",
        "tcpSettings",
        "rawSettings",
        "sockopt",
    ],
    unsupported: &[
        ("tlsSettings", NO_TLS),
        ("xtlsSettings", NO_TLS),
        ("realitySettings", NO_TLS),
        ("kcpSettings", ONLY_TCP),
        ("wsSettings", ONLY_TCP),
        ("httpSettings", ONLY_TCP),
        ("dsSettings", ONLY_TCP),
        ("quicSettings", ONLY_TCP),
        ("grpcSettings", ONLY_TCP),
        ("gunSettings", ONLY_TCP),
        ("xhttpSettings", ONLY_TCP),
        ("splithttpSettings", ONLY_TCP),
        ("httpupgradeSettings", ONLY_TCP),
    ],
};

const TCP: Keys = Keys {
    known: &["header"],
    unsupported: &[("acceptProxyProtocol", "")],
};

const HEADER: Keys = Keys {
    known: &["type"],
    unsupported: &[("request", ""), ("response", "")],
};

const SOCKOPT: Keys = Keys {
    known: &["tproxy"],
    unsupported: &[
        ("mark", ""),
        ("tcpFastOpen", ""),
        ("acceptProxyProtocol", ""),
        ("tcpKeepAliveInterval", "keepalives are always on"),
        ("tcpKeepAliveIdle", "keepalives are always on"),
        ("tcpUserTimeout", ""),
        ("tcpCongestion", ""),
        ("dialerProxy", ""),
        ("interface", ""),
        ("domainStrategy", ""),
    ],
};

const NO_TLS: &str = "connections are not encrypted yet";
const ONLY_TCP: &str = "the only network is \"tcp\"";

/// What V2Ray and Xray can put a connection on, and we cannot.
const OTHER_NETWORKS: [&str; 15] = [
    "kcp",
    "mkcp",
    "ws",
    "websocket",
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
pub(super) fn read(node: Option<&Node>) -> Result<StreamOptions, ConfigError> {
    let options = StreamOptions::default();
    let Some(node) = node else {
        return Ok(options);
    };
    let fields = Fields::open(node, &STREAM)?;
    fields.get("network").map_or(Ok(()), network)?;
    fields.get("security").map_or(Ok(()), security)?;
    fields.get("tcpSettings").map_or(Ok(()), tcp)?;
    fields.get("rawSettings").map_or(Ok(()), tcp)?;
    fields.get("sockopt").map_or(Ok(()), sockopt)?;
    fields.finish()?;
    Ok(options)
}

/// "raw" is Xray's newer name for "tcp".
fn network(node: &Node) -> Result<(), ConfigError> {
    let text = node.string()?;
    let others = &OTHER_NETWORKS;
    if others.iter().any(|name| name.eq_ignore_ascii_case(text)) {
        let what = format!("the network {} is not supported by muxcool", quoted(text));
        return Err(node.error(what).help(ONLY_TCP));
    }
    if text.is_empty() {
        return Ok(());
    }
    node.choice("network", &[("tcp", ()), ("raw", ())])
}

/// V2Ray takes every unknown word for "no encryption".
fn security(node: &Node) -> Result<(), ConfigError> {
    match node.string()? {
        text if text.is_empty() || text.eq_ignore_ascii_case("none") => Ok(()),
        text if text.eq_ignore_ascii_case("tls") => Err(node
            .error("\"tls\" is not supported by muxcool")
            .help(NO_TLS)),
        text => Err(node
            .error(format!("{} is not supported by muxcool", quoted(text)))
            .help("V2Ray would silently send plaintext here; if that is meant, use \"none\"")),
    }
}

fn tcp(node: &Node) -> Result<(), ConfigError> {
    let fields = Fields::open(node, &TCP)?;
    if let Some(header) = fields.get("header") {
        let header = Fields::open(header, &HEADER)?;
        header.get("type").map_or(Ok(()), header_type)?;
        header.finish()?;
    }
    fields.finish()
}

fn header_type(node: &Node) -> Result<(), ConfigError> {
    if node.string()?.eq_ignore_ascii_case("http") {
        return Err(node.error("the header \"http\" is not supported by muxcool"));
    }
    node.choice("header", &[("none", ())])
}

fn sockopt(node: &Node) -> Result<(), ConfigError> {
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
    fields.finish()
}
