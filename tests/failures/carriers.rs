//! What a bridge says of a portal that takes its carrier late, or never.

use serde_json::json;

use super::support::{
    config::{Carrier, Endpoint, Entrances, bridge, portal},
    ports::{free_port, loopback},
    program::{Kind, Program},
    relay::{Fault, Relay, Trip, Way},
};

const UP: &str = "carrier to the portal is up";
const UNUSED: &str = "carrier to the portal has ended unused";

/// A connection is not enough: whoever answers the port could be no portal, or
/// one that does not know the bridge.
#[test]
fn a_carrier_is_up_once_the_portal_has_taken_it() {
    let endpoint = Endpoint::new(Carrier::Vless, free_port());
    let entrances = Entrances {
        socks: free_port(),
        doors: Vec::new(),
    };
    let portal = Program::start(Kind::Muxcool, "portal", &portal(&entrances, &endpoint));
    let relay = Relay::start(loopback(endpoint.port()));
    relay.trip_next(Trip {
        way: Way::Back,
        after: 0,
        fault: Fault::Stop,
    });
    let mut config = bridge(&endpoint.via(relay.address().port()));
    config["log"] = json!({ "loglevel": "debug" });
    let bridge = Program::start(Kind::Muxcool, "bridge", &config);
    bridge.says("bridge bridge: dials the portal");
    portal.says("portal portal: bridge has come");
    bridge.says("accepted"); // the carrier's connection stands
    assert_eq!(relay.inflict(Fault::Reset), 1);
    bridge.says(UNUSED);
    let log = bridge.log();
    let (before, _) = log.split_once(UNUSED).expect("it was said");
    assert!(!before.contains(UP), "{log}");
    bridge.says(UP);
    bridge.finish();
    portal.finish();
}
