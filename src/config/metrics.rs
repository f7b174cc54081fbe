//! `metrics`: where monitors ask how the program does. Xray has the key, too,
//! for numbers of its own.

use super::error::ConfigError;
use super::json::Node;
use super::notes::Notes;
use super::plan::MetricsPlan;
use super::read::{Fields, Keys};
use super::words::quoted;

const METRICS: Keys = Keys {
    known: &["listen"],
    unsupported: &[("tag", "use \"listen\": \"127.0.0.1:PORT\"")],
};

const PUBLIC: &str = "whoever can reach this address can see the names of the tunnels, who is at \
                      their other ends, and how much goes through: listen on 127.0.0.1";

/// Reads the object, if there is one.
pub(super) fn read(node: Option<&Node>, notes: &Notes) -> Option<MetricsPlan> {
    let fields = Fields::open(node?, &METRICS, notes)?;
    fields.read("listen", |node| read_address(node, notes))
}

fn read_address(node: &Node, notes: &Notes) -> Result<MetricsPlan, ConfigError> {
    let text = node.string()?;
    let Ok(listen) = text.parse::<std::net::SocketAddr>() else {
        let what = format!("{} is no IP address with a port", quoted(text));
        return Err(node.error(what).help("use \"127.0.0.1:9090\""));
    };
    if !listen.ip().is_loopback() {
        notes.add(&node.mark, PUBLIC);
    }
    Ok(MetricsPlan {
        listen,
        place: node.mark.place(),
    })
}
