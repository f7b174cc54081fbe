//! What the tests of portal and bridge share: time that passes when it is
//! told to, and the other end of a carrier as a script.

pub mod portal;
pub mod site;
pub mod time;

use std::fmt::Debug;

use muxcool::limits::{CONTROL_DOMAINS, HEARTBEAT_PADDING};
use muxcool::link::LinkError;
use muxcool::mux::CarrierOptions;
use muxcool::net::{Destination, Network};
use muxcool::reverse::{BridgeOptions, Control, State};

use crate::mux_support::frames::{Frame, KEEP, NEW};
use crate::mux_support::party::Party;
use crate::mux_support::tasks::{names, wait_until};

/// What bridges ask for in these tests.
pub const DOMAIN: &str = "tunnel.example.com";

/// Carriers that say nothing but what portal and bridge have to say: no
/// extensions and no probes, which have tests of their own.
pub fn plain() -> CarrierOptions {
    CarrierOptions {
        extensions: false,
        liveness: None,
        ..CarrierOptions::default()
    }
}

/// A bridge's settings with these names.
pub fn bridge_options(tag: &str, domain: &str) -> BridgeOptions {
    BridgeOptions {
        carrier: plain(),
        ..BridgeOptions::new(tag, domain)
    }
}

/// The target of a carrier.
pub fn carrier() -> Destination {
    Destination::tcp(DOMAIN, 0).unwrap()
}

/// The target of a control session.
pub fn control_target(name: &str) -> Destination {
    Destination::udp(name, 0).unwrap()
}

/// Names that a resolver would not tell from control domains.
pub fn control_spellings() -> Vec<String> {
    let spell = |name: &&str| {
        let mixed = name.replace('r', "R");
        [
            (*name).to_owned(),
            name.to_uppercase(),
            mixed,
            format!("{name}."),
        ]
    };
    CONTROL_DOMAINS.iter().flat_map(spell).collect()
}

/// Both networks.
pub const NETWORKS: [Network; 2] = [Network::Tcp, Network::Udp];

/// The heartbeat in a frame. Its random bytes are as many as may be.
pub fn heartbeat(frame: &Frame) -> Control {
    assert!([NEW, KEEP].contains(&frame.status), "{frame:?}");
    let control = Control::decode(frame.payload()).expect("a control message");
    let padding = control.random().len();
    assert!(
        (1..=HEARTBEAT_PADDING).contains(&padding),
        "{padding} bytes"
    );
    control
}

/// The frame opens the control session under this name, with a heartbeat.
pub fn assert_opens_control(frame: &Frame, name: &str) {
    let bare = Frame::open(frame.id, &control_target(name), Some(frame.payload()));
    assert_eq!(*frame, bare);
    assert_eq!(heartbeat(frame).state(), State::Active);
}

/// Both halves of the other side are aborted, or dropped; which one first is
/// left open.
pub fn assert_reset(mut party: Party) {
    party.read_to_error();
    wait_until("writes fail, too", || {
        matches!(party.writer.try_write(b"x"), Err(LinkError::Reset))
    });
}

/// A thread is still seen for a moment after it has been joined.
pub fn assert_no_threads(prefix: &str) {
    wait_until(&format!("threads {prefix} are gone"), || {
        names(prefix).is_empty()
    });
}

/// The outcome is the failure of a link, for whatever reason.
pub fn assert_failed<T: Debug, E: Debug>(outcome: Result<T, E>) {
    assert!(outcome.is_err(), "{outcome:?}");
}
