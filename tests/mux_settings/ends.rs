//! Whoever makes carriers gives them the settings, and refuses wrong ones.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use muxcool::app::App;
use muxcool::config;
use muxcool::link::{DispatchError, Dispatcher, Link, Outbound, Request};
use muxcool::mux::{
    CarrierOptions, ClientOptions, ClientWorker, ClientWorkerFactory, DialingWorkerFactory,
    MuxDispatcher, MuxError, MuxServer, OptionsError, ServerWorker,
};
use muxcool::net::Destination;
use muxcool::reverse::{Bridge, BridgeOptions, Portal, PortalOptions, ReverseError};
use muxcool::router::OutboundManager;
use muxcool::sync::Timer;

use crate::mux_support::scene::scene;
use crate::mux_support::speaker::{Signal, Speaker, signals};
use crate::mux_support::targets::By;
use crate::mux_support::tasks::{PATIENCE, wait_until};
use crate::mux_support::tcp;
use crate::mux_support::wire::{Spec, wire};

const WINDOW: u32 = 50_000;
const DOMAIN: &str = "tunnel.example.com";

fn wanted() -> CarrierOptions {
    CarrierOptions {
        window: WINDOW,
        ..CarrierOptions::default()
    }
}

fn wrong() -> CarrierOptions {
    CarrierOptions {
        window: 0,
        ..CarrierOptions::default()
    }
}

/// An outbound, and a bridge's way to its portal: hands out one link.
struct OneLink(parking_lot::Mutex<Option<Link>>);

impl OneLink {
    fn new(link: Link) -> Arc<Self> {
        Arc::new(Self(parking_lot::Mutex::new(Some(link))))
    }

    fn take(&self) -> Result<Link, DispatchError> {
        let link = self.0.lock().take();
        link.ok_or(DispatchError::Refused("there was one link"))
    }
}

impl Dispatcher for OneLink {
    fn dispatch(&self, _: &Request, _: Link) -> Result<(), DispatchError> {
        Err(DispatchError::Refused("not in this test"))
    }

    fn connect(&self, _: &Request) -> Result<Link, DispatchError> {
        self.take()
    }
}

impl Outbound for OneLink {
    fn tag(&self) -> &str {
        "one"
    }

    fn connect(&self, _: &Request) -> Result<Link, DispatchError> {
        self.take()
    }
}

#[test]
fn a_portal_and_a_bridge_have_the_carriers_that_they_are_given() {
    let _scene = scene();
    let timer = Timer::global().unwrap();
    let outbounds = Arc::new(OutboundManager::new());
    let options = PortalOptions {
        carrier: wanted(),
        ..PortalOptions::new("portal", DOMAIN)
    };
    let portal = Portal::new(options, outbounds.clone(), &timer).unwrap();
    let (link, mut speaker) = Speaker::new();
    let handler = outbounds.get("portal").unwrap();
    let come = Request::new(Destination::tcp(DOMAIN, 0).unwrap());
    let bridge = std::thread::spawn(move || handler.dispatch(&come, link));
    assert_eq!(speaker.greeted(), WINDOW);
    wait_until("the carrier is the portal's", || portal.carriers() == 1);
    portal.close();
    bridge.join().unwrap().unwrap();

    let (link, mut speaker) = Speaker::new();
    let options = BridgeOptions {
        carrier: wanted(),
        ..BridgeOptions::new("bridge", DOMAIN)
    };
    let bridge = Bridge::new(options, OneLink::new(link), &timer).unwrap();
    speaker.say(&[Signal::Hello { window: WINDOW }]);
    assert_eq!(speaker.greeted(), WINDOW);
    bridge.close();
}

/// The window in HELLO, which is first in the first frame of a carrier.
fn read_window(stream: &mut TcpStream) -> u32 {
    let expected = hello(0);
    let mut frame = vec![0; expected.len()];
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.read_exact(&mut frame).unwrap();
    assert_eq!(frame[8..19], expected[8..19], "not HELLO");
    u32::from_be_bytes(frame[19..23].try_into().unwrap())
}

fn hello(window: u32) -> Vec<u8> {
    signals(&Signal::Hello { window }.bytes()).bytes()
}

#[test]
fn a_configuration_reaches_the_carriers_of_inbounds_and_outbounds() {
    let _scene = scene();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let far = listener.local_addr().unwrap();
    let text = format!(
        r#"{{
  "policy": {{ "mux": {{ "window": 50 }} }},
  "inbounds": [
    {{ "tag": "carriers", "listen": "127.0.0.1", "port": 0, "protocol": "dokodemo-door",
      "settings": {{ "address": "v1.mux.cool", "port": 9527 }} }},
    {{ "tag": "visitors", "listen": "127.0.0.1", "port": 0, "protocol": "dokodemo-door",
      "settings": {{ "address": "192.0.2.1", "port": 80 }} }}
  ],
  "outbounds": [{{ "protocol": "freedom", "settings": {{ "redirect": "{far}" }},
    "mux": {{ "enabled": true }} }}]
}}"#
    );
    let app = App::start(config::parse("settings", &text).unwrap()).unwrap();

    let mut carrier = TcpStream::connect(app.local_addrs("carriers")[0]).unwrap();
    carrier.write_all(&hello(1)).unwrap();
    assert_eq!(read_window(&mut carrier), 50 << 10);

    let _visitor = TcpStream::connect(app.local_addrs("visitors")[0]).unwrap();
    let (mut carrier, _) = listener.accept().unwrap();
    assert_eq!(read_window(&mut carrier), 50 << 10);
    app.close();
}

fn refused<T>(outcome: Result<T, MuxError>) {
    let Err(e) = outcome else {
        panic!("wrong settings are taken")
    };
    assert!(
        matches!(e, MuxError::Options(OptionsError::Window)),
        "{e:?}"
    );
}

/// A link whose far end is gone.
fn link() -> Link {
    wire(Spec::default()).near
}

fn nothing() -> Arc<dyn Dispatcher> {
    Arc::new(By(|_: &Request, _: Link| Ok(())))
}

#[test]
fn wrong_settings_are_an_error_wherever_they_are_given() {
    let _scene = scene();
    let client = || ClientOptions {
        carrier: wrong(),
        ..ClientOptions::default()
    };
    let origin = || Request::new(tcp());
    refused(ClientWorker::new(link(), client()));
    refused(DialingWorkerFactory::new(OneLink::new(link()), client()).create());
    refused(ServerWorker::start_with(
        link(),
        nothing(),
        origin(),
        &wrong(),
        || panic!("it never began"),
    ));
    refused(ServerWorker::serve(link(), nothing(), origin(), &wrong()));
    refused(MuxServer::with_options(link(), &wrong()));

    let carrier = Request::new(Destination::tcp("v1.mux.cool", 9527).unwrap());
    let outcome = MuxDispatcher::new(nothing(), wrong()).dispatch(&carrier, link());
    assert!(matches!(outcome, Err(DispatchError::Other(_))));
}

#[test]
fn a_portal_or_bridge_with_wrong_settings_does_not_begin() {
    let _scene = scene();
    let timer = Timer::global().unwrap();
    let outbounds = Arc::new(OutboundManager::new());
    let portal = PortalOptions {
        carrier: wrong(),
        ..PortalOptions::new("portal", DOMAIN)
    };
    let refused = Portal::new(portal, outbounds.clone(), &timer).err();
    assert!(matches!(
        refused,
        Some(ReverseError::Options(OptionsError::Window))
    ));
    assert!(outbounds.get("portal").is_none());
    let bridge = BridgeOptions {
        carrier: wrong(),
        ..BridgeOptions::new("bridge", DOMAIN)
    };
    let refused = Bridge::new(bridge, nothing(), &timer).err();
    assert!(matches!(
        refused,
        Some(ReverseError::Options(OptionsError::Window))
    ));
}
