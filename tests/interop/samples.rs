//! `examples/published`, and what has to be changed to run them on one machine.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use super::support::certificate::Certificate;

/// What stands for every server that a sample names.
pub const SERVER: &str = "server.example.com";

const LOOPBACK: &str = "127.0.0.1";

/// Those private addresses that tests come across.
const PRIVATE: [&str; 5] = [
    "10.0.0.0/8",
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::1/128",
];

/// Names of Xray, and of V2Ray, for the same keys.
const RENAMED: [(&str, &str); 4] = [
    ("rewriteAddress", "address"),
    ("rewritePort", "port"),
    ("allowedNetwork", "network"),
    ("users", "clients"),
];

/// All files.
pub fn paths() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).expect("the samples");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let is_json = |path: &PathBuf| path.extension().is_some_and(|end| end == "json");
    paths.filter(is_json).collect()
}

/// The text of one, whose comments have lines of their own.
pub fn read(name: &str) -> Value {
    let text = fs::read_to_string(folder().join(format!("{name}.json"))).expect(name);
    let is_text = |line: &&str| !line.trim_start().starts_with("//");
    let text: String = text.lines().filter(is_text).collect();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Brings everything to this machine: servers, listeners, the service, and a
/// certificate for all of them. `free` gives the port for one in the sample.
pub fn settle(
    text: &mut Value,
    certificate: &Certificate,
    service: SocketAddr,
    mut free: impl FnMut(u64) -> u16,
) {
    for inbound in each(text, "inbounds") {
        inbound.insert("listen".to_owned(), LOOPBACK.into());
        settle_port(inbound, &mut free);
        if let Some(settings) = object(inbound, "settings") {
            settle_door(settings, service);
        }
        if let Some(tls) = tls(inbound) {
            let shown = certificate.shown();
            tls.insert(
                "certificates".to_owned(),
                shown["tlsSettings"]["certificates"].clone(),
            );
        }
    }
    for outbound in each(text, "outbounds") {
        if let Some(settings) = object(outbound, "settings") {
            settle_outbound(settings, service, &mut free);
        }
        if let Some(tls) = tls(outbound) {
            let trusted = certificate.trusted();
            let trusted = trusted["tlsSettings"].as_object().expect("an object");
            tls.extend(trusted.clone());
        }
    }
}

/// The target of a door.
fn settle_door(settings: &mut Map<String, Value>, service: SocketAddr) {
    for (address, port) in [("address", "port"), ("rewriteAddress", "rewritePort")] {
        if settings.contains_key(address) {
            settings.insert(address.to_owned(), service.ip().to_string().into());
            settings.insert(port.to_owned(), service.port().into());
        }
    }
}

fn settle_outbound(
    settings: &mut Map<String, Value>,
    service: SocketAddr,
    free: &mut impl FnMut(u64) -> u16,
) {
    if settings.contains_key("redirect") {
        settings.insert("redirect".to_owned(), service.to_string().into());
    }
    for rule in elements(settings, "finalRules").filter(|rule| rule.contains_key("port")) {
        rule.insert("port".to_owned(), service.port().into());
    }
    if settings.contains_key("address") {
        settle_server(settings, free);
    }
    for server in elements(settings, "vnext") {
        settle_server(server, free);
    }
}

fn settle_server(server: &mut Map<String, Value>, free: &mut impl FnMut(u64) -> u16) {
    server.insert("address".to_owned(), LOOPBACK.into());
    settle_port(server, free);
}

/// Some samples have it in quotes.
fn settle_port(of: &mut Map<String, Value>, free: &mut impl FnMut(u64) -> u16) {
    let port = match &of["port"] {
        Value::String(digits) => digits.parse().expect("a port"),
        number => number.as_u64().expect("a port"),
    };
    of.insert("port".to_owned(), free(port).into());
}

/// V2Ray 4 does not know the spellings of Xray, and has no lists of addresses
/// without a file. Of an "alterId" above 0 its clients make the old header,
/// which muxcool refuses; they need 0, as the samples say.
pub fn put_in_words_of_v2ray(text: &mut Value) {
    for inbound in each(text, "inbounds") {
        if inbound.get("protocol") == Some(&json!("tunnel")) {
            inbound.insert("protocol".to_owned(), "dokodemo-door".into());
        }
        for (newer, older) in RENAMED {
            let settings = object(inbound, "settings");
            if let Some(settings) = settings
                && let Some(value) = settings.remove(newer)
            {
                settings.insert(older.to_owned(), value);
            }
        }
    }
    for outbound in each(text, "outbounds") {
        let Some(settings) = object(outbound, "settings") else {
            continue;
        };
        put_server_into_list(settings);
        for server in elements(settings, "vnext") {
            for user in elements(server, "users") {
                user.insert("alterId".to_owned(), 0.into());
            }
        }
    }
    let rules = text.pointer_mut("/routing/rules");
    for rule in rules.and_then(Value::as_array_mut).into_iter().flatten() {
        rule["type"] = "field".into();
        if rule["ip"] == json!(["geoip:private"]) {
            rule["ip"] = json!(PRIVATE);
        }
        // Where there are none, indexing has made one.
        if rule["ip"].is_null() {
            rule.as_object_mut().expect("a rule").remove("ip");
        }
    }
}

fn put_server_into_list(settings: &mut Map<String, Value>) {
    let (Some(address), Some(port)) = (settings.remove("address"), settings.remove("port")) else {
        return;
    };
    let user = std::mem::take(settings);
    settings.insert(
        "vnext".to_owned(),
        json!([{ "address": address, "port": port, "users": [user] }]),
    );
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/published")
}

fn each<'a>(text: &'a mut Value, list: &str) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    let entries = text.get_mut(list).and_then(Value::as_array_mut);
    entries
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
}

fn elements<'a>(
    of: &'a mut Map<String, Value>,
    list: &str,
) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    let entries = of.get_mut(list).and_then(Value::as_array_mut);
    entries
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
}

fn object<'a>(of: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Map<String, Value>> {
    of.get_mut(key).and_then(Value::as_object_mut)
}

fn tls(of: &mut Map<String, Value>) -> Option<&mut Map<String, Value>> {
    let stream = object(of, "streamSettings")?;
    object(stream, "tlsSettings")
}
