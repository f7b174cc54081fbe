//! Hosts that peers name.

use std::net::IpAddr;

use muxcool::net::Address;

/// No name is an IP address in disguise: rules by address would miss it.
pub fn check(address: &Address) {
    if let Some(name) = address.domain() {
        assert!(name.parse::<IpAddr>().is_err(), "{name} is an address");
        assert_eq!(name.parse().as_ref(), Ok(address));
    }
}
