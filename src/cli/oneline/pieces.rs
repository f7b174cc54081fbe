//! Pieces of configurations.

use std::fmt;
use std::net::SocketAddr;

use super::forms::HostPort;
use super::identity::Identity;
use super::json::{Json, object};
use super::token::Token;
use crate::net::{Address, Network};

/// The name that bridges ask their portal for. Nothing under `.invalid` can be
/// anybody's (RFC 6761), so nothing is ever looked up outside.
pub(super) const TUNNEL: &str = "bridge.muxcool.invalid";

/// Of the outbound that everything goes to that is not meant to go anywhere.
const NOWHERE: &str = "nowhere";

/// The target by which a visitor's connection says which service it wants.
pub(super) fn service(name: &str) -> HostPort {
    let host = format!("{name}.service.muxcool.invalid").parse();
    HostPort {
        host: host.unwrap_or(Address::LOCALHOST), // never: a service's name is a label
        port: 1,
    }
}

pub(super) fn configuration(parts: Vec<(&'static str, Json)>) -> Json {
    let log = [("log", object! { "loglevel": "info" })];
    Json::Object(log.into_iter().chain(parts).collect())
}

/// VLESS in TLS, for who has the token.
pub(super) fn entrance(tag: &str, at: SocketAddr, identity: &Identity) -> Json {
    let certificate = object! {
        "certificate": Json::texts(identity.certificate.lines()),
        "key": Json::texts(identity.key.lines()),
    };
    let client = object! { "id": Json::text(identity.id) };
    object! {
        "tag": tag,
        "listen": Json::text(at.ip()),
        "port": at.port(),
        "protocol": "vless",
        "settings": object! { "decryption": "none", "clients": Json::List(vec![client]) },
        "streamSettings": object! {
            "network": "tcp",
            "security": "tls",
            "tlsSettings": object! { "certificates": Json::List(vec![certificate]) },
        },
    }
}

/// The way to where tokens are from. Their machines take turns, and one that
/// cannot be reached is passed over.
pub(super) fn way_to(tag: &str, tokens: &[Token]) -> Vec<(&'static str, Json)> {
    let servers: Json = tokens.iter().flat_map(servers).collect();
    let pins = Json::texts(tokens.iter().map(|token| token.pin));
    vec![
        ("tag", tag.into()),
        ("protocol", "vless".into()),
        ("settings", object! { "vnext": servers }),
        (
            "streamSettings",
            object! {
                "network": "tcp",
                "security": "tls",
                "tlsSettings": object! {
                    "pinnedPeerCertificateChainSha256": pins,
                    "allowInsecureIfPinnedPeerCertificate": Json::Flag(true),
                },
            },
        ),
    ]
}

/// The machine that a token is from, by each of its names.
fn servers(token: &Token) -> impl Iterator<Item = Json> {
    token.hosts.iter().map(|host| {
        let user = object! { "id": Json::text(token.id), "encryption": "none" };
        object! {
            "address": Json::text(host),
            "port": token.port,
            "users": Json::List(vec![user]),
        }
    })
}

/// A port behind which there is one target.
pub(super) fn door(tag: &str, at: SocketAddr, target: &HostPort, network: Network) -> Json {
    object! {
        "tag": tag,
        "listen": Json::text(at.ip()),
        "port": at.port(),
        "protocol": "dokodemo-door",
        "settings": object! {
            "address": Json::text(bare(target)),
            "port": target.port,
            "network": Json::text(network),
        },
    }
}

pub(super) fn nowhere() -> Json {
    object! { "tag": NOWHERE, "protocol": "blackhole" }
}

/// What comes in by one of `inbounds`, and meets `conditions`, leaves by
/// `outbound`.
pub(super) fn rule<T: fmt::Display>(
    inbounds: &[T],
    conditions: Vec<(&'static str, Json)>,
    outbound: &str,
) -> Json {
    let first = [
        ("type", "field".into()),
        ("inboundTag", Json::texts(inbounds)),
    ];
    let last = [("outboundTag", outbound.into())];
    let members = first.into_iter().chain(conditions).chain(last);
    Json::Object(members.collect())
}

/// Tags for the doors to services: the name and the network, and the port where
/// these are not enough.
pub(super) fn door_tag(taken: &[String], name: &str, network: Network, port: u16) -> String {
    let short = format!("{name}/{network}");
    let long = format!("{short}/{port}");
    let mut tags = [short, long.clone()].into_iter();
    let free = tags.find(|tag| !taken.contains(tag));
    free.unwrap_or_else(|| format!("{long}/{}", taken.len()))
}

/// IPv6 without brackets, as in V2Ray.
fn bare(target: &HostPort) -> String {
    match target.host.ip() {
        Some(ip) => ip.to_string(),
        None => target.host.to_string(),
    }
}
