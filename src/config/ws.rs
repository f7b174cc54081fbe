//! `wsSettings`: WebSocket.

use super::error::ConfigError;
use super::json::{Member, Node};
use super::notes::Notes;
use super::read::{Fields, Keys};
use super::stream::{self, PROXIED};
use super::words::quoted;
use crate::transport::ws::Options;

const WS: Keys = Keys {
    known: &["path", "headers", "host", PROXIED],
    unsupported: &[
        ("maxEarlyData", NO_EARLY_DATA),
        ("earlyDataHeaderName", NO_EARLY_DATA),
        ("useBrowserForwarding", ""),
        ("heartbeatPeriod", "carriers look after their peers"),
    ],
};

const NO_EARLY_DATA: &str = "leave it out at both ends: there is no early data";

/// Reads `wsSettings`, and whether they have PROXY headers read, if that is not
/// in vain.
pub(super) fn read(node: &Node, in_vain: Option<&str>, notes: &Notes) -> Option<(Options, bool)> {
    let fields = Fields::open(node, &WS, notes)?;
    let mut options = Options::default();
    if let Some(path) = fields.read("path", path) {
        options.path = path;
    }
    let headers = fields.read("headers", Node::members).unwrap_or_default();
    let headers = headers.iter().map(|member| notes.keep(header(member)));
    options.headers = headers.flatten().collect();
    if fields.get("host").is_some_and(|node| !node.is_empty()) {
        options.headers.retain(|(name, _)| !is_host(name));
        let host = fields.read("host", value);
        options
            .headers
            .extend(host.map(|host| ("Host".to_owned(), host)));
    }
    Some((options, stream::proxied(&fields, in_vain)))
}

/// V2Ray puts the slash in front where it is missing.
fn path(node: &Node) -> Result<String, ConfigError> {
    let text = node.string()?;
    if !text.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
        return Err(node
            .error("a path is written in visible ASCII characters, without \"#\"")
            .help("write others as % and two hexadecimal digits"));
    }
    let query = text.split_once('?').map_or("", |(_, query)| query);
    if query.split('&').any(|part| part.starts_with("ed=")) {
        return Err(node
            .error("\"ed\" in the path asks for early data")
            .help(NO_EARLY_DATA));
    }
    Ok(match text.starts_with('/') {
        true => text.to_owned(),
        false => format!("/{text}"),
    })
}

fn header(member: &Member) -> Result<(String, String), ConfigError> {
    let name = &*member.key;
    if !Options::is_field_name(name) {
        let what = format!("{} is no name of a header field", quoted(name));
        return Err(member.mark.error(what));
    }
    if Options::has_field_itself(name) {
        let what = format!("the upgrade has a header field {} of its own", quoted(name));
        return Err(member.mark.error(what).help("leave it out"));
    }
    Ok((name.to_owned(), value(&member.value)?))
}

fn value(node: &Node) -> Result<String, ConfigError> {
    let text = node.string()?;
    match text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) && text.trim() == text {
        true => Ok(text.to_owned()),
        false => {
            Err(node.error("a header field is written in visible ASCII characters on one line"))
        }
    }
}

fn is_host(name: &str) -> bool {
    name.eq_ignore_ascii_case("host")
}
