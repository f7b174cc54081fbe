//! What headers of VLESS and VMess ask for: a command and, unless it is Mux, a
//! target.

use crate::limits::MUX_DOMAIN;
use crate::net::{
    Address, AddressError, Destination, Domain, Network, read_port_address, write_port_address,
};
use crate::wire::{Cursor, Truncated};

const TCP: u8 = 1;
const UDP: u8 = 2;
const MUX: u8 = 3;

/// Why it cannot be read.
pub(super) enum OrderError {
    /// It ended too early.
    Truncated(Truncated),
    /// A command that is not known here.
    Command(u8),
    /// An address that cannot be; never [`AddressError::Truncated`].
    Address(AddressError),
}

/// Appends command Mux for the mux domain, else what the target's network asks
/// for.
pub(super) fn write_order(out: &mut Vec<u8>, target: &Destination) {
    if target.address.domain() == Some(MUX_DOMAIN) {
        out.push(MUX);
        return;
    }
    out.push(match target.network {
        Network::Tcp => TCP,
        Network::Udp => UDP,
    });
    write_port_address(out, &target.address, target.port);
}

/// Reads a command and its target: the mux domain with port 0 for Mux.
pub(super) fn read_order(cursor: &mut Cursor) -> Result<Destination, OrderError> {
    let network = match cursor.u8("command")? {
        TCP => Network::Tcp,
        UDP => Network::Udp,
        MUX => return Ok(mux_target()?),
        other => return Err(OrderError::Command(other)),
    };
    let (address, port) = read_port_address(cursor)?;
    Ok(Destination::new(network, address, port))
}

impl From<Truncated> for OrderError {
    fn from(inner: Truncated) -> Self {
        OrderError::Truncated(inner)
    }
}

impl From<AddressError> for OrderError {
    fn from(e: AddressError) -> Self {
        match e {
            AddressError::Truncated(inner) => OrderError::Truncated(inner),
            other => OrderError::Address(other),
        }
    }
}

fn mux_target() -> Result<Destination, AddressError> {
    let address = Address::Domain(Domain::new(MUX_DOMAIN)?);
    Ok(Destination::new(Network::Tcp, address, 0))
}
