//! The shapes of tunnels, and how they are made.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use muxcool::app::App;
use muxcool::config;
use serde_json::{Value, json};

use super::cutter::Cutter;
use super::support::{
    PATIENCE,
    client::Entry,
    config as texts,
    config::{Carrier, Endpoint, Entrances},
    eventually,
};

/// What is between visitors and targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One application.
    Direct,
    /// Two, with a connection between them for each visitor.
    Plain(Carrier),
    /// Two, the near one a mux client.
    Forward(Carrier),
    /// Two, the near one a portal, the far one its bridge.
    Reverse(Carrier),
}

/// Applications at work, and what connects them.
pub struct Tunnel {
    pub shape: Shape,
    // In this order they end, so that nobody dials in vain.
    pub far: Option<App>,
    pub near: App,
    pub middle: Option<Cutter>,
}

impl Tunnel {
    /// Opens a tunnel that has doors to `targets`.
    pub fn open(shape: Shape, targets: &[SocketAddr]) -> Self {
        let entrances = Entrances {
            socks: 0,
            doors: targets.iter().map(|target| (0, *target)).collect(),
        };
        let tunnel = match shape {
            Shape::Direct => Self::direct(&entrances),
            Shape::Plain(carrier) | Shape::Forward(carrier) => {
                Self::forward(shape, carrier, &entrances)
            }
            Shape::Reverse(carrier) => Self::reverse(shape, carrier, &entrances),
        };
        tunnel.wait_until_open();
        tunnel
    }

    fn direct(entrances: &Entrances) -> Self {
        let mut near = texts::mux_client(entrances, &Endpoint::new(Carrier::Socks, 1));
        near["outbounds"] = json!([{ "protocol": "freedom" }]);
        Self {
            shape: Shape::Direct,
            near: start("near", with_web(near)),
            far: None,
            middle: None,
        }
    }

    fn forward(shape: Shape, carrier: Carrier, entrances: &Entrances) -> Self {
        let endpoint = Endpoint::new(carrier, 0);
        let mut far = texts::mux_server(&endpoint);
        if shape == Shape::Plain(Carrier::Socks) {
            far["inbounds"][0]["settings"]["udp"] = true.into();
        }
        let far = start("far", far);
        let middle = Cutter::start(address(&far, "carrier"));
        let endpoint = endpoint.via(middle.address().port());
        let mut near = texts::mux_client(entrances, &endpoint);
        if matches!(shape, Shape::Plain(_)) {
            near["outbounds"][0]["mux"] = Value::Null;
        }
        Self {
            shape,
            near: start("near", with_web(near)),
            far: Some(far),
            middle: Some(middle),
        }
    }

    fn reverse(shape: Shape, carrier: Carrier, entrances: &Entrances) -> Self {
        let endpoint = Endpoint::new(carrier, 0);
        let near = start("near", with_web(texts::portal(entrances, &endpoint)));
        let middle = Cutter::start(address(&near, "carrier"));
        let endpoint = endpoint.via(middle.address().port());
        Self {
            shape,
            near,
            far: Some(start("far", texts::bridge(&endpoint))),
            middle: Some(middle),
        }
    }

    fn wait_until_open(&self) {
        if matches!(self.shape, Shape::Reverse(_)) {
            self.wait_for_carriers(1);
        }
    }

    /// Waits until bridges have opened this many carriers.
    pub fn wait_for_carriers(&self, count: usize) {
        eventually_is(count, || self.near.carriers());
    }

    /// The relay between the two applications.
    pub fn middle(&self) -> &Cutter {
        self.middle.as_ref().expect("a tunnel of two applications")
    }

    /// The ways in to `target`, which has a door with this number.
    pub fn entries(&self, door: usize, target: SocketAddr) -> [Entry; 2] {
        let door = address(&self.near, &format!("door-{door}"));
        [Entry::Door(door), self.socks(target)]
    }

    /// The way in to `target` by SOCKS.
    pub fn socks(&self, target: SocketAddr) -> Entry {
        Entry::socks(address(&self.near, "visitors"), target)
    }

    /// The HTTP proxy.
    pub fn web(&self) -> SocketAddr {
        address(&self.near, "web")
    }
}

/// Starts an application as the text says.
pub fn start(name: &str, mut text: Value) -> App {
    // Its access lines would go to the terminal.
    text.as_object_mut().expect("an object").remove("log");
    let plan = config::parse(name, &text.to_string()).expect("a configuration");
    App::start(plan).expect("a start")
}

/// The address of the inbound with this tag.
pub fn address(app: &App, tag: &str) -> SocketAddr {
    let addresses = app.local_addrs(tag);
    *addresses.first().expect("the inbound listens")
}

/// Waits until `count` gives `expected`, and says what it gives if not.
pub fn eventually_is(expected: usize, count: impl Fn() -> usize) {
    let reached = eventually(Instant::now() + PATIENCE, || match count() {
        found if found == expected => Ok(()),
        found => Err(found),
    });
    assert_eq!(reached.err(), None, "{expected} expected");
}

/// How soon a tunnel must be of use again after its carrier was lost.
pub const BACK: Duration = Duration::from_secs(5);

/// An HTTP proxy for visitors, beside the other inbounds.
fn with_web(mut text: Value) -> Value {
    let web = json!({
        "tag": "web",
        "listen": "127.0.0.1",
        "port": 0,
        "protocol": "http",
        "settings": {},
    });
    text["inbounds"].as_array_mut().expect("inbounds").push(web);
    // A portal's rules name the inbounds of visitors.
    if let Some(tags) = text.pointer_mut("/routing/rules/1/inboundTag") {
        tags.as_array_mut().expect("tags").push("web".into());
    }
    text
}
