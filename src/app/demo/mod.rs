//! A whole reverse tunnel in one process, over loopback: a small web page, a
//! bridge that reaches it, and a portal where visitors find it. Portal and
//! bridge are two applications with a configuration each, as on two machines.

mod check;
mod page;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::{App, StartError};
use crate::config;
use page::Page;

pub use check::{CheckError, Figures};

/// How long the bridge may take to reach the portal.
const CARRIER_DEADLINE: Duration = Duration::from_secs(10);

/// The demo at work. Closing it, or dropping it, ends everything.
pub struct Demo {
    // In this order they end: the portal last, so that nobody redials it.
    bridge: App,
    portal: App,
    page: Page,
    public: SocketAddr,
}

/// Starts the demo; its public address has this port, or any if 0. With
/// `announce`, every visit prints a line.
///
/// # Errors
/// As [`App::start`]; [`io::ErrorKind::TimedOut`] if the bridge does not reach
/// the portal.
pub fn start(port: u16, announce: bool) -> Result<Demo, StartError> {
    let page = Page::start(announce)?;
    let id = Uuid::new_v4();
    let portal = App::start(config::parse(
        "demo portal",
        &portal_text(id, port, page.address()),
    )?)?;
    let carriers = first_address(&portal, "bridges")?;
    let public = first_address(&portal, "visitors")?;
    let bridge = App::start(config::parse("demo bridge", &bridge_text(id, carriers))?)?;
    wait_for_carrier(&portal)?;
    Ok(Demo {
        bridge,
        portal,
        page,
        public,
    })
}

/// Starts the demo, fetches through the tunnel, and compares every byte.
///
/// # Errors
/// See [`CheckError`].
pub fn check(port: u16) -> Result<Figures, CheckError> {
    let demo = start(port, false).map_err(CheckError::Start)?;
    check::measure(demo.public)
}

impl Demo {
    /// Where visitors find the page.
    pub fn public(&self) -> SocketAddr {
        self.public
    }

    /// What a newcomer is told: where the page is, and what is between.
    pub fn greeting(&self) -> impl fmt::Display + '_ {
        Greeting(self)
    }

    /// Waits until it has been closed.
    pub fn wait(&self) {
        self.portal.wait();
    }

    /// Ends everything and waits for it.
    pub fn close(&self) {
        self.bridge.close();
        self.page.close();
        self.portal.close();
    }
}

struct Greeting<'a>(&'a Demo);

impl fmt::Display for Greeting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (public, page) = (self.0.public, self.0.page.address());
        writeln!(f, "A web page is served through a reverse tunnel:\n")?;
        writeln!(f, "    http://{public}/\n")?;
        writeln!(
            f,
            "    you --> portal {public} ==> bridge --> page {page}\n"
        )?;
        writeln!(
            f,
            "Open the address in a browser, or run: curl http://{public}/"
        )?;
        write!(f, "Every visit prints a line here. Ctrl-C ends the demo.")
    }
}

fn portal_text(id: Uuid, port: u16, page: SocketAddr) -> String {
    let page_port = page.port();
    format!(
        r#"{{
  "inbounds": [
    {{ "tag": "visitors", "listen": "127.0.0.1", "port": {port}, "protocol": "dokodemo-door",
      "settings": {{ "address": "127.0.0.1", "port": {page_port}, "network": "tcp" }} }},
    {{ "tag": "bridges", "listen": "127.0.0.1", "port": 0, "protocol": "vless",
      "settings": {{ "clients": [{{ "id": "{id}" }}], "decryption": "none" }} }}
  ],
  "outbounds": [{{ "tag": "refuse", "protocol": "blackhole" }}],
  "reverse": {{ "portals": [{{ "tag": "portal", "domain": "demo.muxcool" }}] }},
  "routing": {{ "rules": [
    {{ "type": "field", "inboundTag": ["visitors"], "outboundTag": "portal" }},
    {{ "type": "field", "inboundTag": ["bridges"], "domain": ["full:demo.muxcool"], "outboundTag": "portal" }}
  ] }}
}}"#
    )
}

fn bridge_text(id: Uuid, portal: SocketAddr) -> String {
    let (host, port) = (portal.ip(), portal.port());
    format!(
        r#"{{
  "outbounds": [
    {{ "tag": "direct", "protocol": "freedom" }},
    {{ "tag": "portal", "protocol": "vless", "settings": {{ "vnext": [
      {{ "address": "{host}", "port": {port}, "users": [{{ "id": "{id}", "encryption": "none" }}] }} ] }} }}
  ],
  "reverse": {{ "bridges": [{{ "tag": "bridge", "domain": "demo.muxcool" }}] }},
  "routing": {{ "rules": [
    {{ "type": "field", "inboundTag": ["bridge"], "domain": ["full:demo.muxcool"], "outboundTag": "portal" }}
  ] }}
}}"#
    )
}

fn first_address(app: &App, tag: &str) -> io::Result<SocketAddr> {
    let mut addresses = app.local_addrs(tag).into_iter();
    addresses
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "inbound does not listen"))
}

fn wait_for_carrier(portal: &App) -> io::Result<()> {
    let deadline = Instant::now() + CARRIER_DEADLINE;
    while portal.carriers() == 0 {
        if Instant::now() > deadline {
            let what = "the bridge did not reach the portal";
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Any free port of this machine's loopback.
fn loopback() -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0)
}
