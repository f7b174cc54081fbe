//! A reverse tunnel in code, without a configuration: a service that can only
//! dial out is reached through a portal.
//!
//! ```console
//! $ cargo run --example reverse_tunnel
//! ```

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use muxcool::link::{DispatchError, Dispatcher, Link, Request, relay};
use muxcool::net::{Destination, Network};
use muxcool::reverse::{Bridge, BridgeOptions, Portal, PortalOptions};
use muxcool::router::{OutboundManager, Router, RouterOptions};
use muxcool::sync::Timer;
use muxcool::transport::tcp::Server;

/// What bridges ask for; whoever knows it can be one.
const DOMAIN: &str = "tunnel.example.com";

fn main() -> Result<(), Box<dyn Error>> {
    let timer = Timer::global()?;
    let service = start_service()?;

    // The portal takes both: whoever asks for its domain is a bridge, and
    // everybody else is a visitor of the bridge's service.
    let outbounds = Arc::new(OutboundManager::new());
    let portal = Portal::new(
        PortalOptions::new("portal", DOMAIN),
        outbounds.clone(),
        &timer,
    )?;
    let router = Arc::new(Router::new(RouterOptions::default(), outbounds));
    let bridges = listen("bridges", router.clone(), Destination::tcp(DOMAIN, 0)?)?;
    let visitors = listen(
        "visitors",
        router,
        Destination::from((Network::Tcp, service)),
    )?;

    let way = Arc::new(WayOut {
        portal: bridges.local_addr(),
    });
    let bridge = Bridge::new(BridgeOptions::new("bridge", DOMAIN), way, &timer)?;
    wait_for_carrier(&portal)?;

    let mut greeting = String::new();
    TcpStream::connect(visitors.local_addr())?.read_to_string(&mut greeting)?;
    println!("a visitor of {} reads: {greeting}", visitors.local_addr());

    bridge.close();
    portal.close();
    Ok(())
}

/// A service on this machine: it greets whoever connects.
fn start_service() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = (&stream).write_all(b"hello from behind the tunnel");
        }
    });
    Ok(address)
}

/// Takes every connection to `target`.
fn listen(
    tag: &str,
    dispatcher: Arc<dyn Dispatcher>,
    target: Destination,
) -> std::io::Result<Server> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    Server::start(listener, tag, move |visitor| {
        let request = Request {
            source: Some(visitor.source),
            ..Request::new(target.clone())
        };
        if let Err(e) = dispatcher.dispatch(&request, visitor.stream.into()) {
            eprintln!("{target}: {}", muxcool::error::chain(&e));
        }
    })
}

/// Where a bridge's connections go: to the portal, or to its services.
struct WayOut {
    portal: SocketAddr,
}

impl Dispatcher for WayOut {
    fn connect(&self, _: &Request) -> Result<Link, DispatchError> {
        let stream = TcpStream::connect(self.portal).map_err(DispatchError::Unreachable)?;
        Ok(stream.into())
    }

    fn dispatch(&self, request: &Request, link: Link) -> Result<(), DispatchError> {
        let target = request.target.host_port();
        let stream = TcpStream::connect(target).map_err(DispatchError::Unreachable)?;
        Ok(relay(link, stream.into())?)
    }
}

fn wait_for_carrier(portal: &Portal) -> Result<(), &'static str> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while portal.carriers() == 0 {
        if Instant::now() > deadline {
            return Err("the bridge did not come");
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
